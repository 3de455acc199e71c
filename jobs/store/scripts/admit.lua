-- Looks an API key up and, if it has a rate limit, charges one request to it by the generic cell rate algorithm: the
-- whole limit may come at once, then each request is earned by waiting. KEYS[1]: the key's hash.
-- ARGV: digest of the presented secret, UTC day whose tokens the request may spend or ''
-- Returns false if there is no such key, else
-- {record, digest, digest before the last rotation or '', µs until the limit lets a request through, tokens spent}.
-- A call repeated because its answer was lost is charged twice: on the side of the limit.
local record, digest, earlier, earlier_until, tat = unpack(
  redis.call('HMGET', KEYS[1], 'record', 'digest', 'earlier', 'earlier_until', 'tat'))
if not record then return false end
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
if not earlier or tonumber(earlier_until) * 1000 <= now then earlier = '' end
-- Only who knows the secret may use the limit up. Digests are made with a secret of ours, so this tells nobody anything.
if ARGV[1] ~= digest and ARGV[1] ~= earlier then return {record, digest, earlier, 0, 0} end

local key = cjson.decode(record)
if key.rate then
  local interval = math.ceil(key.rate.seconds * 1000000 / key.rate.requests)
  local after = math.max(tonumber(tat or 0), now) + interval
  local wait = after - now - interval * key.rate.requests
  if wait > 0 then return {record, digest, earlier, wait, 0} end
  redis.call('HSET', KEYS[1], 'tat', string.format('%.0f', after))
end
local spent = 0
if key.tokens_per_day and ARGV[2] ~= '' then
  spent = tonumber(redis.call('HGET', KEYS[1] .. ':spent:' .. ARGV[2], 'tokens') or 0)
end
return {record, digest, earlier, 0, spent}
