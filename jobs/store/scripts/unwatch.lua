-- Ends that push. KEYS[1]: the job. ARGV: id, gateway.
if redis.call('EXISTS', KEYS[1]) == 1 then unwatch(ARGV[1], ARGV[2]) end
return 1
