-- Ends a job: terminal state, terminal event, the callback's outbox entry and what the job used, all or nothing, once.
-- KEYS[1]: the job.
-- ARGV: id, fence, status it must have or '', terminal status, the Job as JSON, event name,
--       job retention ms, event retention ms, oldest id kept in indexes, index ms,
--       ms from now until the sweeper may deliver, error code or '', ms for which a day's usage is kept,
--       number of events before the last, name, data, …, UTC day, number of rows of usage, model, numbers, …,
--       delivery id or '', delivery field, value, …
-- Returns {'ok', id of the terminal event}, {'stale'} or {'ended'}.
local id, fence, required, status, final, event = unpack(ARGV, 1, 6)
local job_ms, event_ms, oldest, index_ms, due_ms, code, usage_ms, before = unpack(ARGV, 7, 14)
local usage_at = 15 + 2 * before
local at = usage_at + 2 + 2 * ARGV[usage_at + 1]
local delivery = ARGV[at]
local job = KEYS[1]
local current, held, watch, events, turn, priority, owner =
  unpack(redis.call('HMGET', job, 'status', 'fence', 'watch', 'events', 'turn', 'priority', 'owner'))
if not current then return {'ended'} end
if is_terminal(current) then
  -- The same call again after its answer was lost on the way.
  if held == fence and current == status then return {'ok', events} end
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
for i = 15, usage_at - 1 do log[i - 14] = ARGV[i] end
log[#log + 1] = event
log[#log + 1] = final
local pushes = {}
local n = append(id, last_event(id), watch, log, 1, #log, pushes)
push(pushes)
redis.call('HSET', job, 'final', final, 'events', n)
redis.call('HDEL', job, 'spec', 'lease', 'holder', 'verdict', 'target', 'first', 'start_by', 'cancel', 'watch',
  'turn', 'calls')
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
if turn == '1' then pass_turn(priority .. ':' .. owner, now_ms()) end
return {'ok', tostring(n)}
