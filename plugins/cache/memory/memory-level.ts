/** The first level: entries in the memory of this thread, within a bound of bytes. */
import type { Clock } from "../../../core/plugin.ts";
import type { Entry } from "../entry.ts";
import type { FieldOf, MemoryLevel, Purges } from "../level.ts";
import { firstLineOf } from "../key.ts";
import { PassingBodies } from "../passing-bodies.ts";
import { makeStale } from "../purges.ts";
import { isFor } from "../vary.ts";
import { createEviction, type EvictionName } from "./create-eviction.ts";
import type { Eviction } from "./eviction.ts";
import { Slot } from "./slot.ts";
import { startSweeping } from "./sweeping.ts";
import { UrlIndex } from "./url-index.ts";

/** An entry that takes more than this share of the bound is not kept. */
export const MOST_SHARE = 0.5;

export interface MemoryBounds {
  /** For everything that is kept, all overhead counted. */
  readonly maxBytes: number;
  /** What goes when there is no room: what was not used for longest, what is used least, what expires first. */
  readonly evict: EvictionName;
  /** How many variants of a key are kept (RFC 9111 section 4.1); the newest ones. */
  readonly variants: number;
}

export interface MemoryLevelOptions extends MemoryBounds {
  readonly purges: Purges;
  readonly clock: Clock;
  readonly random: () => number;
}

/** How many entries went, and why. */
export interface Evicted {
  /** No room. */
  size: number;
  /** Other variants of the key were newer. */
  variants: number;
  /** Over, with all grace. */
  expired: number;
  purged: number;
  /** Too large to be kept at all. */
  large: number;
}

export interface BoundedMemoryLevel extends MemoryLevel {
  readonly entries: number;
  readonly bytes: number;
  readonly evicted: Readonly<Evicted>;
  /** What bodies take in addition: as much again, at most. */
  readonly passing: PassingBodies;
  /** Changes the bounds at once. Entries stay as far as there is room. */
  setBounds(bounds: MemoryBounds): void;
  /**
   * Takes out what is over or purged among the next `keys` keys.
   * @returns false when those were the last ones; the next call begins anew
   */
  sweep(keys: number): boolean;
  /** Everything that is kept, whatever purges say. It may change meanwhile. */
  all(): Iterable<Entry>;
  close(): void;
}

/** What is over or purged is swept out in steps, between requests, until the level is closed. */
export function createMemoryLevel(options: MemoryLevelOptions): BoundedMemoryLevel {
  return new Memory(options);
}

class Memory implements BoundedMemoryLevel {
  entries = 0;
  bytes = 0;
  readonly evicted: Evicted = { size: 0, variants: 0, expired: 0, purged: 0, large: 0 };
  readonly passing: PassingBodies;
  /** The newest variant of each key, which leads to the others. */
  readonly #newest = new Map<string, Slot>();
  readonly #byUrl = new UrlIndex();
  readonly #purges: Purges;
  readonly #clock: Clock;
  readonly #random: () => number;
  #bounds: MemoryBounds;
  #eviction: Eviction;
  #swept: Iterator<Slot> | undefined = undefined;
  readonly close: () => void;

  constructor(options: MemoryLevelOptions) {
    this.#purges = options.purges;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#bounds = options;
    this.passing = new PassingBodies(options.maxBytes);
    this.#eviction = createEviction(options.evict, options.maxBytes, options.random);
    this.close = startSweeping(this);
  }

  find(key: string, fieldOf: FieldOf): Entry | undefined {
    let slot = this.#newest.get(key);
    while (slot !== undefined) {
      const { older } = slot;
      if (isFor(slot.entry, fieldOf) && this.#isLive(slot)) {
        this.#eviction.use(slot);
        return slot.entry;
      }
      slot = older;
    }
    return undefined;
  }

