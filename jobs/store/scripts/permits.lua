-- The places at one target, of which there are only so many. KEYS[1]: sorted set of who has one, scored by when it
-- lapses. ARGV: number of places, ms for which a place is kept without renewal, ms for which one waits without asking
-- again, then triples: 'want', 'renew' or 'release', who, and the class of one who waits (the lower the sooner).
-- Places go to those who wait in order of class and arrival. Returns for each triple whether that one has a place now.
local held, waiting, asked = KEYS[1], KEYS[1] .. ':waiting', KEYS[1] .. ':asked'
local places, kept, patience = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local now = now_ms()
redis.call('ZREMRANGEBYSCORE', held, '-inf', now)
for i = 4, #ARGV, 3 do
  local op, who, class = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if op == 'release' then
    redis.call('ZREM', held, who)
    redis.call('ZREM', waiting, who)
    redis.call('ZREM', asked, who)
  elseif redis.call('ZSCORE', held, who) then
    redis.call('ZADD', held, now + kept, who)
  elseif op == 'want' then
    if not redis.call('ZSCORE', waiting, who) then
      redis.call('ZADD', waiting, class * 1e13 + redis.call('INCR', KEYS[1] .. ':arrivals'), who)
    end
    redis.call('ZADD', asked, now, who)
  end
end
-- Those whose process has gone wait no longer.
for _, who in ipairs(redis.call('ZRANGEBYSCORE', asked, '-inf', now - patience)) do
  redis.call('ZREM', waiting, who)
  redis.call('ZREM', asked, who)
end
local free = places - redis.call('ZCARD', held)
if free > 0 then
  for _, who in ipairs(redis.call('ZRANGE', waiting, 0, free - 1)) do
    redis.call('ZADD', held, now + kept, who)
    redis.call('ZREM', waiting, who)
    redis.call('ZREM', asked, who)
  end
end
local has = {}
for i = 4, #ARGV, 3 do has[#has + 1] = redis.call('ZSCORE', held, ARGV[i + 1]) and 1 or 0 end
for _, key in ipairs({ held, waiting, asked, KEYS[1] .. ':arrivals' }) do redis.call('PEXPIRE', key, 3600000) end
return has
