/**
 * A memory level full of entries, in a process of its own, which bench/cache.ts starts: `cache-memory-run.ts
 * EVICT BODY_BYTES ENTRIES ROUNDS`. Prints one line of JSON.
 */
import { setImmediate } from "node:timers/promises";
import { systemClock } from "../../core/clock.ts";
import { bytesOf, type Entry } from "../../plugins/cache/entry.ts";
import type { EvictionName } from "../../plugins/cache/memory/create-eviction.ts";
import { type BoundedMemoryLevel, createMemoryLevel } from "../../plugins/cache/memory/memory-level.ts";
import { PurgeTable } from "../../plugins/cache/purges.ts";
import { seededRandom, zipf } from "./cache-traces.ts";
import { median } from "./stats.ts";

/** What it prints: bytes of an entry, and CPU time in nanoseconds. */
export interface MemoryRun {
  /** As counted, and as the heap and what is outside of it have grown. */
  readonly counted: number;
  readonly real: number;
  /** As the process has grown. */
  readonly resident: number;
  /** A thousand pages in turn; pages as popular as on the web; the same in a `Map`; any of the pages; and those that are not there. */
  readonly hot: number;
  readonly hit: number;
  readonly map: number;
  readonly any: number;
  readonly miss: number;
  /** An entry for which another has to go. */
  readonly put: number;
}

const TIMED = ["hot", "hit", "map", "any", "miss", "put"] as const;
type Timed = (typeof TIMED)[number];

const [evict = "", ...numbers] = process.argv.slice(2);
const [bodyBytes = 0, entries = 0, rounds = 0] = numbers.map(Number);

/** A text of its own each time, as those of requests are. */
const keyOf = (page: number): string =>
  Buffer.from(`https example.com/articles/2026/${page}?view=full`).toString("latin1");

const HEAD = Buffer.from(
  "Content-Type: text/html; charset=utf-8\nContent-Length: 1024\nDate: Sat, 21 Nov 2026 18:16:18 GMT\n" +
    'ETag: "6b1f0f7c9a5e4d2f"\nLast-Modified: Fri, 20 Nov 2026 09:12:44 GMT\nCache-Control: public, max-age=3600\n' +
    "Vary: Accept-Encoding\nContent-Encoding: gzip\nServer: nginx\nX-Content-Type-Options: nosniff",
);

/** With texts of its own, as they come from a connection. */
function entryOf(page: number): Entry {
  const headers: string[] = [];
  for (let at = 0; at < HEAD.length; ) {
    const colon = HEAD.indexOf(": ", at);
    const end = HEAD.indexOf("\n", colon);
    const next = end < 0 ? HEAD.length : end;
    headers.push(HEAD.toString("latin1", at, colon), HEAD.toString("latin1", colon + 2, next));
    at = next + 1;
  }
  const now = Date.now();
  return {
    key: keyOf(page),
    url: `example.com/articles/2026/${page}?view=full`,
    status: 200,
    reason: "OK",
    headers: headers.slice(),
    body: Buffer.from(new ArrayBuffer(bodyBytes)).fill(1),
    part: undefined,
    vary: ["accept-encoding", "gzip"],
    tags: [`article-${page}`],
    requestedAtMs: now - 20,
    respondedAtMs: now,
    initialAgeMs: 20,
    freshMs: 3_600_000 + (page % 1000),
    staleWhileRevalidateMs: 0,
    staleIfErrorMs: 0,
    mustRevalidate: false,
    alwaysValidate: false,
    fillMs: 20,
    version: 0,
  };
}

function create(): BoundedMemoryLevel {
  return createMemoryLevel({
    maxBytes: entries * bytesOf(entryOf(entries)),
    evict: evict as EvictionName,
    variants: 100,
    purges: new PurgeTable(),
    clock: systemClock,
    random: seededRandom(1),
  });
}

interface Memory {
  readonly real: number;
  readonly resident: number;
}

/** Buffers that are not needed any more are given back behind. */
async function weigh(): Promise<Memory> {
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.();
    await setImmediate();
  }
  const { heapUsed, external, rss } = process.memoryUsage();
  return { real: heapUsed + external, resident: rss };
}

/** What a buffer takes that neither the heap nor `external` has: the process is larger by it. */
async function weighHidden(): Promise<number> {
  const count = 50_000;
  const buffers: Buffer[] = [];
  const before = await weigh();
  for (let i = 0; i < count; i++) buffers.push(Buffer.from(new ArrayBuffer(bodyBytes)).fill(1));
  const after = await weigh();
  return (after.resident - after.real - (before.resident - before.real)) / buffers.length;
}

const fieldOf = (): string => "gzip";
let found = 0;

/** CPU time of each call, in nanoseconds. */
function measure<T>(values: readonly T[], call: (value: T) => unknown): number {
  const before = process.threadCpuUsage();
  for (const value of values) if (call(value) !== undefined) found++;
  const { user, system } = process.threadCpuUsage(before);
  return ((user + system) * 1000) / values.length;
}

{
  const warm = create();
  for (let i = 0; i < 2000; i++) warm.put(entryOf(i));
  for (let i = 0; i < 2000; i++) warm.find(keyOf(i), fieldOf);
  warm.close();
}
const hidden = await weighHidden();
const before = await weigh();
const level = create();
for (let i = 0; i < entries; i++) level.put(entryOf(i));
const after = await weigh();
const kept = level.entries;
const counted = level.bytes / kept;

// Keys whose hash is known: to find that out is not the level's.
const random = seededRandom(2);
const popular = Array.from(zipf(200_000, entries), (page) => keyOf((page * 7919) % entries));
const hot = Array.from({ length: 200_000 }, (_, i) => keyOf(i % 1000));
const any = Array.from({ length: 200_000 }, () => keyOf(Math.floor(random() * entries)));
const absent = Array.from({ length: 200_000 }, (_, i) => keyOf(-i));
const map = new Map(Array.from({ length: entries }, (_, i) => [keyOf(i), i]));
const times = { hot: [], hit: [], map: [], any: [], miss: [], put: [] } as Record<Timed, number[]>;
let page = entries;
for (let i = -1; i < rounds; i++) {
  const put = Array.from({ length: 5000 }, () => entryOf(page++));
  const round = {
    hot: measure(hot, (key) => level.find(key, fieldOf)),
    hit: measure(popular, (key) => level.find(key, fieldOf)),
    map: measure(popular, (key) => map.get(key)),
    any: measure(any, (key) => level.find(key, fieldOf)),
    miss: measure(absent, (key) => level.find(key, fieldOf)),
    put: measure(put, (entry) => level.put(entry)),
  };
  if (i < 0) continue; // hashes were not known yet
  for (const name of TIMED) times[name].push(round[name]);
}
level.close();

const run: MemoryRun = {
  counted,
  real: (after.real - before.real) / kept + hidden,
  resident: (after.resident - before.resident) / kept,
  hot: median(times.hot),
  hit: median(times.hit),
  map: median(times.map),
  any: median(times.any),
  miss: median(times.miss),
  put: median(times.put),
};
console.log(JSON.stringify(run));
if (found === 0) process.exitCode = 1;
