-- Makes a session. KEYS[1]: the session. ARGV: spec, owner, time to live in ms, messages of earlier sessions as JSON.
-- A call repeated because its answer was lost makes the same one.
redis.call('HSET', KEYS[1], 'spec', ARGV[1], 'owner', ARGV[2], 'ttl', ARGV[3], 'earlier', ARGV[4], 'version', 0)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
