-- Ends a session. Whoever waits in its line has nothing to wait for any more, and is looked at now.
-- KEYS[1]: the session. ARGV: session id.
local line = tag .. ':line:' .. ARGV[1]
for _, id in ipairs(redis.call('ZRANGE', line, 0, -1)) do
  if redis.call('HGET', tag .. ':job:' .. id, 'turn') == 'session' then
    redis.call('ZADD', tag .. ':pending', 'XX', now_ms(), id)
  end
end
redis.call('DEL', KEYS[1], line)
return 1
