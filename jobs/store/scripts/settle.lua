-- Records one attempt at a delivery. KEYS[1]: the delivery.
-- ARGV: id, the attempt as JSON, new status, ms until the next try (used if it is 'pending'), retention ms.
redis.call('RPUSH', tag .. ':attempts:' .. ARGV[1], ARGV[2])
redis.call('HINCRBY', KEYS[1], 'tries', 1)
redis.call('HSET', KEYS[1], 'status', ARGV[3])
if ARGV[3] == 'pending' then
  redis.call('ZADD', tag .. ':due', now_ms() + ARGV[4], ARGV[1])
else
  redis.call('ZREM', tag .. ':due', ARGV[1])
end
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('PEXPIRE', tag .. ':attempts:' .. ARGV[1], ARGV[5])
return 1
