-- Takes jobs that should have been looked at by now; each is given to one caller. KEYS[1]: the shard's pending set.
-- ARGV: most, ms until they are overdue again. Returns {id, priority, id, priority, …}.
local now = now_ms()
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])) do
  local priority = redis.call('HGET', tag .. ':job:' .. id, 'priority')
  if priority then
    redis.call('ZADD', KEYS[1], now + ARGV[2], id)
    found[#found + 1] = id
    found[#found + 1] = priority
  else
    redis.call('ZREM', KEYS[1], id)
  end
end
return found
