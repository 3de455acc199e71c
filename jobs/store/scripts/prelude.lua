-- Shared by all scripts. KEYS[1] is a key of the shard; every other key is derived from its hash tag.
local tag = string.match(KEYS[1], '^rb:{%d+}')
local EVENTS_KEPT = 10000

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

-- Appends events (name, data, name, data, …) to the job's log and pushes them to the gateways that watch it.
-- Ids count up from 1 without gaps. Returns the last id.
local function append(id, pairs_)
  local job, log = tag .. ':job:' .. id, tag .. ':events:' .. id
  local watchers = redis.call('SMEMBERS', tag .. ':watch:' .. id)
  local n = redis.call('HINCRBY', job, 'events', #pairs_ / 2) - #pairs_ / 2
  for i = 1, #pairs_, 2 do
    n = n + 1
    redis.call('XADD', log, 'MAXLEN', '~', EVENTS_KEPT, n .. '-0', 'e', pairs_[i], 'd', pairs_[i + 1])
    if #watchers > 0 then
      local frame = 'id: ' .. n .. '\nevent: ' .. pairs_[i] .. '\ndata: ' .. pairs_[i + 1] .. '\n\n'
      local message = id .. ' ' .. n .. ' ' .. pairs_[i] .. '\n' .. frame
      for _, gateway in ipairs(watchers) do
        -- Nobody listens: that gateway died, or lost its connection and will watch again when it is back.
        if redis.call('SPUBLISH', tag .. ':wire:' .. gateway, message) == 0 then
          redis.call('SREM', tag .. ':watch:' .. id, gateway)
        end
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
  redis.call('HSET', key, 'job_id', job_id, 'status', 'pending', 'tries', 0, unpack(fields))
  redis.call('ZADD', tag .. ':due', due, delivery_id)
  redis.call('RPUSH', tag .. ':deliveries:' .. job_id, delivery_id)
  redis.call('PERSIST', tag .. ':deliveries:' .. job_id)
end
