-- Claims a job for one attempt. KEYS[1]: the job.
-- ARGV: id, claim token, lease ms, most attempts, ms until a hint is sent again.
-- Returns {verdict, spec, fence, attempt, started ms, target, last event id, calls of attempts that handed it back or '',
-- id of the job whose turn it is now or ''};
-- verdict is
--   'run'        the job is running under this fence now, and job.started is in its log
--   'expired' | 'exhausted' | 'cancelled'   the caller holds the fence and must end the job so
-- or {'missing'}, {'ended'}, {'leased'}: nothing to do here.
local id, token, lease_ms, most, again = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local job = KEYS[1]
local status, fence, attempt, lease, spec, start_by, first, started, cancel, holder, given, handed_back, watch, turn,
  priority, owner, calls = unpack(redis.call('HMGET', job, 'status', 'fence', 'attempt', 'lease', 'spec', 'start_by',
    'first', 'started', 'cancel', 'holder', 'verdict', 'handed_back', 'watch', 'turn', 'priority', 'owner', 'calls'))
if not status then
  redis.call('ZREM', tag .. ':pending', id)
  return {'missing'}
end
if is_terminal(status) then
  redis.call('ZREM', tag .. ':pending', id)
  return {'ended'}
end
calls = calls or ''
local now = now_ms()
if tonumber(lease) > now then
  -- The same call again after its answer was lost on the way.
  if holder == token then return {given, spec, fence, attempt, started, first, tostring(last_event(id)), calls, ''} end
  return {'leased'}
end

fence, attempt = fence + 1, tonumber(attempt)
local verdict = 'run'
if cancel then verdict = 'cancelled'
elseif attempt == 0 and tonumber(start_by) > 0 and now > tonumber(start_by) then verdict = 'expired'
elseif attempt - (handed_back or 0) >= most then verdict = 'exhausted' end

redis.call('HSET', job, 'fence', fence, 'lease', now + lease_ms, 'holder', token, 'verdict', verdict)
redis.call('ZADD', tag .. ':pending', now + lease_ms, id)
local next_id = ''
if turn then
  redis.call('HDEL', job, 'turn')
  if turn == '1' then next_id = pass_turn(priority .. ':' .. owner, now + again)
  elseif turn == 'session' then redis.call('SREM', tag .. ':waiting:' .. priority .. ':' .. owner, id) end
end
if verdict ~= 'run' then
  return {verdict, spec, tostring(fence), tostring(attempt), started, first, tostring(last_event(id)), calls, next_id}
end

attempt = attempt + 1
started = started or tostring(now)
set_status(id, status, 'running')
redis.call('HSET', job, 'attempt', attempt, 'started', started, 'target', first)
local provider = string.match(first, '^[^/]*')
local events = last_event(id)
local log = {'job.started', json({attempt = attempt, provider = provider, model = first})}
if attempt > 1 then
  log[3] = 'stream.reset'
  log[4] = json({reason = 'new_attempt', provider = provider, model = first})
end
local pushes = {}
local last = tostring(append(id, events, watch, log, 1, #log, pushes))
push(pushes)
return {'run', spec, tostring(fence), tostring(attempt), started, first, last, calls, next_id}
