-- Whether a job should have been looked at by now; nothing is taken. KEYS[1]: the shard's pending set. Returns 0 or 1.
return #redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now_ms(), 'LIMIT', 0, 1)
