-- Puts the callback for an event that does not end the job into the outbox, under the fence. KEYS[1]: the job.
-- ARGV: id, fence, ms from now until the sweeper may deliver, delivery id, field, value, …
-- Returns 1, 0 if it is there already, or -1 if the fence is stale.
local status, fence = unpack(redis.call('HMGET', KEYS[1], 'status', 'fence'))
if fence ~= ARGV[2] or status ~= 'running' then return -1 end
if redis.call('EXISTS', tag .. ':delivery:' .. ARGV[4]) == 1 then return 0 end
local fields = {}
for i = 5, #ARGV do fields[i - 4] = ARGV[i] end
enqueue_delivery(ARGV[1], ARGV[4], now_ms() + ARGV[3], fields)
return 1
