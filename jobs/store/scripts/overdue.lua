-- Takes jobs that should have been looked at by now; each is given to one caller. KEYS[1]: the shard's pending set.
-- ARGV: most, ms until whose hint is the first or whose worker died is overdue again, ms until all others are (their hints
-- are more likely to wait than lost), ms until a job in the backlog is looked at.
-- Returns {id, priority, id, priority, …}: jobs that need a hint.
local soon, later, look = unpack(ARGV, 2, 4)
local now = now_ms()
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])) do
  local job = tag .. ':job:' .. id
  local priority, owner, turn, session, start_by, status =
    unpack(redis.call('HMGET', job, 'priority', 'owner', 'turn', 'session', 'start_by', 'status'))
  if not priority then
    redis.call('ZREM', KEYS[1], id)
  elseif turn == 'session' then
    -- Whoever may wait no longer is run too, and expires; so is whoever waits in a session that has gone.
    local first = first_in_line(session)
    local late = tonumber(start_by) > 0 and now > tonumber(start_by)
    if first ~= '' and first ~= id and not late then
      look_again(id, look, start_by)
    elseif let_in(id, priority .. ':' .. owner, soon, look) then
      found[#found + 1] = id
      found[#found + 1] = priority
    end
  elseif turn == '0' and redis.call('EXISTS', tag .. ':turns:' .. priority .. ':' .. owner) == 1 then
    redis.call('ZADD', KEYS[1], now + look, id)  -- its turn will come
  else
    if turn == '0' then
      redis.call('HSET', job, 'turn', 1)
      redis.call('INCR', tag .. ':turns:' .. priority .. ':' .. owner)
    end
    redis.call('ZADD', KEYS[1], now + (status == 'running' and soon or later), id)
    found[#found + 1] = id
    found[#found + 1] = priority
  end
end
return found
