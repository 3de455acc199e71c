-- Lets one caller at a time refine a session's memory; it does not hold up turns. KEYS[1]: the session.
-- ARGV: token unique to the caller, ms for which it may go on without a sign.
-- Returns {'held', fence}, {'busy'} (somebody else does it) or {'gone'}.
local ttl, refiner, fence, lease = unpack(redis.call('HMGET', KEYS[1], 'ttl', 'refiner', 'refining', 'refining_until'))
if not ttl then return {'gone'} end
local now = now_ms()
if refiner ~= ARGV[1] then
  if refiner and tonumber(lease) > now then return {'busy'} end
  fence = redis.call('HINCRBY', KEYS[1], 'refining', 1)
end
redis.call('HSET', KEYS[1], 'refiner', ARGV[1], 'refining_until', now + ARGV[2])
return {'held', tostring(fence)}
