-- Records one attempt at a delivery, once. KEYS[1]: the delivery.
-- ARGV: id, attempt as JSON, its round, new status, ms until the next try (used if it is 'pending'), retention ms,
--       oldest id kept in indexes, index ms, most attempts kept.
local id, attempt, round, new, pause, retention, oldest, index_ms, kept = unpack(ARGV)
local due, attempts = tag .. ':due', tag .. ':attempts:' .. id
local status, job_id, owner, current = unpack(redis.call('HMGET', KEYS[1], 'status', 'job_id', 'owner', 'round'))
if not status then
  redis.call('ZREM', due, id)
  return 0
end
-- The same call again after its answer was lost on the way.
if redis.call('LPOS', attempts, attempt) then return 1 end
redis.call('RPUSH', attempts, attempt)
redis.call('LTRIM', attempts, -kept, -1)
redis.call('HINCRBY', KEYS[1], 'tries', 1)
if (current or '0') ~= round then redis.call('HINCRBY', KEYS[1], 'earlier', 1) end
-- Two processes may have tried it at once, or it was replayed meanwhile: what has arrived stays so, what was given up may
-- still arrive, and an attempt of an earlier round does not end the present one.
if new ~= 'delivered' and (status ~= 'pending' or (current or '0') ~= round) then return 1 end
redis.call('HSET', KEYS[1], 'status', new)
index_delivery(id, owner or '', status, new, oldest, index_ms)
if new == 'pending' then
  redis.call('ZADD', due, now_ms() + pause, id)
else
  redis.call('ZREM', due, id)
  redis.call('PEXPIRE', KEYS[1], retention)
  redis.call('PEXPIRE', attempts, retention)
  redis.call('PEXPIRE', tag .. ':deliveries:' .. job_id, retention)
end
return 1
