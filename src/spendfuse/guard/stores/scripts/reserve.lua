-- Holds an amount on all levels and rates, or on none.
--
-- KEYS: the hold's record, its counters, its windows.
-- ARGV: asked, least that would do, hold time and the width it is rounded to (ms), 1 if missing
-- counters may be made, 1 if a refusal calls in; from 7 on see counters.lua.
-- Answers, each counter as spent, held, called in, before this step:
--   G granted slot counters… | R counters… waits (ms)… | U numbers of the missing counters…
--   A now counters… and the record on the next line, where the id is known | O it can't be counted

local asked, levels = tonumber(ARGV[1]), tonumber(ARGV[7])
local known = redis.call('GET', KEYS[1])
local found, missing = counters()

local function answer(first)
  for _, counter in ipairs(found) do
    first[#first + 1] = counter[1] or '0'
    first[#first + 1] = counter[2] or '0'
    first[#first + 1] = is_called_in(counter) and '1' or '0'
  end
  return first
end

if known then
  return table.concat(answer({'A', text(now)}), ' ') .. '\n' .. known
end
if #missing > 0 then
  if ARGV[5] == '0' then
    return 'U ' .. table.concat(missing, ' ')
  end
  seed(found, missing)
end

local grant, short = asked, {}
for i, counter in ipairs(found) do
  local mode = ARGV[7 + 3 * i]
  local room = ARGV[6 + 3 * i] - counter[1] - counter[2]
  if counter[2] + asked > 9e18 then
    return 'O'
  end
  if asked > 0 and room < asked and mode ~= 'observe' then
    short[#short + 1] = i
    if mode == 'strict' or room < math.max(ARGV[2], 1) then
      grant = nil
    elseif grant then
      grant = math.min(grant, room)
    end
  end
end

-- Milliseconds until the amount fits into a window; 0: it does; -1: it never will.
local slot = math.floor(now / bucket_ms)
local function wait(key, limit)
  local amounts, total = {}, 0
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    local at = tonumber(fields[i])
    if at > slot - buckets then
      amounts[at], total = tonumber(fields[i + 1]), total + fields[i + 1]
    else
      redis.call('HDEL', key, fields[i])
    end
  end
  local left = total + asked - limit
  if asked == 0 or left <= 0 then
    return 0
  end
  if asked > limit then
    return -1
  end
  local leaving = slot - buckets
  while left > 0 and leaving < slot do
    leaving = leaving + 1
    left = left - (amounts[leaving] or 0)
  end
  return (leaving + buckets) * bucket_ms - now
end

local waits, must_wait = {}, false
for i = levels + 2, #KEYS do
  local ms = wait(KEYS[i], tonumber(ARGV[2 * levels + 7 + i]))
  must_wait = must_wait or ms ~= 0
  waits[#waits + 1] = text(ms)
end

if not grant or must_wait then
  if ARGV[6] == '1' then
    for _, i in ipairs(short) do
      found[i][3] = text(now + called_in_ms)
      redis.call('HSET', KEYS[i + 1], 'u', found[i][3])
    end
  end
  local refused = answer({'R'})
  for _, ms in ipairs(waits) do
    refused[#refused + 1] = ms
  end
  return table.concat(refused, ' ')
end

local granted, ends = text(grant), end_of(ARGV[3], ARGV[4])
-- No hold is older than its counters, though the server's clock has stepped back since.
local made = micros
for _, counter in ipairs(found) do
  made = math.max(made, tonumber(counter[5]))
end
if grant > 0 then
  for i, counter in ipairs(found) do
    hold_until(KEYS[i + 1], counter, ends, granted)
  end
  for i = levels + 2, #KEYS do
    redis.call('HINCRBY', KEYS[i], text(slot), granted)
    redis.call('PEXPIRE', KEYS[i], text((buckets + 1) * bucket_ms))
  end
end
local record = {'h', ARGV[1], granted, granted, '0', ends, text(made), text(slot), '0'}
redis.call('SET', KEYS[1], table.concat(record, ' ') .. '\n' .. ARGV[8], 'PX',
  text(ARGV[3] + late_ms))
return table.concat(answer({'G', granted, text(slot)}), ' ')
