/**
 * The algorithms of limits in Lua, for `redis-script.ts`. A part `p` is loaded, asked and changed, and saved. It is given
 * `key`, `most` (units), `window` (milliseconds), `unit` (ticks) and `gain` (ticks a millisecond). `lend` is told of units
 * that were added and may be used for up to `lentMs`, which it may shorten; `takeBack` of those that nobody has used.
 */

/**
 * Consumption as whole units and ticks, when that was, and the rate by which it goes down.
 *
 * Where units are lent: since when, and how low consumption has been since then, twice. What is given back unused may
 * not be more than that: had it never been taken, the bucket would have been full at that time, and have gained nothing.
 */
export const BUCKET = `
local bucket = {}
function bucket.load(p)
  local v = numbers(text(p.key))
  local units, ticks, last, unit, gain = unpack(v)
  p.since, p.low, p.sinceEarlier, p.lowEarlier = 0, 0, 0, 0
  if not gain then
    p.units, p.ticks, p.last = 0, 0, now
    return
  end
  local gained = math.max(0, now - last) * gain
  local part = math.fmod(gained, unit)
  units, ticks = units - (gained - part) / unit, ticks - part
  if ticks < 0 then units, ticks = units - 1, ticks + unit end
  if units < 0 then units, ticks = 0, 0 end
  if unit ~= p.unit then
    ticks = math.ceil(ticks * p.unit / unit)
    if ticks == p.unit then units, ticks = units + 1, 0 end
  end
  p.units, p.ticks, p.last = units, ticks, math.max(now, last)
  if v[9] then
    p.since, p.low, p.sinceEarlier, p.lowEarlier = v[6], math.min(v[7], units), v[8], math.min(v[9], units)
  end
end
function bucket.left(p)
  return p.most - p.units - (p.ticks > 0 and 1 or 0)
end
function bucket.add(p, units)
  p.units = p.units + units
end
function bucket.giveBack(p, units)
  p.units = p.units - units
  if p.units < 0 then p.units, p.ticks = 0, 0 end
end
function bucket.takeRest(p, units)
  if bucket.left(p) >= units then
    p.units = p.units + units
  elseif p.units < p.most then
    p.units, p.ticks = p.most, 0
  end
end
function bucket.whole(p)
  return math.ceil((p.units * p.unit + p.ticks) / p.gain)
end
function bucket.wait(p, units)
  return math.max(0, math.ceil(((p.units + units - p.most) * p.unit + p.ticks) / p.gain))
end
function bucket.lend(p)
  if now - p.since <= 2 * lease then return end
  p.sinceEarlier, p.lowEarlier = p.since, p.low
  p.since, p.low = now, p.units
end
function bucket.takeBack(p, units, at)
  local low = at >= p.since and p.low or at >= p.sinceEarlier and p.lowEarlier or 0
  units = math.min(units, low)
  p.units, p.low, p.lowEarlier = p.units - units, math.max(0, p.low - units), math.max(0, p.lowEarlier - units)
end
function bucket.save(p)
  local value = join({p.units, p.ticks, p.last, p.unit, p.gain})
  if p.since > 0 then value = value .. ' ' .. join({p.since, p.low, p.sinceEarlier, p.lowEarlier}) end
  keep(p.key, value, bucket.whole(p))
end`;

/** The number of the window since 1970, what was taken in it, and in the one before. */
export const WINDOWS = `
local fixed = {}
function fixed.load(p)
  local index, units, before = unpack(numbers(text(p.key)))
  if not before then index, units, before = 0, 0, 0 end
  p.index = math.max(index, math.floor(now / p.window))
  p.units = p.index == index and units or 0
  p.before = p.index == index and before or p.index == index + 1 and units or 0
  p.rest = (p.index + 1) * p.window - now
end
function fixed.left(p)
  return p.most - p.units
end
function fixed.add(p, units)
  p.units = p.units + units
end
function fixed.giveBack(p, units, at)
  local index = math.floor(at / p.window)
  if index == p.index then
    p.units = math.max(0, p.units - units)
  elseif index == p.index - 1 then
    p.before = math.max(0, p.before - units)
  end
end
fixed.takeBack = fixed.giveBack
function fixed.lend(p)
  lentMs = math.min(lentMs, p.rest)
end
function fixed.takeRest(p, units)
  p.units = p.units + math.min(units, math.max(0, p.left(p)))
end
function fixed.whole(p)
  return p.units > 0 and p.rest or 0
end
function fixed.wait(p, units)
  return p.units + units > p.most and p.rest or 0
end
function fixed.save(p)
  keep(p.key, join({p.index, p.units, p.before}), p.whole(p))
end

local counter = setmetatable({}, {__index = fixed})
function counter.left(p)
  return math.floor(((p.most - p.units) * p.window - p.before * math.min(p.rest, p.window)) / p.window)
end
function counter.whole(p)
  return p.units > 0 and p.rest + p.window or p.before > 0 and p.rest or 0
end
function counter.wait(p, units)
  local room = p.most - units
  if p.left(p) >= units then
    return 0
  elseif p.units <= room then
    return p.rest - math.floor((room - p.units) * p.window / p.before)
  end
  return p.rest + p.window - math.floor(room * p.window / p.units)
end`;

