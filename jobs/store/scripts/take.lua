-- Takes deliveries that are due; each is leased to one caller. KEYS[1]: the shard's due set.
-- ARGV: most, lease ms. Returns {id, {field, value, …}, id, {…}, …}.
local now = now_ms()
local taken = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])) do
  local fields = redis.call('HGETALL', tag .. ':delivery:' .. id)
  if #fields > 0 then
    redis.call('ZADD', KEYS[1], now + ARGV[2], id)
    taken[#taken + 1] = id
    taken[#taken + 1] = fields
  else
    redis.call('ZREM', KEYS[1], id)
  end
end
return taken
