-- Accepts a job: record, idempotency record, pending entry and indexes, all or nothing.
-- ARGV: id, spec, priority, target, owner or '', start_by ms or 0, ms until the hint is sent again, watching gateway or '',
--       queue of the broker or '', hint to push onto it, idempotency key or '', fingerprint, idempotency ms, oldest id kept in indexes, index ms, index name…
-- Returns {'created', id}, {'same', id of the earlier job} or {'reused'} (the key was used with another body).
local id, spec, priority, target, owner, start_by, again, watcher, queue, hint = unpack(ARGV, 1, 10)
local key, fingerprint, key_ms, oldest, index_ms = unpack(ARGV, 11, 15)
local job = tag .. ':job:' .. id

-- The same call again after its answer was lost on the way.
if redis.call('EXISTS', job) == 1 then return {'created', id} end

if key ~= '' then
  local idem = tag .. ':idem:' .. key
  local earlier = redis.call('HMGET', idem, 'fingerprint', 'job')
  if earlier[1] then
    if earlier[1] ~= fingerprint then return {'reused'} end
    return {'same', earlier[2]}
  end
  redis.call('HSET', idem, 'fingerprint', fingerprint, 'job', id)
  redis.call('PEXPIRE', idem, key_ms)
end

redis.call('HSET', job, 'spec', spec, 'status', 'queued', 'priority', priority, 'target', target, 'first', target,
  'owner', owner, 'start_by', start_by, 'attempt', 0, 'fence', 0, 'lease', 0)
redis.call('ZADD', tag .. ':pending', now_ms() + again, id)
if watcher ~= '' then redis.call('HSET', job, 'watch', watcher) end
for i = 16, #ARGV do
  local index = tag .. ':index:' .. ARGV[i]
  redis.call('ZADD', index, 0, id)
  trim(index, oldest, index_ms)
end
if queue ~= '' then redis.call('LPUSH', queue, hint) end
return {'created', id}
