-- Has a running or queued job's events pushed to a gateway from now on. KEYS[1]: the job. ARGV: id, gateway.
local status, watch = unpack(redis.call('HMGET', KEYS[1], 'status', 'watch'))
if not status or is_terminal(status) then return 0 end
for gateway in string.gmatch(watch or '', '%S+') do
  if gateway == ARGV[2] then return 1 end
end
redis.call('HSET', KEYS[1], 'watch', watch and watch .. ' ' .. ARGV[2] or ARGV[2])
return 1
