-- Adds the tokens of one attempt at a job to what its API key has spent on a day, once, however often it is called.
-- KEYS[1]: the key's hash. ARGV: UTC day, name of the attempt, tokens, ms for which the day is kept.
-- Returns the tokens spent on that day; 0 for a key without a budget, of which nothing is kept.
local record = redis.call('HGET', KEYS[1], 'record')
if not record or not cjson.decode(record).tokens_per_day then return 0 end
local day = KEYS[1] .. ':spent:' .. ARGV[1]
if redis.call('HSETNX', day, ARGV[2], ARGV[3]) == 1 then
  redis.call('HINCRBY', day, 'tokens', ARGV[3])
  redis.call('PEXPIRE', day, ARGV[4])
end
return tonumber(redis.call('HGET', day, 'tokens'))
