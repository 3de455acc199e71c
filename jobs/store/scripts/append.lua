-- Appends events under a fence, exactly once. KEYS[1]: the job.
-- ARGV: id, fence, id of the last event the caller knows, target asked now or '', name, data, name, data…
-- Returns the id of the last event, or -1 if the fence is stale.
local job = KEYS[1]
local status, fence, events = unpack(redis.call('HMGET', job, 'status', 'fence', 'events'))
if fence ~= ARGV[2] or status ~= 'running' then return -1 end
-- The same call again after its answer was lost on the way.
if tonumber(events) > tonumber(ARGV[3]) then return tonumber(events) end
if ARGV[4] ~= '' then redis.call('HSET', job, 'target', ARGV[4]) end
local log = {}
for i = 5, #ARGV do log[i - 4] = ARGV[i] end
return append(ARGV[1], log)
