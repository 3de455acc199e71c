-- Starts a new round of attempts at a delivery, due now. KEYS[1]: the delivery.
-- ARGV: id, token of this call, oldest id kept in indexes, index ms. Returns 1, or 0 if the delivery is gone.
local id, token, oldest, index_ms = unpack(ARGV)
local index = tag .. ':index:delivery:'
local status, job_id, tries, replay = unpack(redis.call('HMGET', KEYS[1], 'status', 'job_id', 'tries', 'replay'))
if not status then return 0 end
-- The same call again after its answer was lost on the way.
if replay == token then return 1 end
local now = now_ms()
redis.call('HSET', KEYS[1], 'status', 'pending', 'earlier', tries, 'began', now, 'replay', token)
redis.call('HINCRBY', KEYS[1], 'round', 1)
redis.call('ZREM', index .. status, id)
redis.call('ZADD', index .. 'pending', 0, id)
trim(index .. 'pending', oldest, index_ms)
for _, key in ipairs({KEYS[1], tag .. ':attempts:' .. id, tag .. ':deliveries:' .. job_id}) do
  redis.call('PERSIST', key)
end
redis.call('ZADD', tag .. ':due', now, id)
return 1
