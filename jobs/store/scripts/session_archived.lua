-- A message is in the archive; unless it was written anew meanwhile. KEYS[1]: the shard's unarchived set.
-- ARGV: id, the message that was archived.
local message = redis.call('GET', tag .. ':message:' .. ARGV[1])
if not message or message == ARGV[2] then redis.call('ZREM', KEYS[1], ARGV[1]) end
return 1