/**
 * A list: first how much was taken in all, then for each millisecond in which something was, when and how much. What is
 * lent counts as taken when it is due back.
 */
export const LOG = `
local log = {}
local function run(entry)
  local at, units = string.match(entry, '^(%d+) (%d+)$')
  return tonumber(at) or 0, tonumber(units) or 0
end
function log.lend() end
-- Goes through the list from the oldest on until 'visit' says that it is enough.
local function walk(key, visit)
  local from = 1
  repeat
    local entries = redis.call('LRANGE', key, from, from + 99)
    for _, entry in ipairs(entries) do
      if visit(run(entry)) then return end
    end
    from = from + #entries
  until #entries < 100
end
function log.load(p)
  local total = redis.pcall('LINDEX', p.key, 0)
  if type(total) == 'table' then redis.call('DEL', p.key) end
  p.units, p.newest = tonumber(total) or 0, 0
  local over = 0
  if p.units > 0 then
    walk(p.key, function(at, units)
      if at + p.window > now then return true end
      over, p.units = over + 1, p.units - units
    end)
  end
  if over > 0 then
    redis.call('LTRIM', p.key, over, -1)
    redis.call('LSET', p.key, 0, join({p.units}))
  end
  if p.units > 0 then p.newest = run(redis.call('LINDEX', p.key, -1)) end
end
function log.left(p)
  return p.most - p.units
end
function log.add(p, units)
  if units == 0 then return end
  if p.units == 0 then redis.call('DEL', p.key) redis.call('RPUSH', p.key, '0') end
  local at = math.max(now + lease, p.newest)
  if at == p.newest then
    local _, there = run(redis.call('LINDEX', p.key, -1))
    redis.call('LSET', p.key, -1, join({at, there + units}))
  else
    redis.call('RPUSH', p.key, join({at, units}))
  end
  p.units, p.newest = p.units + units, at
end
function log.giveBack(p, units, takenAt)
  local at, to = takenAt + lease, -1
  while p.units > 0 do
    local entries = redis.call('LRANGE', p.key, to - 99, to)
    for i = #entries, 1, -1 do
      local entryAt, there = run(entries[i])
      if not entryAt or entryAt < at then return end
      if entryAt == at then
        local back = math.min(units, there)
        p.units = p.units - back
        redis.call('LSET', p.key, to + i - #entries, back == there and 'gone' or join({at, there - back}))
        redis.call('LREM', p.key, -1, 'gone')
        if p.units > 0 then p.newest = run(redis.call('LINDEX', p.key, -1)) end
        return
      end
    end
    to = to - 100
  end
end
log.takeBack = log.giveBack
function log.takeRest(p, units)
  log.add(p, math.min(units, math.max(0, log.left(p))))
end
function log.whole(p)
  return p.units > 0 and p.newest + p.window - now or 0
end
function log.wait(p, units)
  local over, ms = p.units + units - p.most, 0
  if over <= 0 then return 0 end
  walk(p.key, function(at, there)
    over, ms = over - there, at + p.window - now
    return over <= 0
  end)
  return ms
end
function log.save(p)
  if p.units == 0 then
    redis.call('DEL', p.key)
  else
    redis.call('LSET', p.key, 0, join({p.units}))
    redis.call('PEXPIRE', p.key, join({log.whole(p) + slack}))
  end
end`;
