-- Accepts a job: record, idempotency record, pending entry, place in its line and indexes, all or nothing.
-- ARGV: id, spec, priority, target, owner or '', start_by ms or 0, ms until the hint is sent again,
--       ms until a job in the backlog is looked at, most unfinished jobs of the shard, most queued ones of the line,
--       watching gateway or '', queue of the broker or '', hint to push onto it,
--       idempotency key or '', fingerprint, idempotency ms, oldest id kept in indexes, index ms,
--       session in which it takes its turn or '', '1' if it must not wait for others there, most jobs in the session's
--       line, index name…
-- Returns {'hinted', id} (or, without a queue: to be hinted), {'waiting', id} (its turn will come),
-- {'same', id of the earlier job}, {'reused'} (the key was used with another body), {'full'}, {'line_full'},
-- {'gone'} (there is no such session), {'busy'} (others take their turns there) or {'session_full'}.
local id, spec, priority, target, owner, start_by, again, look, most, most_of_line = unpack(ARGV, 1, 10)
local watcher, queue, hint, key, fingerprint, key_ms, oldest, index_ms, session, refuse, most_there = unpack(ARGV, 11, 21)
local job = tag .. ':job:' .. id

-- The same call again after its answer was lost on the way.
local turn = redis.call('HMGET', job, 'status', 'turn')
if turn[1] then return {(turn[2] == '0' or turn[2] == 'session') and 'waiting' or 'hinted', id} end

local idem = tag .. ':idem:' .. key
if key ~= '' then
  local earlier = redis.call('HMGET', idem, 'fingerprint', 'job')
  if earlier[1] then
    if earlier[1] ~= fingerprint then return {'reused'} end
    return {'same', earlier[2]}
  end
end

local must_wait = false
if session ~= '' then
  if redis.call('EXISTS', tag .. ':session:' .. session) == 0 then return {'gone'} end
  must_wait = first_in_line(session) ~= ''
  if must_wait and refuse == '1' then return {'busy'} end
  if redis.call('ZCARD', tag .. ':line:' .. session) >= tonumber(most_there) then return {'session_full'} end
end
local line = priority .. ':' .. owner
if redis.call('ZCARD', tag .. ':pending') >= tonumber(most) then return {'full'} end
if redis.call('LLEN', tag .. ':backlog:' .. line) + redis.call('SCARD', tag .. ':waiting:' .. line)
  >= tonumber(most_of_line) then return {'line_full'} end

if key ~= '' then
  redis.call('HSET', idem, 'fingerprint', fingerprint, 'job', id)
  redis.call('PEXPIRE', idem, key_ms)
end
redis.call('HSET', job, 'spec', spec, 'status', 'queued', 'priority', priority, 'target', target, 'first', target,
  'owner', owner, 'start_by', start_by, 'attempt', 0, 'fence', 0, 'lease', 0)
local hinted = false
if must_wait then
  redis.call('HSET', job, 'turn', 'session')
  redis.call('SADD', tag .. ':waiting:' .. line, id)
  look_again(id, look, start_by)
else
  hinted = make_ready(id, line, again, look)
end
if watcher ~= '' then redis.call('HSET', job, 'watch', watcher) end
for i = 22, #ARGV do
  local index = tag .. ':index:' .. ARGV[i]
  redis.call('ZADD', index, 0, id)
  trim(index, oldest, index_ms)
end
if session ~= '' then
  redis.call('HSET', job, 'session', session)
  join_line(session, id)
  touch_session(session)
end
if hinted and queue ~= '' then redis.call('LPUSH', queue, hint) end
return {hinted and 'hinted' or 'waiting', id}
