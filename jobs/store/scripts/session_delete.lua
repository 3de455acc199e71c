-- Ends a session. The turn under way is cancelled, and so are those that wait, which are looked at now for that.
-- KEYS[1]: the session. ARGV: session id.
local line = tag .. ':line:' .. ARGV[1]
for _, id in ipairs(redis.call('ZRANGE', line, 0, -1)) do
  local job = tag .. ':job:' .. id
  local status, turn = unpack(redis.call('HMGET', job, 'status', 'turn'))
  if status and not is_terminal(status) then
    redis.call('HSET', job, 'cancel', 1)
    if turn == 'session' then redis.call('ZADD', tag .. ':pending', 'XX', now_ms(), id) end
  end
end
redis.call('DEL', KEYS[1], line)
return 1
