-- Ends a job: terminal state, terminal event, the callback's outbox entry and what the job used, all or nothing, once.
-- KEYS[1]: the job.
-- ARGV: id, fence, status it must have or '', terminal status, the Job as JSON, event name,
--       job retention ms, event retention ms, oldest id kept in indexes, index ms,
--       ms from now until the sweeper may deliver, error code or '', ms for which a day's usage is kept,
--       ms until a hint is sent again, ms until a job in the backlog is looked at,
--       number of events before the last, name, data, …, UTC day, number of rows of usage, model, numbers, …,
--       delivery id or '', delivery field, value, …
-- Returns {'ok', id of the terminal event, id of the job to be hinted because it is its turn in the session now or '',
-- that one's priority}, {'stale'} or {'ended'}.
local id, fence, required, status, final, event = unpack(ARGV, 1, 6)
local job_ms, event_ms, oldest, index_ms, due_ms, code, usage_ms, again, look, before = unpack(ARGV, 7, 16)
local usage_at = 17 + 2 * before
local at = usage_at + 2 + 2 * ARGV[usage_at + 1]
local delivery = ARGV[at]
local job = KEYS[1]
local current, held, watch, events, turn, priority, owner, session =
  unpack(redis.call('HMGET', job, 'status', 'fence', 'watch', 'events', 'turn', 'priority', 'owner', 'session'))

-- The answer, with whoever is let in now. A call that is repeated is told once more of who was let in by the first one.
local function ended_with(last, repeated)
  local following = session and first_in_line(session) or ''
  if following ~= '' then
    local waits, urgency, whose = unpack(redis.call('HMGET', tag .. ':job:' .. following, 'turn', 'priority', 'owner'))
    if (repeated and waits == '1') or (waits == 'session' and let_in(following, urgency .. ':' .. whose, again, look)) then
      return {'ok', last, following, urgency}
    end
  end
  return {'ok', last, '', ''}
end

if not current then return {'ended'} end
if is_terminal(current) then
  -- The same call again after its answer was lost on the way.
  if held == fence and current == status then return ended_with(events, true) end
  return {'ended'}
end
if held ~= fence or (required ~= '' and current ~= required) then return {'stale'} end

set_status(id, current, status)
trim(tag .. ':index:status:' .. status, oldest, index_ms)
if code ~= '' then
  redis.call('ZADD', tag .. ':index:error:' .. code, 0, id)
  trim(tag .. ':index:error:' .. code, oldest, index_ms)
end
local log = {}
for i = 17, usage_at - 1 do log[i - 16] = ARGV[i] end
log[#log + 1] = event
log[#log + 1] = final
local pushes = {}
local n = append(id, last_event(id), watch, log, 1, #log, pushes)
push(pushes)
redis.call('HSET', job, 'final', final, 'events', n)
redis.call('HDEL', job, 'spec', 'lease', 'holder', 'verdict', 'target', 'first', 'start_by', 'cancel', 'watch',
  'turn', 'ready', 'calls')
redis.call('ZREM', tag .. ':pending', id)
redis.call('PEXPIRE', job, job_ms)
redis.call('PEXPIRE', tag .. ':events:' .. id, event_ms)
count_usage(owner, ARGV, usage_at, at - 1, usage_ms)
if delivery ~= '' then
  local fields = {}
  for i = at + 1, #ARGV do fields[i - at] = ARGV[i] end
  enqueue_delivery(id, delivery, now_ms() + due_ms, fields)
  redis.call('HSET', tag .. ':delivery:' .. delivery, 'sequence', n)
end
-- It ended while it was queued: a sweeper sends the hint to the next in its line.
if turn == '1' then pass_turn(priority .. ':' .. owner, now_ms())
elseif turn == 'session' then redis.call('SREM', tag .. ':waiting:' .. priority .. ':' .. owner, id) end
if session then redis.call('ZREM', tag .. ':line:' .. session, id) end
return ended_with(tostring(n), false)
