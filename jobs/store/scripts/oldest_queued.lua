-- The jobs that have been queued longest of those that only wait for a worker; whoever waits for its session waits for
-- its own. KEYS[1]: the shard's index of queued jobs. ARGV: most to look at.
-- Returns {id of the first one that has waited for nothing else since it was made or '', when the first one was ready
-- (Unix ms) of those before it that had waited for something else, or ''}.
local ready = ''
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, ARGV[1] - 1)) do
  local turn, since = unpack(redis.call('HMGET', tag .. ':job:' .. id, 'turn', 'ready'))
  if turn ~= 'session' then
    if not since then return {id, ready} end
    if ready == '' or tonumber(since) < tonumber(ready) then ready = since end
  end
end
return {'', ready}
