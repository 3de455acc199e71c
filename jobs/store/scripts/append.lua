-- Appends events of jobs of one shard, each job's under its fence, exactly once. KEYS[1]: one of the jobs.
-- ARGV, for each job: id, fence, id of the last event, target asked now or '', number of events, name, data, name, data…
-- Returns for each job the id of its new last event, or -1 if its fence is stale.
local results, pushes, at = {}, {}, 1
while at < #ARGV do
  local id, fence, last, target, events = unpack(ARGV, at, at + 4)
  local job, final = tag .. ':job:' .. id, at + 4 + 2 * events
  local status, held, watch = unpack(redis.call('HMGET', job, 'status', 'fence', 'watch'))
  if held ~= fence or status ~= 'running' then
    results[#results + 1] = -1
  else
    if target ~= '' then redis.call('HSET', job, 'target', target) end
    results[#results + 1] = append(id, tonumber(last), watch, ARGV, at + 5, final, pushes)
  end
  at = final + 1
end
push(pushes)
return results
