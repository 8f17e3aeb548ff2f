/** What is done in Redis in one step. */
import { createStoreScript } from "../../../core/plugin.ts";

/** How long it is known that a reply is not stored: nobody waits for the next. */
const UNSTORED_MS = 1000;

/** What a claim finds out, if there is no value. */
export const HELD = 0;
export const YOURS = 1;
export const UNSTORED = 2;

/**
 * Gives what is there, or the lock. Somebody who waits for a lock marks it by `+`: so its holder knows to publish its end.
 * KEYS: the key, its lock. ARGV: the token, milliseconds of the lock, how a value begins that is not wanted.
 */
export const CLAIM = createStoreScript(`
local value = redis.pcall('GET', KEYS[1])
if type(value) == 'table' then
  redis.call('DEL', KEYS[1])
elseif value then
  if ARGV[3] == '' or string.sub(value, 1, #ARGV[3]) ~= ARGV[3] then return value end
end
local held = redis.call('GET', KEYS[2])
if held == '-' then return ${UNSTORED} end
if held then
  if string.sub(held, -1) ~= '+' then redis.pcall('SET', KEYS[2], held .. '+', 'KEEPTTL') end
  return ${HELD}
end
return redis.pcall('SET', KEYS[2], ARGV[1], 'PX', ARGV[2]).ok and ${YOURS} or ${UNSTORED}`);

/** Ends one's own lock, and tells those who wait for it: the channel is the scope, the message the rest of the key. */
export const END_LOCK = `
local function endLock(lock, token, digestLength, mark)
  local held = redis.call('GET', lock)
  if not held or string.sub(held, 1, #token) ~= token then return end
  if not mark or redis.pcall('SET', lock, '-', 'PX', ${UNSTORED_MS}).err then redis.call('DEL', lock) end
  if held == token then return end
  local at = string.find(lock, '{[^{]*$')
  redis.call('PUBLISH', string.sub(lock, 1, at - 1), string.sub(lock, at, at + digestLength - 1))
end
`;

/** KEYS: the lock. ARGV: the token, the length of a digest. */
export const ABANDON = createStoreScript(`${END_LOCK}
endLock(KEYS[1], ARGV[1], tonumber(ARGV[2]), true)`);

/** Gives 1 when the lock is still one's own. KEYS: the lock. ARGV: the token, its milliseconds from now. */
export const RENEW = createStoreScript(`
local held = redis.call('GET', KEYS[1])
if not held or string.sub(held, 1, #ARGV[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])`);

const VARIANTS = `
local function variants(key)
  local head = redis.pcall('GETRANGE', key, 0, 3)
  if head ~= 'SLV\\1' then return '', {} end
  local marker, list = string.match(redis.call('GET', key), '^([^\\n]*\\n)(.*)$')
  local all = {}
  for each in string.gmatch(list or '', '#[%w_-]+') do table.insert(all, each) end
  return marker or '', all
end
`;

/**
 * Stores an entry, and ends the turn that brought it.
 * KEYS: the key, the lock of the turn, the mark of its URL if it is not the only key of that. ARGV: the value, its
 * milliseconds, the marker, the variant, the most variants, the token or nothing, the length of a digest.
 */
export const PUT = createStoreScript(`${VARIANTS}${END_LOCK}
local key, ms, marker, variant = KEYS[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local known, all = variants(key)
local left = {}
for _, each in ipairs(all) do
  if known ~= marker then redis.call('DEL', key .. each) elseif each ~= variant then table.insert(left, each) end
end
redis.call('SET', key .. variant, ARGV[1], 'PX', ARGV[2])
if KEYS[3] and redis.call('PTTL', KEYS[3]) < ms then redis.call('SET', KEYS[3], '', 'PX', ARGV[2]) end
if marker ~= '' then
  table.insert(left, variant)
  while #left > tonumber(ARGV[5]) do redis.call('DEL', key .. table.remove(left, 1)) end
  local other = known == marker and redis.call('PTTL', key) or 0
  redis.call('SET', key, marker .. table.concat(left), 'PX', string.format('%.0f', math.max(ms, other)))
end
if ARGV[6] ~= '' then endLock(KEYS[2], ARGV[6], tonumber(ARGV[7])) end`);

const DELETE_ALL = `${VARIANTS}
local function deleteAll(key)
  local _, all = variants(key)
  for _, each in ipairs(all) do redis.call('DEL', key .. each) end
  return redis.call('DEL', key)
end
`;

/** KEYS: the key. */
export const DELETE = createStoreScript(`${DELETE_ALL}
deleteAll(KEYS[1])`);

/** Says whether something of a URL was stored or is being fetched. KEYS: the mark of the URL, a lock, keys that go. */
export const CHANGE = createStoreScript(`${DELETE_ALL}
local held = redis.call('GET', KEYS[2])
local found = redis.call('DEL', KEYS[1]) + (held and held ~= '-' and 1 or 0)
for i = 3, #KEYS do found = found + deleteAll(KEYS[i]) end
return found > 0 and 1 or 0`);

/** Takes away what cannot be read, if it is still there. KEYS: the key. ARGV: how it begins. */
export const DROP = createStoreScript(`
local head = redis.pcall('GETRANGE', KEYS[1], 0, #ARGV[1] - 1)
if type(head) == 'table' or head == ARGV[1] then redis.call('DEL', KEYS[1]) end`);
