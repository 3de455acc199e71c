-- The places at one target, of which there are only so many, given out only so fast: the latter by the generic cell rate
-- algorithm. KEYS[1]: sorted set of who has one, scored by when it lapses. ARGV: number of places (0: as many as come),
-- µs in which one more may be given out (0: at once), how many at once after a while without any, ms for which a place is
-- kept without renewal, ms for which one waits without asking again, then triples: 'want', 'renew', 'release',
-- 'refused' (the target itself said that the quota is used up) or 'take' (whatever the quota is), who, and the class of
-- one who waits (the lower the sooner).
-- Places go to those who wait in order of class and arrival. Returns for each triple whether that one has a place now.
local held, waiting, asked, full_at = KEYS[1], KEYS[1] .. ':waiting', KEYS[1] .. ':asked', KEYS[1] .. ':full-at'
local places, interval, burst, kept, patience = unpack(ARGV, 1, 5)
places, interval, burst = tonumber(places), tonumber(interval), tonumber(burst)
local t = redis.call('TIME')
local now, now_us = now_ms(), t[1] * 1000000 + t[2]
-- When all of the burst is there again; the quota may have been another one when that was written.
local full = math.max(tonumber(redis.call('GET', full_at) or 0), now_us)
full = math.min(full, now_us + interval * burst)
redis.call('ZREMRANGEBYSCORE', held, '-inf', now)
for i = 6, #ARGV, 3 do
  local op, who, class = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if op == 'release' or op == 'refused' then
    redis.call('ZREM', held, who)
    redis.call('ZREM', waiting, who)
    redis.call('ZREM', asked, who)
    if op == 'refused' then full = math.max(full, now_us + interval * burst) end
  elseif op == 'take' or redis.call('ZSCORE', held, who) then
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
local free = places > 0 and places - redis.call('ZCARD', held) or math.huge
if interval > 0 then free = math.min(free, math.floor(burst - (full - now_us) / interval)) end
if free > 0 then
  local last = free == math.huge and -1 or free - 1
  for _, who in ipairs(redis.call('ZRANGE', waiting, 0, last)) do
    redis.call('ZADD', held, now + kept, who)
    redis.call('ZREM', waiting, who)
    redis.call('ZREM', asked, who)
    full = full + interval
  end
end
if full > now_us then redis.call('SET', full_at, string.format('%.0f', full)) end
local has = {}
for i = 6, #ARGV, 3 do has[#has + 1] = redis.call('ZSCORE', held, ARGV[i + 1]) and 1 or 0 end
for _, key in ipairs({ held, waiting, asked, full_at, KEYS[1] .. ':arrivals' }) do redis.call('PEXPIRE', key, 3600000) end
return has
