-- Hands a running job back, to be claimed by anyone at once; it does not count as a lost attempt. KEYS[1]: the job.
-- ARGV: id, fence, ms until the sweeper sends the hint again, calls to models so far as JSON or ''.
-- Returns 1, or -1 if the fence is stale.
local status, fence = unpack(redis.call('HMGET', KEYS[1], 'status', 'fence'))
-- The same call again after its answer was lost on the way: none but the holder of this fence handed it back.
if fence == ARGV[2] and status == 'queued' then return 1 end
if fence ~= ARGV[2] or status ~= 'running' then return -1 end
set_status(ARGV[1], status, 'queued')
redis.call('HSET', KEYS[1], 'lease', 0, 'ready', now_ms())
redis.call('HINCRBY', KEYS[1], 'handed_back', 1)
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'calls', ARGV[4]) end
redis.call('ZADD', tag .. ':pending', now_ms() + ARGV[3], ARGV[1])
return 1
