-- Gives an API key a new secret; the one that it had works on for a while. KEYS[1]: the key's hash.
-- ARGV: digest of the new secret, ms for which the old one works on. Returns 1, or 0 if there is no such key.
local digest = redis.call('HGET', KEYS[1], 'digest')
if not digest then return 0 end
if digest ~= ARGV[1] then  -- else: the same call again after its answer was lost on the way
  redis.call('HSET', KEYS[1], 'digest', ARGV[1], 'earlier', digest,
    'earlier_until', string.format('%.0f', now_ms() + ARGV[2]))
end
return 1
