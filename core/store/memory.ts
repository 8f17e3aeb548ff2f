/**
 * A store in memory that never takes more than its share: who was used longest ago makes room. What its time is over
 * for is as if it were not there, and goes when it is looked at, or swept.
 */
import type { Clock } from "../plugin.ts";
import {
  type IncrOptions,
  invalid,
  type KeyValueStore,
  parseNumber,
  runNothing,
  type SetOptions,
} from "./store.ts";

interface Entry {
  readonly value: string;
  readonly bytes: number;
  /** In the clock's monotonic milliseconds. */
  readonly expiresAt: number;
}

/** What an entry takes beside its texts. */
const ENTRY_BYTES = 160;
/** Entries that a sweep looks at: about a millisecond's work. */
const SWEPT_ENTRIES = 5000;

export class MemoryStore implements KeyValueStore {
  readonly runsScripts = false;
  readonly run = runNothing;
  readonly runForBytes = runNothing;
  readonly getBytes = runNothing;
  readonly subscribe = runNothing;
  readonly #maxBytes: number;
  readonly #clock: Clock;
  /** Who was used longest ago comes first. */
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;
  /** How far the sweep has come. */
  #cursor: Iterator<[string, Entry]> | undefined;

  constructor(maxBytes: number, clock: Clock) {
    this.#maxBytes = maxBytes;
    this.#clock = clock;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** What the entries take. */
  get bytes(): number {
    return this.#bytes;
  }

  async get(key: string): Promise<string | undefined> {
    const entry = this.#find(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry.value;
  }

  async set(key: string, value: string, { ttlMs, ifAbsent, ifValue }: SetOptions = {}): Promise<boolean> {
    if (ifAbsent === true && this.#find(key) !== undefined) return false;
    if (ifValue !== undefined && this.#find(key)?.value !== ifValue) return false;
    this.#put(key, value, this.#after(ttlMs));
    return true;
  }

  async incr(key: string, by: number, { ttlMs }: IncrOptions = {}): Promise<number> {
    const entry = this.#find(key);
    const sum = (entry === undefined ? 0 : parseNumber(entry.value)) + by;
    if (!Number.isSafeInteger(sum)) throw invalid("the sum is too large");
    this.#put(key, String(sum), entry?.expiresAt ?? this.#after(ttlMs));
    return sum;
  }

  async delete(key: string): Promise<boolean> {
    const entry = this.#find(key);
    if (entry !== undefined) this.#remove(key, entry);
    return entry !== undefined;
  }

  /** Goes on looking for entries whose time is over; a few thousand at a time. */
  sweep(): void {
    const now = this.#clock.monotonic();
    for (let i = 0; i < SWEPT_ENTRIES; i++) {
      this.#cursor ??= this.#entries.entries();
      const next = this.#cursor.next();
      if (next.done === true) {
        this.#cursor = undefined;
        return;
      }
      const [key, entry] = next.value;
      if (entry.expiresAt <= now) this.#remove(key, entry);
    }
  }

  #after(ttlMs: number | undefined): number {
    return ttlMs === undefined ? Number.POSITIVE_INFINITY : this.#clock.monotonic() + ttlMs;
  }

  #find(key: string): Entry | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.expiresAt > this.#clock.monotonic()) return entry;
    this.#remove(key, entry);
    return undefined;
  }

  #put(key: string, value: string, expiresAt: number): void {
    const old = this.#entries.get(key);
    if (old !== undefined) this.#remove(key, old);
    const bytes = Buffer.byteLength(key) + Buffer.byteLength(value) + ENTRY_BYTES;
    for (const [oldest, entry] of this.#entries) {
      if (this.#bytes + bytes <= this.#maxBytes) break;
      this.#remove(oldest, entry);
    }
    this.#entries.set(key, { value, bytes, expiresAt });
    this.#bytes += bytes;
  }

  #remove(key: string, { bytes }: Entry): void {
    this.#entries.delete(key);
    this.#bytes -= bytes;
  }
}
