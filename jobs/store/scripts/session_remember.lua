-- Replaces a session's memory, if it is still the version that the new one was made from. KEYS[1]: the session.
-- ARGV: fence of the refiner, ms for which it may go on without a sign or 0 (it has done), version it was made from,
--       id of the last message covered or '', memory or '' (nothing new).
-- Returns 'ok', 'stale' (somebody else refines now, or has written meanwhile) or 'gone'.
local fence, lease, from, covered, memory = unpack(ARGV)
local ttl, current, version = unpack(redis.call('HMGET', KEYS[1], 'ttl', 'refining', 'version'))
if not ttl then return 'gone' end
if current ~= fence then return 'stale' end
if memory ~= '' then
  -- One more: the same call again after its answer was lost on the way. None but this fence could have written.
  if version ~= from and tonumber(version) ~= from + 1 then return 'stale' end
  redis.call('HSET', KEYS[1], 'memory', memory, 'covered', covered, 'version', from + 1)
end
if lease == '0' then redis.call('HDEL', KEYS[1], 'refiner', 'refining_until')
else redis.call('HSET', KEYS[1], 'refining_until', now_ms() + lease) end
return 'ok'
