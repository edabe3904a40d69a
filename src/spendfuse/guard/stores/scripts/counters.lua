-- Begins every step: the server's clock, and the counters as they stand.
--
-- A counter is a hash: s is what was spent, h what is held, u until when it is called in, b when
-- it was made (microseconds), n when the next of its holds end. What is held is kept once more by
-- the moment at which it ends: a field named for that moment (milliseconds) has the sum of all
-- that ends then. So holds end in one go, and a step costs the same however many there are.
--
-- A hold's record is one line and the JSON of its levels: state (h held, s settled, r released),
-- asked, granted, held now, number of the last part, when it ends, when it was made
-- (microseconds), its bucket in the sliding windows, and the cost that it was settled with.
--
-- Amounts stay text wherever they may be above 2^53: Lua's numbers are not exact there.

local clock = redis.call('TIME')
local micros = clock[1] * 1000000 + clock[2]
local now = math.floor(micros / 1000)
local record_pattern = '^(%a) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)\n(.*)$'

local function text(number)
  return string.format('%.0f', number)
end

local function end_what_is_due(key)
  local fields = redis.call('HGETALL', key)
  local due_next
  for i = 1, #fields, 2 do
    local ends = tonumber(fields[i])
    if ends and ends <= now then
      redis.call('HDEL', key, fields[i])
      if fields[i + 1] ~= '0' then
        redis.call('HINCRBY', key, 'h', '-' .. fields[i + 1])
      end
    elseif ends and (not due_next or ends < due_next) then
      due_next = ends
    end
  end
  if due_next then
    redis.call('HSET', key, 'n', text(due_next))
  else
    redis.call('HDEL', key, 'n')
  end
end

local function counter_at(key)
  local counter = redis.call('HMGET', key, 's', 'h', 'u', 'n', 'b')
  if counter[4] and tonumber(counter[4]) <= now then
    end_what_is_due(key)
    counter = redis.call('HMGET', key, 's', 'h', 'u', 'n', 'b')
  end
  return counter
end

local function is_called_in(counter)
  return counter[3] and tonumber(counter[3]) > now
end

-- ARGV from 7 on is the same in reserve and settle: the number of levels, the JSON of levels and
-- rates, for each level its limit, mode and when to forget its counter (0: never), for each rate
-- its limit, and where there are any, for each level its seed.

local function counters()
  local found, missing = {}, {}
  for i = 1, ARGV[7] do
    found[i] = counter_at(KEYS[i + 1])
    if not found[i][1] then
      missing[#missing + 1] = i
    end
  end
  return found, missing
end

local function seed(found, missing)
  local seeds = #KEYS - 1 - ARGV[7] + 8 + 3 * ARGV[7]
  for _, i in ipairs(missing) do
    local key, forgotten_at = KEYS[i + 1], ARGV[8 + 3 * i]
    redis.call('HSET', key, 's', ARGV[seeds + i] or '0', 'h', '0', 'b', text(micros))
    if forgotten_at ~= '0' then
      -- A late settle may come to a counter whose time is over; it must not stay for ever.
      redis.call('PEXPIREAT', key, text(math.max(forgotten_at, now + 86400000)))
    end
    found[i] = counter_at(key)
  end
end

local function hold_until(key, counter, ends, amount)
  redis.call('HINCRBY', key, 'h', amount)
  redis.call('HINCRBY', key, ends, amount)
  if not counter[4] or tonumber(ends) < tonumber(counter[4]) then
    redis.call('HSET', key, 'n', ends)
  end
end

-- Whether a counter still holds a live hold: one that was made anew since does not, nor one on
-- which it had ended before the server's clock stepped back.
local function is_held(key, counter, held, made, ends)
  return held ~= '0' and tonumber(counter[5]) <= tonumber(made)
    and (redis.call('HGET', key, ends) or '0') ~= '0'
end

-- What ends together is rounded up to whole widths, so that there are few such moments.
local function end_of(hold_ms, width)
  return text(math.ceil((now + hold_ms) / width) * width)
end

-- Corrects the bucket of a sliding window, as long as it counts.
local function correct(key, slot, change)
  if change ~= 0 and tonumber(slot) > math.floor(now / bucket_ms) - buckets then
    local counted = redis.call('HGET', key, slot)
    if counted then
      redis.call('HSET', key, slot, text(math.max(counted + change, 0)))
    end
  end
end
