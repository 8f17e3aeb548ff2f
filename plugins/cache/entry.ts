/** Stored responses (RFC 9111 section 3). Never changed once they are made: they are shared by whoever reads them. */
import { isOneOfMany } from "./key.ts";

/** A response as it is kept, with what must be known to use it again. */
export interface Entry {
  /** The key that it is stored under: see `createKey`. Its variants have the same. */
  readonly key: string;
  /** What purges by URL and prefix go by: `example.com/path?query`, as the client asked, as far as the key tells it. */
  readonly url: string;
  readonly status: number;
  readonly reason: string | undefined;
  /** Flat `[name, value, …]`, without hop-by-hop fields, Age, and whatever must not be kept. */
  readonly headers: readonly string[];
  /** As it travels, with its content codings. */
  readonly body: Buffer;
  /** Set for a part of a representation (206): where it begins, and how long the whole is, in bytes. */
  readonly part: { readonly first: number; readonly total: number } | undefined;
  /** What the request had in the fields that Vary names: flat `[name in lower case, normalized value, …]`, see vary.ts. */
  readonly vary: readonly string[];
  /** From `Surrogate-Key` and `Cache-Tag`. */
  readonly tags: readonly string[];
  /** When the request was sent and when the head came: milliseconds since the Unix epoch. */
  readonly requestedAtMs: number;
  readonly respondedAtMs: number;
  /** `corrected_initial_age` (RFC 9111 section 4.2.3). */
  readonly initialAgeMs: number;
  /** Freshness lifetime (section 4.2.1). */
  readonly freshMs: number;
  /** How long it may be used after that while it is revalidated behind the reply (RFC 5861 section 3); 0 for never. */
  readonly staleWhileRevalidateMs: number;
  /** How long it may be used after that when the upstream fails (RFC 5861 section 4); 0 for never. */
  readonly staleIfErrorMs: number;
  /** Must not be used stale, whoever asks for it (sections 5.2.2.2, 5.2.2.8 and 5.2.2.10). */
  readonly mustRevalidate: boolean;
  /** `no-cache`: to be validated before each use. */
  readonly alwaysValidate: boolean;
  /** How long it took until its body was complete: what an early refresh goes by. */
  readonly fillMs: number;
  /** The newest purge that was known when it was asked for: purges that are newer concern it. */
  readonly version: number;
}

/**
 * What an entry takes beside its texts and bytes: the object, its arrays, its place in the level, and some 250 bytes
 * outside of the heap for having a buffer. Measured by bench/cache.ts.
 */
const OVERHEAD_BYTES = 1000;
/** What it takes to find it by its URL. */
const INDEXED_BYTES = 60;
/** What a text takes beside its characters, in an array. */
const TEXT_BYTES = 28;

/** Bytes of memory that an entry takes, all overhead counted. */
export function bytesOf(entry: Entry): number {
  let bytes = OVERHEAD_BYTES + entry.body.length + entry.key.length + entry.url.length;
  if (isOneOfMany(entry.key)) bytes += INDEXED_BYTES;
  for (const text of entry.headers) bytes += TEXT_BYTES + text.length;
  for (const text of entry.vary) bytes += TEXT_BYTES + text.length;
  for (const text of entry.tags) bytes += TEXT_BYTES + text.length;
  return bytes;
}
