-- Counts calls that are part of no job, once, however often it is called. KEYS[1]: any key of the shard.
-- ARGV: name of the calls together, ms for which the name is remembered, owner, ms for which a day's usage is kept,
--       UTC day, number of rows of usage, model, numbers, …
local counted = tag .. ':counted:' .. ARGV[1]
if redis.call('SET', counted, 1, 'NX', 'PX', ARGV[2]) then count_usage(ARGV[3], ARGV, 5, #ARGV, ARGV[4]) end
return redis.status_reply('OK')
