-- Takes messages that should be in the archive by now; each is given to one caller. KEYS[1]: the shard's unarchived set.
-- ARGV: most, ms until they are due again. Returns {id, message, id, message, …}.
local now = now_ms()
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])) do
  local message = redis.call('GET', tag .. ':message:' .. id)
  if message then
    redis.call('ZADD', KEYS[1], now + ARGV[2], id)
    found[#found + 1] = id
    found[#found + 1] = message
  else
    redis.call('ZREM', KEYS[1], id)
  end
end
return found
