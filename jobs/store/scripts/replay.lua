-- Starts a new round of attempts at a delivery, due now. KEYS[1]: the delivery.
-- ARGV: id, owner whose it must be or '*', token of this call, oldest id kept in indexes, index ms.
-- Returns 1, or 0 if the delivery is gone or another's.
local id, whose, token, oldest, index_ms = unpack(ARGV)
local status, job_id, owner, tries, replay =
  unpack(redis.call('HMGET', KEYS[1], 'status', 'job_id', 'owner', 'tries', 'replay'))
if not status or (whose ~= '*' and owner ~= whose) then return 0 end
-- The same call again after its answer was lost on the way.
if replay == token then return 1 end
local now = now_ms()
redis.call('HSET', KEYS[1], 'status', 'pending', 'earlier', tries, 'began', now, 'replay', token)
redis.call('HINCRBY', KEYS[1], 'round', 1)
index_delivery(id, owner or '', status, 'pending', oldest, index_ms)
for _, key in ipairs({KEYS[1], tag .. ':attempts:' .. id, tag .. ':deliveries:' .. job_id}) do
  redis.call('PERSIST', key)
end
redis.call('ZADD', tag .. ':due', now, id)
return 1
