-- Appends events under a fence, exactly once. KEYS[1]: the job.
-- ARGV: id, fence, id of the last event, target asked now or '', name, data, name, data…
-- Returns the id of the new last event, or -1 if the fence is stale.
local id, fence, last, target = unpack(ARGV, 1, 4)
local job = KEYS[1]
local status, held, watch = unpack(redis.call('HMGET', job, 'status', 'fence', 'watch'))
if held ~= fence or status ~= 'running' then return -1 end
if target ~= '' then redis.call('HSET', job, 'target', target) end
return append(id, tonumber(last), watch, ARGV, 5)
