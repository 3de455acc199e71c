-- The job that has been queued longest of those that only wait for a worker; whoever waits for its session waits for its
-- own. KEYS[1]: the shard's index of queued jobs. ARGV: most to look at. Returns its id, or '' if none was found.
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, ARGV[1] - 1)) do
  if redis.call('HGET', tag .. ':job:' .. id, 'turn') ~= 'session' then return id end
end
return ''
