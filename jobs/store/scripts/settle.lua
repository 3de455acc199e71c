-- Records one attempt at a delivery, once. KEYS[1]: the delivery.
-- ARGV: id, the attempt as JSON, new status, ms until the next try (used if it is 'pending'), retention ms.
local id, attempt, new, pause, retention = unpack(ARGV)
local due, attempts = tag .. ':due', tag .. ':attempts:' .. id
local status, job_id = unpack(redis.call('HMGET', KEYS[1], 'status', 'job_id'))
if not status then
  redis.call('ZREM', due, id)
  return 0
end
-- The same call again after its answer was lost on the way.
if redis.call('LPOS', attempts, attempt) then return 1 end
redis.call('RPUSH', attempts, attempt)
redis.call('HINCRBY', KEYS[1], 'tries', 1)
-- Two processes may have tried it at once: what has arrived stays so, and what was given up may still arrive.
if status ~= 'pending' and new ~= 'delivered' then return 1 end
redis.call('HSET', KEYS[1], 'status', new)
if new == 'pending' then
  redis.call('ZADD', due, now_ms() + pause, id)
else
  redis.call('ZREM', due, id)
  redis.call('PEXPIRE', KEYS[1], retention)
  redis.call('PEXPIRE', attempts, retention)
  redis.call('PEXPIRE', tag .. ':deliveries:' .. job_id, retention)
end
return 1
