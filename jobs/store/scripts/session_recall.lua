-- Everything that a turn remembers, in one step. KEYS[1]: the session. ARGV: session id, most messages.
-- Returns false if the session is gone, else {spec, messages of earlier sessions as JSON, version of the memory,
-- memory or '', id, message, …}: the newest messages that the memory does not cover, oldest first.
local spec, earlier, version, memory, covered =
  unpack(redis.call('HMGET', KEYS[1], 'spec', 'earlier', 'version', 'memory', 'covered'))
if not spec then return false end
local found = {spec, earlier, version, memory or ''}
local after = covered and '(' .. covered or '-'
local newest = redis.call('ZREVRANGEBYLEX', tag .. ':history:' .. ARGV[1], '+', after, 'LIMIT', 0, ARGV[2])
for i = #newest, 1, -1 do
  local message = redis.call('GET', tag .. ':message:' .. newest[i])
  if message then
    found[#found + 1] = newest[i]
    found[#found + 1] = message
  end
end
return found
