-- Charges what a hold's request cost, and lets go of the rest.
--
-- KEYS: the hold's record, its counters, its windows.
-- ARGV: cost, what was granted, hold time and the width it is rounded to (ms), 1 if missing
-- counters may be made, empty or what to keep and the part's number; from 7 on see counters.lua.
-- Answers, each counter as spent and held before this step, change of held, called in:
--   S counters… (settled) | L counters… (late) | A it was counted | M the cost that counts |
--   P it is settled, no part can follow | U numbers of the missing counters… | O as in reserve

local cost, levels = ARGV[1], tonumber(ARGV[7])
local keep, part = string.match(ARGV[6], '^(%d+) (%d+)$')
local known = redis.call('GET', KEYS[1])
-- A hold that was lost: nothing is held, and it is as good as expired.
local state, asked, granted, held, parts, ends = 'h', ARGV[2], ARGV[2], '0', '0', '0'
local made, slot, final, levels_json = '0', '0', '0', ARGV[8]
if known then
  state, asked, granted, held, parts, ends, made, slot, final, levels_json =
    string.match(known, record_pattern)
  if part and tonumber(part) <= tonumber(parts) then
    return 'A'
  end
  if state == 's' then
    if part then
      return 'P'
    end
    return final == cost and 'A' or 'M ' .. final
  end
end

local found, missing = counters()
if #missing > 0 then
  if ARGV[5] == '0' then
    return 'U ' .. table.concat(missing, ' ')
  end
  seed(found, missing)
end
for _, counter in ipairs(found) do
  if counter[1] + cost > 9e18 then
    return 'O'
  end
end

local is_live = state == 'h' and tonumber(ends) > now
local kept = (part and is_live) and math.min(keep, held) or 0
local new_end = part and end_of(ARGV[3], ARGV[4])
local answer = {is_live and 'S' or 'L'}
for i, counter in ipairs(found) do
  local key = KEYS[i + 1]
  if cost ~= '0' then
    redis.call('HINCRBY', key, 's', cost)
  end
  local change = 0
  if is_live and is_held(key, counter, held, made, ends) then
    redis.call('HINCRBY', key, 'h', '-' .. held)
    redis.call('HINCRBY', key, ends, '-' .. held)
    if kept > 0 then
      hold_until(key, counter, new_end, text(kept))
    end
    change = kept - held
  end
  answer[#answer + 1] = counter[1]
  answer[#answer + 1] = counter[2]
  answer[#answer + 1] = text(change)
  answer[#answer + 1] = is_called_in(counter) and '1' or '0'
end
for i = levels + 2, #KEYS do
  correct(KEYS[i], slot, cost + kept - held)
end

local lasts = 'KEEPTTL'
if not part then
  state, ends, final, lasts = 's', '0', cost, remembered_ms
else
  parts = part
  if is_live then
    ends, lasts = new_end, ARGV[3] + late_ms
  elseif not known then
    lasts = late_ms
  end
end
local record = table.concat(
  {state, asked, granted, text(kept), parts, ends, made, slot, final}, ' ') .. '\n' .. levels_json
if lasts == 'KEEPTTL' then
  redis.call('SET', KEYS[1], record, 'KEEPTTL')
else
  redis.call('SET', KEYS[1], record, 'PX', text(lasts))
end
return table.concat(answer, ' ')
