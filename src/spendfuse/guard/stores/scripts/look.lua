-- Returns the counters as they stand, after what is due has ended.
--
-- KEYS: counters. Answers for each: spent, held, called in; or - for a missing one.

local answer = {}
for i, key in ipairs(KEYS) do
  local counter = counter_at(key)
  answer[i] = '-'
  if counter[1] then
    answer[i] = table.concat({counter[1], counter[2], is_called_in(counter) and '1' or '0'}, ' ')
  end
end
return table.concat(answer, ',')
