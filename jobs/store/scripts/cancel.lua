-- Asks the worker that runs the job to stop it. KEYS[1]: the job. Returns 1, or 0 if the job has ended or is gone.
local status = redis.call('HGET', KEYS[1], 'status')
if not status or is_terminal(status) then return 0 end
redis.call('HSET', KEYS[1], 'cancel', 1)
return 1
