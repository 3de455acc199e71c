-- Puts a delivery back that was taken but not tried. KEYS[1]: the delivery.
-- ARGV: id, tries when it was taken, ms until it is due, oldest id kept in indexes, index ms.
-- Returns 1, or 0 if it was settled or tried meanwhile.
local id, taken, pause, oldest, index_ms = unpack(ARGV)
local status, tries, owner = unpack(redis.call('HMGET', KEYS[1], 'status', 'tries', 'owner'))
if status ~= 'pending' or tries ~= taken then return 0 end
redis.call('ZADD', tag .. ':due', now_ms() + pause, id)
index_delivery(id, owner or '', status, status, oldest, index_ms)
return 1
