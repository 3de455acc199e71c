-- Shared by all scripts, each of which gets the first part and whatever it calls of the others. Parts are separated by
-- empty lines. KEYS[1] is a key of the shard; every other key is derived from its hash tag.
local tag = string.match(KEYS[1], '^rb:{%d+}')
local EVENTS_KEPT = 10000
local HINTS_AHEAD = 4
local USAGE_ROWS = 4096

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- JSON as everyone else writes it: cjson escapes slashes.
local function json(value)
  return (string.gsub(cjson.encode(value), '\\/', '/'))
end

local function is_terminal(status)
  return status == 'succeeded' or status == 'failed' or status == 'cancelled' or status == 'expired'
end

-- Takes a gateway from the job's watchers, which are ids separated by spaces.
local function unwatch(id, gateway)
  local job, left = tag .. ':job:' .. id, {}
  for other in string.gmatch(redis.call('HGET', job, 'watch') or '', '%S+') do
    if other ~= gateway then left[#left + 1] = other end
  end
  if #left > 0 then redis.call('HSET', job, 'watch', table.concat(left, ' '))
  else redis.call('HDEL', job, 'watch') end
end

-- The id of the last event in the job's log, 0 if there is none.
local function last_event(id)
  local newest = redis.call('XREVRANGE', tag .. ':events:' .. id, '+', '-', 'COUNT', 1)
  return newest[1] and tonumber(string.match(newest[1][1], '^%d+')) or 0
end

-- Pushes to each gateway what waits for it in `pushes`.
local function push(pushes)
  for gateway, waiting in pairs(pushes) do
    -- Nobody listens: that gateway died, or lost its connection and will watch again when it is back.
    if redis.call('SPUBLISH', tag .. ':wire:' .. gateway, table.concat(waiting)) == 0 then
      for id in pairs(waiting.jobs) do unwatch(id, gateway) end
    end
  end
end
-- Appends the events in `list` from `first` to `last` (name, data, name, data, …) after event `n`; what is to be pushed
-- to the gateways in `watch`, separated by spaces, is put into `pushes`. Ids count up from 1 without gaps. Returns the
-- last id; nothing happens if an event has that id already.
local function append(id, n, watch, list, first, last, pushes)
  local log = tag .. ':events:' .. id
  for i = first, last, 2 do
    local name, data = list[i], list[i + 1]
    n = n + 1
    local added = redis.pcall('XADD', log, 'MAXLEN', '~', EVENTS_KEPT, n .. '-0', 'e', name, 'd', data)
    if type(added) == 'table' then  -- an error, not an id
      if i == first and string.find(added.err, 'equal or smaller', 1, true) then return n - 1 + (last - i + 1) / 2 end
      push(pushes)
      error(added)
    end
    if watch then
      local frame = 'id: ' .. n .. '\nevent: ' .. name .. '\ndata: ' .. data .. '\n\n'
      local message = id .. ' ' .. n .. ' ' .. name .. ' ' .. #frame .. '\n' .. frame
      for gateway in string.gmatch(watch, '%S+') do
        local waiting = pushes[gateway]
        if not waiting then
          waiting = {jobs = {}}
          pushes[gateway] = waiting
        end
        waiting[#waiting + 1] = message
        waiting.jobs[id] = true
      end
    end
  end
  return n
end

-- Drops from an index what has passed its retention: ids before `oldest`; all of it after `kept_ms` without a change.
local function trim(index, oldest, kept_ms)
  redis.call('ZREMRANGEBYLEX', index, '-', '(' .. oldest)
  redis.call('PEXPIRE', index, kept_ms)
end

local function set_status(id, old, new)
  redis.call('HSET', tag .. ':job:' .. id, 'status', new)
  if old then redis.call('ZREM', tag .. ':index:status:' .. old, id) end
  redis.call('ZADD', tag .. ':index:status:' .. new, 0, id)
end

-- Puts a callback into the outbox, to be tried at `due` (Unix ms); nothing of it expires before it is settled.
-- fields: the delivery's hash as name, value, …
local function enqueue_delivery(job_id, delivery_id, due, fields)
  local key = tag .. ':delivery:' .. delivery_id
  local owner = redis.call('HGET', tag .. ':job:' .. job_id, 'owner') or ''
  redis.call('HSET', key, 'job_id', job_id, 'owner', owner, 'status', 'pending', 'tries', 0, unpack(fields))
  redis.call('ZADD', tag .. ':due', due, delivery_id)
  redis.call('RPUSH', tag .. ':deliveries:' .. job_id, delivery_id)
  redis.call('PERSIST', tag .. ':deliveries:' .. job_id)
end

-- Adds to what an owner has used on a day. list: from `first` on the UTC day and the number of rows, then up to `last`
-- each row's model and numbers, separated by spaces. A day's hash has a row of sums for each owner and model, at most
-- USAGE_ROWS before all other models of an owner share one: models have any names that callers make up.
local function count_usage(owner, list, first, last, kept_ms)
  local day = tag .. ':usage:' .. list[first]
  for i = first + 2, last, 2 do
    local field = owner .. '|' .. list[i]
    local row, rows = redis.call('HGET', day, field), 1
    if not row then
      rows = redis.call('HLEN', day)
      if rows >= USAGE_ROWS then
        field = owner .. '|other'
        row = redis.call('HGET', day, field)
      end
    end
    local sums, at = {}, string.gmatch(row or '', '%d+')
    for number in string.gmatch(list[i + 1], '%d+') do
      sums[#sums + 1] = string.format('%.0f', number + (at() or 0))
    end
    redis.call('HSET', day, field, table.concat(sums, ' '))
    if rows == 0 then redis.call('PEXPIRE', day, kept_ms) end
  end
end

-- Moves a delivery from the index of its old status to that of the new one, everybody's and its owner's.
local function index_delivery(id, owner, old, new, oldest, kept_ms)
  for _, whose in ipairs(owner ~= '' and {'', 'owner:' .. owner .. ':'} or {''}) do
    local index = tag .. ':index:' .. whose .. 'delivery:'
    if old ~= new then redis.call('ZREM', index .. old, id) end
    redis.call('ZADD', index .. new, 0, id)
    trim(index .. new, oldest, kept_ms)
  end
end

-- Whether a job that has just come may be hinted at once. A line holds the queued jobs of one priority and one owner:
-- HINTS_AHEAD of them have a hint on its way, the others wait in the line's backlog for their turn, so that nobody's many
-- jobs stand between a worker and somebody else's one.
local function take_turn(id, line)
  local turns = tag .. ':turns:' .. line
  if redis.call('INCR', turns) <= HINTS_AHEAD then return true end
  redis.call('DECR', turns)
  redis.call('RPUSH', tag .. ':backlog:' .. line, id)
  return false
end

-- Gives the turn of a job that no longer waits to the next one in its line. Returns that one's id, or '' if none waits.
local function pass_turn(line, pending_until)
  local backlog = tag .. ':backlog:' .. line
  local next_id = redis.call('LPOP', backlog)
  while next_id do
    local job = tag .. ':job:' .. next_id
    if redis.call('HGET', job, 'turn') == '0' then
      redis.call('HSET', job, 'turn', 1)
      redis.call('ZADD', tag .. ':pending', pending_until, next_id)
      return next_id
    end
    next_id = redis.call('LPOP', backlog)
  end
  if redis.call('DECR', tag .. ':turns:' .. line) <= 0 then redis.call('DEL', tag .. ':turns:' .. line) end
  return ''
end

-- Lets a job that has nothing left to wait for take its turn, see take_turn. Returns whether it may be hinted at once.
-- again, look: ms until its hint is sent again, and until it is looked at while it waits in the backlog.
local function make_ready(id, line, again, look)
  local hinted = take_turn(id, line)
  redis.call('HSET', tag .. ':job:' .. id, 'turn', hinted and 1 or 0)
  redis.call('ZADD', tag .. ':pending', now_ms() + (hinted and again or look), id)
  return hinted
end

-- Lets a job that waits for its session do so no longer, see make_ready.
local function let_in(id, line, again, look)
  redis.call('SREM', tag .. ':waiting:' .. line, id)
  redis.call('HSET', tag .. ':job:' .. id, 'ready', now_ms())
  return make_ready(id, line, again, look)
end

-- Has a job that waits in its session's line looked at after `look` ms, or when it should have been started.
local function look_again(id, look, start_by)
  local now = now_ms()
  local pause = tonumber(look)
  if tonumber(start_by) > 0 then pause = math.max(0, math.min(pause, start_by - now + 1)) end
  redis.call('ZADD', tag .. ':pending', now + pause, id)
end

-- Lets a session, and the line of jobs that wait for it, last for its time to live from now on.
local function touch_session(id)
  local session = tag .. ':session:' .. id
  local ttl = redis.call('HGET', session, 'ttl')
  redis.call('PEXPIRE', session, ttl)
  redis.call('PEXPIRE', tag .. ':line:' .. id, ttl)
end

-- The job whose turn it is in a session: the first in its line that has not ended; '' if there is none. Whoever has
-- ended or vanished is dropped from the line, so that it moves on with the jobs and nobody has to release anything.
local function first_in_line(id)
  local line = tag .. ':line:' .. id
  while true do
    local first = redis.call('ZRANGE', line, 0, 0)[1]
    if not first then return '' end
    local status = redis.call('HGET', tag .. ':job:' .. first, 'status')
    if status and not is_terminal(status) then return first end
    redis.call('ZREM', line, first)
  end
end

-- Puts a job at the end of a session's line.
local function join_line(id, job_id)
  redis.call('ZADD', tag .. ':line:' .. id, redis.call('HINCRBY', tag .. ':session:' .. id, 'arrivals', 1), job_id)
end
