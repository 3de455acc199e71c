-- Writes what was said in a turn into the history, under the turn's fence. Each place in a turn is one message, however
-- often the job is run: a later attempt writes the same message again. KEYS[1]: the session.
-- ARGV: session id, job id, the job's fence, the session's fence, place in the turn, message id, message,
--       oldest id kept in histories, ms for which it is kept, ms until it is archived by somebody else or '',
--       index of the user's messages…
-- Returns {'ok', id of the message}, {'later', id of the newest message: take a later one}, {'gone'} or {'stale'}.
local id, job_id, job_fence, fence, place, message_id, message = unpack(ARGV, 1, 7)
local oldest, kept_ms, archive_ms = unpack(ARGV, 8, 10)
local ttl, current, holder = unpack(redis.call('HMGET', KEYS[1], 'ttl', 'fence', 'holder'))
if not ttl then return {'gone'} end
local job = tag .. ':job:' .. job_id
local status, held, said = unpack(redis.call('HMGET', job, 'status', 'fence', 'said:' .. place))
if status ~= 'running' or held ~= job_fence then return {'stale'} end
if current ~= fence or holder ~= job_id .. ' ' .. job_fence then return {'stale'} end

local history = tag .. ':history:' .. id
if said then
  message_id = said
else
  -- Clocks differ; the order of ids is the order of the history all the same.
  local newest = redis.call('ZREVRANGEBYLEX', history, '+', '-', 'LIMIT', 0, 1)[1]
  if newest and newest >= message_id then return {'later', newest} end
  redis.call('HSET', job, 'said:' .. place, message_id)
end
redis.call('SET', tag .. ':message:' .. message_id, message, 'PX', kept_ms)
redis.call('ZADD', history, 0, message_id)
trim(history, oldest, kept_ms)
for i = 11, #ARGV do
  redis.call('ZADD', tag .. ':index:' .. ARGV[i], 0, message_id)
  trim(tag .. ':index:' .. ARGV[i], oldest, kept_ms)
end
if archive_ms ~= '' then redis.call('ZADD', tag .. ':unarchived', now_ms() + archive_ms, message_id) end
touch_session(id)
return {'ok', message_id}
