/** Who asks for what: traces of requests, each the number of a page, and how many of them a cache answers. */
import { bytesOf, type Entry } from "../../plugins/cache/entry.ts";
import type { MemoryLevel } from "../../plugins/cache/level.ts";
import { ABSENT } from "../../plugins/cache/vary.ts";

export type Trace = Iterable<number>;

export const TRACES = { zipf, scanned, shifting, news } as const;

/** Numbers from 0 up to 1 that are the same each time. */
export function seededRandom(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** How likely each of so many pages is: the one at place n as 1/n^0.9, about as measured of the web (Breslau et al. 1999). */
export function zipfShares(pages: number): Float64Array {
  const shares = Float64Array.from({ length: pages }, (_, i) => (i + 1) ** -0.9);
  const sum = shares.reduce((a, b) => a + b);
  return shares.map((share) => share / sum);
}

/** Pages by how likely they are, whatever came before. */
export function* zipf(requests: number, pages: number): Trace {
  const random = seededRandom(1);
  let sum = 0;
  const sums = zipfShares(pages).map((share) => (sum += share));
  for (let i = 0; i < requests; i++) {
    const wanted = random() * sum;
    let low = 0;
    let high = pages - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sums[middle]! < wanted) low = middle + 1;
      else high = middle;
    }
    yield low;
  }
}

/** As {@link zipf}, with a crawler between them that asks for as many pages that nobody else asks for. */
export function* scanned(requests: number, pages: number): Trace {
  let next = pages;
  for (const page of zipf(requests / 2, pages)) {
    yield page;
    yield next++;
  }
}

/** As {@link zipf}, but ten times in all other pages become the popular ones. */
export function* shifting(requests: number, pages: number): Trace {
  let i = 0;
  for (const page of zipf(requests, pages))
    yield (page + Math.floor((10 * i++) / requests) * (pages / 10)) % pages;
}

/** New pages all the time, each asked for soon after it comes and then no more, as news are. */
export function* news(requests: number, pages: number): Trace {
  const random = seededRandom(1);
  let newest = 0;
  for (let i = 0; i < requests; i++) {
    if (random() < 0.3) newest++;
    yield newest + pages - Math.floor((random() * random() * pages) / 5);
  }
}

/** Pages of 1 to 32 KB, fresh for one to two minutes. */
export function pageEntry(page: number, nowMs: number): Entry {
  return {
    key: `https example.com/pages/${page}`,
    url: `example.com/pages/${page}`,
    status: 200,
    reason: "OK",
    headers: [],
    body: ZEROS.subarray(0, 1024 << ((((page + 1) * 2654435761) >>> 29) % 6)),
    part: undefined,
    vary: [],
    tags: [],
    requestedAtMs: nowMs,
    respondedAtMs: nowMs,
    initialAgeMs: 0,
    freshMs: 60_000 + ((page * 40_503) % 65_536),
    staleWhileRevalidateMs: 0,
    staleIfErrorMs: 0,
    mustRevalidate: false,
    alwaysValidate: false,
    fillMs: 1,
    version: 0,
  };
}

const ZEROS = Buffer.alloc(32 * 1024);

const fieldOf = (): string => ABSENT;

/** Share of the requests for which a level had the page; it gets those that it did not have, one each millisecond. */
export function hitRatio(level: Pick<MemoryLevel, "find" | "put">, trace: Trace): number {
  let hits = 0;
  let requests = 0;
  for (const page of trace) {
    const entry = pageEntry(page, requests++);
    if (level.find(entry.key, fieldOf) !== undefined) hits++;
    else level.put(entry);
  }
  return hits / requests;
}

/** The share that the pages have which it is best to keep, of those that are asked for by {@link zipf}. */
export function bestHitRatio(pages: number, maxBytes: number): number {
  const shares = zipfShares(pages);
  const byWorth = Array.from(shares, (share, page) => ({ share, bytes: bytesOf(pageEntry(page, 0)) }));
  byWorth.sort((a, b) => b.share / b.bytes - a.share / a.bytes);
  let room = maxBytes;
  let ratio = 0;
  for (const { share, bytes } of byWorth) {
    if ((room -= bytes) < 0) break;
    ratio += share;
  }
  return ratio;
}
