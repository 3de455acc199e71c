-- Takes a session for the turn of a running job, if that is the first in line whose job has not ended. The job's own lease
-- is the lock's too: a job whose worker died is run again and takes the session anew, or ends and lets the next one in.
-- KEYS[1]: the session. ARGV: session id, job id, the job's fence.
-- Returns {'held', fence} (the same one as often as it asks), {'wait', jobs before it}, {'gone'} (the session) or
-- {'stale'} (another worker has the job, or it has ended).
local id, job_id, job_fence = ARGV[1], ARGV[2], ARGV[3]
local ttl, fence, holder = unpack(redis.call('HMGET', KEYS[1], 'ttl', 'fence', 'holder'))
if not ttl then return {'gone'} end
local status, held = unpack(redis.call('HMGET', tag .. ':job:' .. job_id, 'status', 'fence'))
if status ~= 'running' or held ~= job_fence then return {'stale'} end
local line = tag .. ':line:' .. id
if not redis.call('ZSCORE', line, job_id) then
  join_line(id, job_id)
  redis.call('HSET', tag .. ':job:' .. job_id, 'session', id)
  touch_session(id)
elseif redis.call('PTTL', KEYS[1]) < ttl / 2 then
  touch_session(id)
end
if first_in_line(id) ~= job_id then return {'wait', redis.call('ZRANK', line, job_id)} end
local turn = job_id .. ' ' .. job_fence
if holder ~= turn then
  fence = redis.call('HINCRBY', KEYS[1], 'fence', 1)
  redis.call('HSET', KEYS[1], 'holder', turn)
  touch_session(id)
end
return {'held', tostring(fence)}
