/**
 * The purges of all gateways with a store, in Redis: a list of numbered records. What is published about it is only a
 * hint: the list is read once a second all the same, so that nothing is missed for longer.
 *
 * It begins with a floor: what was purged before is not known any more, so entries that were asked for before cannot be
 * trusted. Numbers are milliseconds by Redis's clock, or one more than the last: a list that was lost and begun anew has
 * larger ones than the one before. Whoever has read more than there is says so by beginning a new one.
 */
import { randomUUID } from "node:crypto";
import { type Clock, createStoreScript, type KeyValueStore, type Log } from "../../../core/plugin.ts";
import type { Purge, PurgeRecord } from "../level.ts";

const KEY = "cache:purges";
const READ_EVERY_MS = 1000;
/** What is read from the store is not used when the log was not read for so long. */
const TRUSTED_MS = 10_000;
/** Records that are kept: whoever was away for longer trusts nothing that is older. */
const MOST_RECORDS = 10_000;
/** Purges that wait for Redis to come back. */
const MOST_WAITING = 1000;

/** KEYS: the log. ARGV: the last number that was read. */
const OPEN_LOG = `
local key, since = KEYS[1], tonumber(ARGV[1])
local function at(i)
  local item = redis.pcall('LINDEX', key, i)
  return type(item) == 'string' and tonumber(string.match(item, '^%[(%d+)')) or nil
end
local last = at(0) and at(-1)
local function nextNumber()
  local time = redis.call('TIME')
  return math.max(time[1] * 1000 + math.floor(time[2] / 1000), since + 1, (last or 0) + 1)
end
if not last or last < since then
  last = nextNumber()
  redis.call('DEL', key)
  redis.call('RPUSH', key, string.format('[%.0f]', last))
end
`;

/** Gives the floor, and the records since. */
const READ = createStoreScript(`${OPEN_LOG}
local answer = {redis.call('LINDEX', key, 0)}
if last <= since then return answer end
local length, first = redis.call('LLEN', key), 16
while first < length and (at(-first) or 0) > since do first = first * 2 end
for i, item in ipairs(redis.call('LRANGE', key, math.max(1, length - first), -1)) do
  if (tonumber(string.match(item, '^%[(%d+)')) or 0) > since then table.insert(answer, item) end
end
return answer`);

/** ARGV: …, the record behind its number, what tells it from others, the most records. */
const APPEND = createStoreScript(`${OPEN_LOG}
for _, item in ipairs(redis.call('LRANGE', key, -50, -1)) do
  if string.find(item, ARGV[3], 1, true) then return end
end
redis.call('RPUSH', key, string.format('[%.0f,', nextNumber()) .. ARGV[2])
local over = redis.call('LLEN', key) - 1 - ARGV[4]
if over > 0 then
  local floor = at(over)
  redis.call('LTRIM', key, over, -1)
  redis.call('LSET', key, 0, string.format('[%.0f]', floor))
end
redis.call('PUBLISH', key, '')`);

/** Where purges are made known. */
export interface PurgeSink {
  readonly version: number;
  apply(record: PurgeRecord): void;
  /** There is no purge up to this number but those that were applied. */
  advance(number: number): void;
}

/** A purge of one cache; without a scope, of all. */
interface ScopedPurge extends Purge {
  readonly scope: string | undefined;
}

type LogRecord = PurgeRecord & ScopedPurge;

interface Attached {
  readonly sink: PurgeSink;
  readonly scope: string;
}

export interface PurgeLogOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly readEveryMs?: number;
  readonly mostRecords?: number;
}

export class PurgeLog {
  readonly #store: KeyValueStore;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #mostRecords: number;
  readonly #readEveryMs: number;
  #sinks: readonly Attached[] = [];
  /** The last number that all sinks know of; undefined before the first reading for all of them. */
  #last: number | undefined;
  #floor = Number.POSITIVE_INFINITY;
  #readAt = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | undefined;
  #isToReadAgain = false;
  #hasTried = false;
  readonly #waiting = new Map<string, ScopedPurge>();
  #timer: NodeJS.Timeout | undefined;
  #unsubscribe: Promise<() => void> | undefined;

  constructor(
    store: KeyValueStore,
    { clock, log, readEveryMs = READ_EVERY_MS, mostRecords = MOST_RECORDS }: PurgeLogOptions,
  ) {
    this.#store = store;
    this.#clock = clock;
    this.#log = log;
    this.#readEveryMs = readEveryMs;
    this.#mostRecords = mostRecords;
  }

  /** Entries that were asked for before this number may have been purged without anybody's knowing. */
  get floor(): number {
    return this.#floor;
  }

  /** False while purges may be unknown for too long: what comes from the store is not used then. */
  get isTrusted(): boolean {
    return this.#last !== undefined && this.#clock.monotonic() - this.#readAt <= TRUSTED_MS;
  }

  /** Resolves when the first reading for all who are attached has ended, well or not; undefined when it has. */
  get settled(): Promise<void> | undefined {
    return this.#hasTried ? undefined : this.#reading;
  }

