-- Takes jobs that should have been looked at by now; each is given to one caller. KEYS[1]: the shard's pending set.
-- ARGV: most, ms until they are overdue again, ms until a job in the backlog is looked at.
-- Returns {id, priority, id, priority, …}: jobs that need a hint.
local now = now_ms()
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])) do
  local job = tag .. ':job:' .. id
  local priority, owner, turn = unpack(redis.call('HMGET', job, 'priority', 'owner', 'turn'))
  if not priority then
    redis.call('ZREM', KEYS[1], id)
  elseif turn == '0' and redis.call('EXISTS', tag .. ':turns:' .. priority .. ':' .. owner) == 1 then
    redis.call('ZADD', KEYS[1], now + ARGV[3], id)  -- its turn will come
  else
    if turn == '0' then
      redis.call('HSET', job, 'turn', 1)
      redis.call('INCR', tag .. ':turns:' .. priority .. ':' .. owner)
    end
    redis.call('ZADD', KEYS[1], now + ARGV[2], id)
    found[#found + 1] = id
    found[#found + 1] = priority
  end
end
return found
