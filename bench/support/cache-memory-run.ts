/**
 * A memory level full of entries, in a process of its own, which bench/cache-memory.ts starts: `cache-memory-run.ts
 * EVICT BODY_BYTES ENTRIES ROUNDS`. Prints one line of JSON.
 */
import { setImmediate } from "node:timers/promises";
import { systemClock } from "../../core/clock.ts";
import { bytesOf, type Entry } from "../../plugins/cache/entry.ts";
import type { EvictionName } from "../../plugins/cache/memory/create-eviction.ts";
import { type BoundedMemoryLevel, createMemoryLevel } from "../../plugins/cache/memory/memory-level.ts";
import { PurgeTable } from "../../plugins/cache/purges.ts";
import { seededRandom } from "./cache-traces.ts";
import { median } from "./stats.ts";

/** What it prints: bytes of an entry, and CPU time in nanoseconds. */
export interface MemoryRun {
  /** As counted, and as the heap and the buffers outside of it have grown. */
  readonly counted: number;
  readonly real: number;
  /** As the process has grown. */
  readonly resident: number;
  /** One entry over and over; any of them; and one that is not there. */
  readonly hot: number;
  readonly any: number;
  readonly miss: number;
  /** An entry for which another has to go. */
  readonly put: number;
}

const [evict = "", ...numbers] = process.argv.slice(2);
const [bodyBytes = 0, entries = 0, rounds = 0] = numbers.map(Number);

/** Made anew each time, as those of requests are. */
const keyOf = (page: number): string => `https example.com/articles/2026/${page}?view=full`;

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
    headers.push(HEAD.latin1Slice(at, colon), HEAD.latin1Slice(colon + 2, next));
    at = next + 1;
  }
  const now = Date.now();
  return {
    key: keyOf(page),
    url: `example.com/articles/2026/${page}?view=full`,
    status: 200,
    reason: "OK",
    headers,
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

let found = 0;
const fieldOf = (): string => "gzip";

/** CPU time of each of so many calls, in nanoseconds, without what the other call takes. */
function measure(count: number, call: (i: number) => unknown, less: (i: number) => unknown): number {
  const timeOf = (measured: typeof call): number => {
    const before = process.threadCpuUsage();
    for (let i = 0; i < count; i++) if (measured(i) !== undefined) found++;
    const { user, system } = process.threadCpuUsage(before);
    return ((user + system) * 1000) / count;
  };
  return timeOf(call) - timeOf(less);
}

const warm = create();
for (let i = 0; i < 2000; i++) warm.put(entryOf(i));
for (let i = 0; i < 200_000; i++) warm.find(keyOf(i % 3000), fieldOf);
warm.close();

const before = await weigh();
const level = create();
for (let i = 0; i < entries; i++) level.put(entryOf(i));
const after = await weigh();
const kept = level.entries;
const counted = level.bytes / kept;

const random = seededRandom(2);
const order = Uint32Array.from({ length: 200_000 }, () => random() * entries);
const times = { hot: [] as number[], any: [] as number[], miss: [] as number[], put: [] as number[] };
let page = entries;
for (let i = 0; i < rounds; i++) {
  // The time that it takes to make a key is not the level's; that to hash it is.
  times.hot.push(
    measure(
      200_000,
      () => level.find(keyOf(7), fieldOf),
      () => keyOf(7).length,
    ),
  );
  times.any.push(
    measure(
      200_000,
      (i) => level.find(keyOf(order[i]!), fieldOf),
      (i) => keyOf(order[i]!).length,
    ),
  );
  times.miss.push(
    measure(
      200_000,
      (i) => level.find(keyOf(i + 1e9), fieldOf),
      (i) => keyOf(i + 1e9).length,
    ),
  );
  times.put.push(
    measure(
      5000,
      () => level.put(entryOf(page++)),
      () => entryOf(page++).key.length,
    ),
  );
}
level.close();

const run: MemoryRun = {
  counted,
  real: (after.real - before.real) / kept,
  resident: (after.resident - before.resident) / kept,
  hot: median(times.hot),
  any: median(times.any),
  miss: median(times.miss),
  put: median(times.put),
};
console.log(JSON.stringify(run));