  /** Has the purges of a cache made known. @returns ends it */
  attach(sink: PurgeSink, scope: string): () => void {
    const attached = { sink, scope };
    this.#sinks = [...this.#sinks, attached];
    this.#last = undefined;
    this.#hasTried = false;
    this.#start();
    void this.read();
    return () => {
      this.#sinks = this.#sinks.filter((each) => each !== attached);
      if (this.#sinks.length === 0) this.#stop();
    };
  }

  /**
   * Makes a purge known to all gateways. When Redis is away it holds here at once, and is told the others when Redis is
   * back, if this thread is still there by then.
   * @param scope of the cache that it is about; all of them by default
   * @param id the same for a purge that several threads are told of: it is written down once
   * @returns whether it is written down
   */
  async append(purge: Purge, scope?: string, id: string = randomUUID()): Promise<boolean> {
    const scoped = { ...purge, scope };
    const isWritten = await this.#write(scoped, id);
    if (isWritten) {
      await this.read();
      return true;
    }
    for (const { sink } of this.#for(scope)) sink.apply({ ...purge, number: sink.version + 1 });
    this.appendLater(purge, scope, id);
    return false;
  }

  /** Makes a purge known that holds here already, once Redis is back. */
  appendLater(purge: Purge, scope?: string, id: string = randomUUID()): void {
    this.#waiting.set(id, { ...purge, scope });
    for (const [oldest] of this.#waiting) {
      if (this.#waiting.size <= MOST_WAITING) break;
      this.#waiting.delete(oldest);
    }
  }

  /** Reads what is new. Resolves when all is known that had been written when it was called, or Redis gave no answer. */
  read(): Promise<void> {
    if (this.#reading !== undefined) {
      this.#isToReadAgain = true;
      return this.#reading;
    }
    const reading = this.#readAll();
    this.#reading = reading;
    return reading;
  }

  #start(): void {
    if (this.#timer !== undefined) return;
    this.#timer = setInterval(() => void this.#catchUp(), this.#readEveryMs).unref();
    const read = (): void => void this.read();
    this.#unsubscribe = this.#store.subscribe(KEY, { told: read, connected: read });
    this.#unsubscribe.catch(() => {}); // the list is read all the same
  }

  #stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#unsubscribe?.then(
      (end) => end(),
      () => {},
    );
  }

  async #catchUp(): Promise<void> {
    for (const [id, purge] of this.#waiting) {
      if (!(await this.#write(purge, id))) return;
      this.#waiting.delete(id);
    }
    await this.read();
  }

  /** Who is told of purges of a cache. */
  #for(scope: string | undefined): readonly Attached[] {
    return scope === undefined ? this.#sinks : this.#sinks.filter((each) => each.scope === scope);
  }

  async #write({ kind, value, soft, scope }: ScopedPurge, id: string): Promise<boolean> {
    const rest = JSON.stringify([kind, value, soft, id, scope]).slice(1);
    const args = [this.#last ?? 0, rest, JSON.stringify(id), this.#mostRecords];
    return this.#store.run(APPEND, [KEY], args).then(
      () => true,
      () => false,
    );
  }

  async #readAll(): Promise<void> {
    do {
      this.#isToReadAgain = false;
      const [readAt, sinks, last] = [this.#clock.monotonic(), this.#sinks, this.#last];
      const items = await this.#store.run(READ, [KEY], [last ?? 0]).catch(() => undefined);
      if (!Array.isArray(items) || items.length === 0) break; // no answer, or none of a Redis
      this.#apply(items.map(String).map(readRecord), last, sinks);
      if (sinks === this.#sinks) this.#readAt = readAt;
      else this.#last = undefined;
      this.#isToReadAgain ||= sinks !== this.#sinks;
    } while (this.#isToReadAgain);
    this.#reading = undefined;
    this.#hasTried = true;
  }

  #apply(
    [first, ...records]: readonly LogRecord[],
    last: number | undefined,
    sinks: readonly Attached[],
  ): void {
    const floor = first!.number;
    const isLost = last !== undefined && floor > last;
    if (isLost) this.#log.warn({ floor, last }, "purges may be unknown: what is cached is to be validated");
    for (const { sink, scope } of sinks) {
      if ((last ?? sink.version) < floor) sink.apply({ number: floor, kind: "all", value: "", soft: true });
      sink.advance(floor);
      for (const record of records) {
        if (record.scope === undefined || record.scope === scope) sink.apply(record);
        sink.advance(record.number);
      }
    }
    this.#floor = floor;
    this.#last = Math.max(floor, records.at(-1)?.number ?? 0, last ?? 0);
  }
}

const KINDS: readonly unknown[] = ["all", "key", "url", "prefix", "tag"] satisfies Purge["kind"][];

/** A record that says something unknown, by a newer gateway, may be about anything. */
function readRecord(item: string): LogRecord {
  const number = Number(/^\[(\d+)/.exec(item)?.[1]);
  try {
    const [, kind, value, soft, , scope] = JSON.parse(item) as unknown[];
    if (KINDS.includes(kind) && typeof value === "string" && typeof soft === "boolean") {
      const about = typeof scope === "string" ? scope : undefined;
      return { number, kind: kind as Purge["kind"], value, soft, scope: about };
    }
  } catch {
    // As if it were unknown.
  }
  return { number, kind: "all", value: "", soft: true, scope: undefined };
}
