/**
 * How Redis counts: one script, so that nothing comes between looking and taking, with Redis's own time, so that the
 * clocks of gateways do not matter.
 *
 * A rule is counted in parts, each with a key of its own: `hybrid` in two, the others in one. What a part keeps is a
 * short text, or a list for a log, and goes by itself when it no longer matters; one that holds something else begins
 * anew. All numbers are whole, and exact up to 2⁵³.
 *
 * KEYS: the ban, the refusals, then one for each part.
 * ARGV: the verb, the time or nothing, units or milliseconds, when they were taken, units that others wait for, units to
 * have at hand, how long units may be lent, whether refusals count, the refusals that lead to a ban or 0, their
 * milliseconds, those of the ban; then for each part the rule's index, the kind, the most units, the window, the ticks of a
 * unit and those that a millisecond gives.
 */
import { createStoreScript } from "../../core/plugin.ts";
import { BUCKET, LOG, WINDOWS } from "./redis-counts.ts";

export const LIMIT_SCRIPT = createStoreScript(`
local verb, amount = ARGV[1], tonumber(ARGV[3])
local time = ARGV[2] == '' and redis.call('TIME')
local now = time and time[1] * 1000 + math.floor(time[2] / 1000) or tonumber(ARGV[2])
-- A time that is handed in goes on more slowly than that by which keys expire.
local slack = time and 0 or 600000
local more, ahead, lease = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local lentMs = lease

local function join(list)
  for i, number in ipairs(list) do list[i] = string.format('%.0f', number) end
  return table.concat(list, ' ')
end
local function numbers(value)
  local list = {}
  for number in string.gmatch(value, '%d+') do table.insert(list, tonumber(number)) end
  return list
end
local function text(key)
  local value = redis.pcall('GET', key)
  return type(value) == 'string' and value or ''
end
local function keep(key, value, ms)
  if ms > 0 then
    redis.call('SET', key, value, 'PX', join({ms + slack}))
  else
    redis.call('DEL', key)
  end
end
${BUCKET}
${WINDOWS}
${LOG}

local kinds = {bucket = bucket, fixed = fixed, counter = counter, log = log}
local parts = {}
for i = 3, #KEYS do
  local a = 12 + (i - 3) * 6
  local p = {key = KEYS[i], rule = tonumber(ARGV[a]), most = tonumber(ARGV[a + 2]), window = tonumber(ARGV[a + 3]),
    unit = tonumber(ARGV[a + 4]), gain = tonumber(ARGV[a + 5])}
  parts[i - 2] = setmetatable(p, {__index = kinds[ARGV[a + 1]]})
end
local function load()
  for _, p in ipairs(parts) do p.load(p) end
end
local function save()
  for _, p in ipairs(parts) do p.save(p) end
end
-- What is left of the rules, by index.
local function rules()
  local all = {}
  for _, p in ipairs(parts) do
    local left, most, whole = math.max(0, p.left(p)), p.most, p.whole(p)
    local rule = all[p.rule + 1]
    if rule then left, most, whole = math.min(left, rule.left), math.min(most, rule.most), math.max(whole, rule.whole) end
    all[p.rule + 1] = {left = left, most = most, whole = whole}
  end
  return all
end
-- Counts refusals, and gives how long the ban is that they lead to.
local function refuse(times)
  local after, within, ms = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
  if after == 0 then return 0 end
  local since, refusals = unpack(numbers(text(KEYS[2])))
  if not refusals or now >= since + within then since, refusals = now, 0 end
  if refusals + times < after then
    keep(KEYS[2], join({since, refusals + times}), since + within - now)
    return 0
  end
  redis.call('DEL', KEYS[2])
  keep(KEYS[1], join({now + ms}), ms)
  return ms
end

if verb == 'reset' then
  redis.call('DEL', unpack(KEYS))
  return now
elseif verb == 'ban' then
  redis.call('DEL', KEYS[2])
  keep(KEYS[1], join({now + amount}), amount)
  return now
end

local known = numbers(text(KEYS[1]))[1]
local banned = math.max(0, (known or 0) - now)
if banned > 0 and (verb == 'take' or verb == 'ahead') then return {'banned', 0, 0, banned, banned, now, 0} end
if verb == 'refuse' then return {now, banned > 0 and 0 or refuse(amount)} end
load()
if verb == 'read' then
  local reading = {banned}
  for _, rule in ipairs(rules()) do
    table.insert(reading, rule.left)
    table.insert(reading, rule.whole)
  end
  return reading
elseif verb == 'settle' then
  for _, p in ipairs(parts) do
    if amount > 0 then p.add(p, amount) else p.giveBack(p, -amount, tonumber(ARGV[4])) end
  end
  save()
  return now
elseif verb == 'return' then
  for _, p in ipairs(parts) do p.takeBack(p, amount, tonumber(ARGV[4])) end
  save()
  return now
end

local refusing
for _, p in ipairs(parts) do
  if p.left(p) < amount and not refusing then refusing = p.rule + 1 end
end
if not refusing then
  local lent = math.huge
  for _, p in ipairs(parts) do lent = math.min(lent, p.left(p) - amount) end
  more = math.min(more, lent)
  lent = more + math.min(ahead, math.floor((lent - more) / 2))
  if amount + lent > 0 then
    for _, p in ipairs(parts) do
      p.add(p, amount + lent)
      if lease > 0 then p.lend(p) end
    end
    save()
  end
  local all, tightest = rules(), 1
  for i, rule in ipairs(all) do
    if rule.left * all[tightest].most < all[tightest].left * rule.most then tightest = i end
  end
  return {'allowed', tightest - 1, all[tightest].left, all[tightest].whole, 0, now, 0, lent, lentMs}
end
if ARGV[8] == '1' then
  for _, p in ipairs(parts) do p.takeRest(p, amount) end
  save()
end
local wait, never = 0, 0
for _, p in ipairs(parts) do
  if amount > p.most then never = math.max(never, p.window) else wait = math.max(wait, p.wait(p, amount)) end
end
local rule, ban = rules()[refusing], verb == 'take' and refuse(1) or 0
return {'limited', refusing - 1, rule.left, rule.whole, math.max(ban, never > 0 and never or wait), now, ban}`);
