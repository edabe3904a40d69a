-- Lets go of a hold, nothing more charged.
--
-- KEYS: the hold's record, its counters, its windows. ARGV: the number of levels.
-- Answers 1, or 0 where nothing was held.

local known = redis.call('GET', KEYS[1])
if not known then
  return '0'
end
local state, asked, granted, held, parts, ends, made, slot, final, levels_json =
  string.match(known, record_pattern)
if state ~= 'h' or tonumber(ends) <= now then
  return '0'
end

local levels = tonumber(ARGV[1])
if held ~= '0' then
  for i = 2, levels + 1 do
    local counter = redis.call('HMGET', KEYS[i], 's', 'h', 'u', 'n', 'b')
    if counter[1] and is_held(KEYS[i], counter, held, made, ends) then
      redis.call('HINCRBY', KEYS[i], 'h', '-' .. held)
      redis.call('HINCRBY', KEYS[i], ends, '-' .. held)
    end
  end
  for i = levels + 2, #KEYS do
    correct(KEYS[i], slot, -held)
  end
end
local record = {'r', asked, granted, '0', parts, '0', made, slot, final}
redis.call('SET', KEYS[1], table.concat(record, ' ') .. '\n' .. levels_json, 'PX',
  text(remembered_ms))
return '1'
