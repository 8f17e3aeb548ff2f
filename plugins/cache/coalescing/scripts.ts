/**
 * How a gateway hands a reply over, in Redis in one step each. The lock of whoever fetches holds its token, and a `+` for
 * each who waits for it. The reply lies beside it under a name that only those know: whoever comes later finds no lock.
 */
import { createStoreScript } from "../../../core/plugin.ts";
import { END_LOCK, HELD, UNSTORED, YOURS } from "../store/scripts.ts";

/** What is handed over is there for so long at most: those who wait look each quarter of a second. */
const HANDED_MS = 2000;

/**
 * Gives the lock, or the token of whoever has it, to wait for.
 * KEYS: the lock. ARGV: the token, milliseconds of the lock.
 */
export const CLAIM = createStoreScript(`
local held = redis.call('GET', KEYS[1])
if held == '-' then return ${UNSTORED} end
if held then
  local isFull = type(redis.pcall('APPEND', KEYS[1], '+')) == 'table'
  return isFull and ${UNSTORED} or string.match(held, '^[^+]*')
end
return redis.pcall('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]).ok and ${YOURS} or ${UNSTORED}`);

/**
 * Ends a lock. Gives 1, and leaves it, when somebody waits and there is no reply yet: it need not be sent for nobody.
 * KEYS: the lock, the place of the reply. ARGV: the token, the length of a digest, the reply or nothing.
 */
export const HAND_OVER = createStoreScript(`${END_LOCK}
local held, token = redis.call('GET', KEYS[1]), ARGV[1]
if not held or string.sub(held, 1, #token) ~= token then return 0 end
if #held > #token then
  if ARGV[3] == '' then return 1 end
  redis.call('HSET', KEYS[2], 'reply', ARGV[3], 'waiting', #held - #token)
  redis.call('PEXPIRE', KEYS[2], ${HANDED_MS})
end
endLock(KEYS[1], token, tonumber(ARGV[2]), false)
return 0`);

/**
 * Takes the reply; the last who waits takes it away. Without one it is held, or there will be none.
 * KEYS: the lock, the place. ARGV: the token of the lock.
 */
export const TAKE = createStoreScript(`
local reply = redis.call('HGET', KEYS[2], 'reply')
if reply then
  if redis.call('HINCRBY', KEYS[2], 'waiting', -1) <= 0 then redis.call('DEL', KEYS[2]) end
  return reply
end
local held = redis.call('GET', KEYS[1])
return held and string.sub(held, 1, #ARGV[1]) == ARGV[1] and ${HELD} or ${UNSTORED}`);
