-- Looks after a running job; renews its lease if asked to. KEYS[1]: the job.
-- ARGV: id, fence, lease ms or 0. Returns 'ok', 'cancel' (someone wants it cancelled) or 'stale'.
local status, fence, cancel = unpack(redis.call('HMGET', KEYS[1], 'status', 'fence', 'cancel'))
if fence ~= ARGV[2] or status ~= 'running' then return 'stale' end
if cancel then return 'cancel' end
if ARGV[3] ~= '0' then
  local lease = now_ms() + ARGV[3]
  redis.call('HSET', KEYS[1], 'lease', lease)
  redis.call('ZADD', tag .. ':pending', lease, ARGV[1])
end
return 'ok'
