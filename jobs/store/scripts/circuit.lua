-- One target's circuit: takes in what a process has seen of the target. KEYS[1]: the hash of all circuits.
-- ARGV: name, 'seen' or 'probe', and for 'seen': successes, failures (0 or 1), whether a probe was it ('1' or ''),
--       ms since the failed call began, ms of rest that the target asked for, the failure's code.
-- 'probe' asks for leave to try a target whose circuit is open. Returns {leave given (0 or 1), the circuit as JSON}.
local WINDOW, ENOUGH, SHARE = 20, 5, 0.5
local FIRST_OPEN_MS, LONGEST_OPEN_MS, LONGEST_REST_MS = 1000, 15000, 600000
local PROBE_MS, CALM_MS, KEPT_MS = 10000, 60000, 600000
local all, name, op = KEYS[1], ARGV[1], ARGV[2]
local now = now_ms()
local stored = redis.call('HGET', all, name)
local c = stored and cjson.decode(stored)
  or { outcomes = '', open = false, until_ms = 0, openings = 0, probe_ms = 0, closed_ms = 0, reason = '' }
local leave = 0

local function open(ms, reason)
  c.open, c.until_ms, c.probe_ms, c.outcomes, c.reason = true, now + ms, 0, '', reason
end

if op == 'probe' then
  -- A probe that never came back holds up the next one for a while only.
  if c.open and now >= c.until_ms and now >= c.probe_ms then
    leave, c.probe_ms = 1, now + PROBE_MS
  end
else
  local good, bad, probe = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5] == '1'
  local began, rest, code = now - ARGV[6], math.min(tonumber(ARGV[7]), LONGEST_REST_MS), ARGV[8]
  if bad > 0 and rest > 0 then
    if not c.open or now + rest > c.until_ms then open(rest, code) end
  elseif c.open and probe then
    if bad > 0 then
      c.openings = c.openings + 1
      open(math.min(FIRST_OPEN_MS * 2 ^ (c.openings - 1), LONGEST_OPEN_MS), code)
    elseif good > 0 then
      c.open, c.closed_ms, c.outcomes, c.reason = false, now, '', ''
    end
  elseif not c.open then
    c.outcomes = c.outcomes .. string.rep('1', good)
    -- What was begun before the target recovered says nothing about it now.
    if bad > 0 and began >= c.closed_ms then c.outcomes = c.outcomes .. '0' end
    c.outcomes = string.sub(c.outcomes, -WINDOW)
    local _, failures = string.gsub(c.outcomes, '0', '')
    if bad > 0 and failures >= ENOUGH and failures >= SHARE * #c.outcomes then
      c.openings = now - c.closed_ms > CALM_MS and 1 or c.openings + 1
      open(math.min(FIRST_OPEN_MS * 2 ^ (c.openings - 1), LONGEST_OPEN_MS), code)
    end
  end
end
c.changed_ms = now
c.now_ms = now
local circuit = json(c)
redis.call('HSET', all, name, circuit)
if not stored then
  -- Callers name models as they like: what nobody has asked for lately goes.
  local circuits = redis.call('HGETALL', all)
  for i = 1, #circuits, 2 do
    if cjson.decode(circuits[i + 1]).changed_ms < now - KEPT_MS then redis.call('HDEL', all, circuits[i]) end
  end
end
redis.call('PEXPIRE', all, KEPT_MS)
return { leave, circuit }
