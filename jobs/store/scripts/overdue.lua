-- Takes jobs that should have been looked at by now; each is given to one caller. KEYS[1]: the shard's pending set.
-- ARGV: most, ms until they are overdue again, ms until a job in the backlog is looked at.
-- Returns {id, priority, id, priority, …}: jobs that need a hint.
local now = now_ms()
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])) do
  local job = tag .. ':job:' .. id
  local priority, owner, turn, session, start_by =
    unpack(redis.call('HMGET', job, 'priority', 'owner', 'turn', 'session', 'start_by'))
  if not priority then
    redis.call('ZREM', KEYS[1], id)
  elseif turn == 'session' then
    -- Whoever may wait no longer is run too, and expires; so is whoever waits in a session that has gone.
    local first = first_in_line(session)
    local late = tonumber(start_by) > 0 and now > tonumber(start_by)
    if first ~= '' and first ~= id and not late then
      look_again(id, ARGV[3], start_by)
    elseif let_in(id, priority .. ':' .. owner, ARGV[2], ARGV[3]) then
      found[#found + 1] = id
      found[#found + 1] = priority
    end
  elseif turn == '0' and redis.call('EXISTS', tag .. ':turns:' .. priority .. ':' .. owner) == 1 then
    redis.call('ZADD', KEYS[1], now + ARGV[3], id)  -- its turn will come
  else
    if turn == '0' then
      redis.call('HSET', job, 'turn', 1)
      redis.call('INCR', tag .. ':turns:' .. priority .. ':' .. owner)
    end
    redis.call('ZADD', KEYS[1], now + ARGV[2], id)
    found[#found + 1] = id
    found[#found + 1] = priority
  end
end
return found