  peek(key: string): readonly Entry[] {
    const found: Entry[] = [];
    for (const slot of this.#variants(key)) if (this.#isLive(slot)) found.push(slot.entry);
    return found;
  }

  put(entry: Entry): void {
    const state = this.#purges.stateOf(entry);
    if (state === "gone") {
      this.evicted.purged++; // what is there may have been asked for after the purge
      return;
    }
    const variants = this.#variants(entry.key);
    const same = variants.findIndex((each) => haveSameFields(each.entry, entry));
    if (same >= 0) this.#remove(variants.splice(same, 1)[0]!);
    const slot = this.#admit(state === "stale" ? makeStale(entry, this.#clock.now()) : entry);
    if (slot === undefined) return;
    slot.older = variants[0];
    this.#newest.set(entry.key, slot);
    this.#byUrl.add(slot);
    this.#eviction.add(slot);
    this.entries++;
    this.bytes += slot.bytes;
    this.passing.keep(entry.body);
    this.#dropVariants([slot, ...variants]);
    this.#makeRoom();
  }

  delete(key: string): void {
    for (const slot of this.#variants(key)) this.#remove(slot);
  }

  change(key: string, url: string): void {
    this.delete(key);
    this.delete(firstLineOf(key));
    for (const slot of this.#byUrl.of(url)) this.#remove(slot);
  }

  setBounds(bounds: MemoryBounds): void {
    const { evict, variants } = this.#bounds;
    this.#bounds = bounds;
    this.passing.maxBytes = bounds.maxBytes;
    if (evict === bounds.evict) {
      this.#eviction.setBound(bounds.maxBytes);
    } else {
      this.#eviction = createEviction(bounds.evict, bounds.maxBytes, this.#random);
      for (const key of this.#newest.keys()) for (const slot of this.#variants(key)) this.#eviction.add(slot);
    }
    if (bounds.variants < variants) {
      for (const key of this.#newest.keys()) this.#dropVariants(this.#variants(key));
    }
    this.#makeRoom();
  }

  sweep(keys: number): boolean {
    this.#swept ??= this.#newest.values();
    const nowMs = this.#clock.now();
    for (let i = 0; i < keys; i++) {
      const { value, done } = this.#swept.next();
      if (done) {
        this.#swept = undefined;
        return false;
      }
      for (const slot of this.#variants((value as Slot).entry.key)) {
        if (this.#isLive(slot) && slot.overAtMs <= nowMs) {
          this.#remove(slot);
          this.evicted.expired++;
        }
      }
    }
    return true;
  }

  *all(): Generator<Entry> {
    for (const slot of this.#newest.values()) {
      for (let each: Slot | undefined = slot; each !== undefined; each = each.older) yield each.entry;
    }
  }

  /** All variants of a key, the newest first. */
  #variants(key: string): Slot[] {
    const found: Slot[] = [];
    for (let slot = this.#newest.get(key); slot !== undefined; slot = slot.older) found.push(slot);
    return found;
  }

  /** A slot for an entry that may be kept. */
  #admit(entry: Entry): Slot | undefined {
    const slot = new Slot(entry);
    if (slot.bytes > this.#bounds.maxBytes * MOST_SHARE) {
      this.evicted.large++;
      return undefined;
    }
    slot.lookedAt(this.#purges);
    return slot;
  }

  /** Looks for purges that have come since; takes the slot out when one of them says so. */
  #isLive(slot: Slot): boolean {
    if (slot.revision === this.#purges.revision) return true;
    const state = this.#purges.stateOf(slot.entry, slot.version);
    if (state === "gone") {
      this.#remove(slot);
      this.evicted.purged++;
      return false;
    }
    if (state === "stale") slot.hold(makeStale(slot.entry, this.#clock.now()));
    slot.lookedAt(this.#purges);
    return true;
  }

  #remove(slot: Slot): void {
    const { key } = slot.entry;
    let newer = this.#newest.get(key)!;
    if (newer !== slot) {
      while (newer.older !== slot) newer = newer.older!;
      newer.older = slot.older;
    } else if (slot.older === undefined) {
      this.#newest.delete(key);
    } else {
      this.#newest.set(key, slot.older);
    }
    this.#byUrl.remove(slot);
    this.#eviction.remove(slot);
    this.entries--;
    this.bytes -= slot.bytes;
    this.passing.release(slot.entry.body);
  }

  #dropVariants(variants: readonly Slot[]): void {
    for (const slot of variants.slice(this.#bounds.variants)) {
      this.#remove(slot);
      this.evicted.variants++;
    }
  }

  #makeRoom(): void {
    while (this.bytes > this.#bounds.maxBytes) {
      this.#remove(this.#eviction.choose()!);
      this.evicted.size++;
    }
  }
}

function haveSameFields({ vary }: Entry, other: Entry): boolean {
  return vary.length === other.vary.length && vary.every((text, i) => text === other.vary[i]);
}
