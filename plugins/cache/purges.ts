/**
 * The purges that are known. Nothing is looked for when something is purged: whoever finds an entry asks what became of
 * it, and asks again only when `revision` changed. Purges may come in any order, and more than once.
 */
import { ageMs } from "./age.ts";
import type { Entry } from "./entry.ts";
import type { Purge, PurgeRecord, Purges } from "./level.ts";

/** What is remembered one by one; whatever is older is remembered as one purge of everything. */
const MOST_MARKS = 10_000;
const MOST_CHARACTERS = 4 * 2 ** 20;
/** So many numbers may be missing for as long as they like; beyond, all of them count as purges of everything. */
const MOST_AHEAD = 1000;

const LIVE = 0;
const STALE = 1;
const GONE = 2;

/** The newest purges of one thing; 0 for never. */
class Mark {
  readonly kind: Purge["kind"];
  readonly value: string;
  gone = 0;
  stale = 0;

  constructor(kind: Purge["kind"], value: string) {
    this.kind = kind;
    this.value = value;
  }

  /** @returns false when that is known already */
  add(number: number, soft: boolean): boolean {
    if (number <= (soft ? this.stale : this.gone)) return false;
    if (soft) this.stale = number;
    else this.gone = number;
    return true;
  }

  judge(since: number): number {
    return this.gone > since ? GONE : this.stale > since ? STALE : LIVE;
  }
}

export class PurgeTable implements Purges {
  version: number;
  revision = 0;
  /** Purges of everything, and what was folded into them. */
  readonly #all = new Mark("all", "");
  /** Those that changed last come last. */
  readonly #marks = new Set<Mark>();
  readonly #byValue = {
    key: new Map<string, Mark>(),
    url: new Map<string, Mark>(),
    prefix: new Map<string, Mark>(),
    tag: new Map<string, Mark>(),
  };
  #characters = 0;
  /** Lengths that prefixes have, each with the number of its newest purge and how many prefixes have it. */
  readonly #lengths = new Map<number, { newest: number; prefixes: number }>();
  /** Numbers above `version` that are known, while one in between is not. */
  readonly #ahead = new Set<number>();

  /** @param version purges up to this number concern nothing that is kept here */
  constructor(version = 0) {
    this.version = version;
  }

  /** How many purges are remembered one by one. */
  get size(): number {
    return this.#marks.size;
  }

  /** Makes a purge known. */
  apply({ number, kind, value, soft }: PurgeRecord): void {
    const mark = kind === "all" ? this.#all : this.#mark(kind, value);
    if (mark.add(number, soft)) {
      this.revision++;
      if (kind === "prefix") {
        const length = this.#lengths.get(value.length)!;
        length.newest = Math.max(length.newest, number);
      }
      if (mark !== this.#all) {
        this.#marks.delete(mark);
        this.#marks.add(mark);
      }
    }
    this.#count(number);
    while (this.#marks.size > MOST_MARKS || this.#characters > MOST_CHARACTERS) this.#fold();
  }

  /** Says that there is no purge up to this number but those that were applied. */
  advance(number: number): void {
    if (number <= this.version) return;
    this.version = number;
    for (const each of this.#ahead) if (each <= number) this.#ahead.delete(each);
    while (this.#ahead.delete(this.version + 1)) this.version++;
  }

  stateOf(entry: Entry, since = entry.version): "live" | "stale" | "gone" {
    let verdict = this.#all.judge(since);
    if (this.#marks.size > 0) {
      const { key, url, prefix, tag } = this.#byValue;
      verdict = Math.max(
        verdict,
        key.get(entry.key)?.judge(since) ?? LIVE,
        url.get(entry.url)?.judge(since) ?? LIVE,
      );
      for (const each of entry.tags) verdict = Math.max(verdict, tag.get(each)?.judge(since) ?? LIVE);
      for (const [length, { newest }] of this.#lengths) {
        if (newest <= since || length > entry.url.length) continue;
        verdict = Math.max(verdict, prefix.get(entry.url.slice(0, length))?.judge(since) ?? LIVE);
      }
    }
    return verdict === GONE ? "gone" : verdict === STALE ? "stale" : "live";
  }

  #mark(kind: Exclude<Purge["kind"], "all">, value: string): Mark {
    const marks = this.#byValue[kind];
    let mark = marks.get(value);
    if (mark === undefined) {
      mark = new Mark(kind, value);
      marks.set(value, mark);
      this.#marks.add(mark);
      this.#characters += value.length;
      if (kind === "prefix") {
        const length = this.#lengths.get(value.length);
        if (length === undefined) this.#lengths.set(value.length, { newest: 0, prefixes: 1 });
        else length.prefixes++;
      }
    }
    return mark;
  }

  #count(number: number): void {
    if (number <= this.version) return;
    this.#ahead.add(number);
    while (this.#ahead.delete(this.version + 1)) this.version++;
    if (this.#ahead.size <= MOST_AHEAD) return;
    const newest = Math.max(...this.#ahead);
    this.#all.add(newest, false);
    this.advance(newest);
  }

  /** Forgets the oldest mark: what it concerned is no longer told from the rest. */
  #fold(): void {
    const [mark] = this.#marks;
    if (mark === undefined || mark.kind === "all") return;
    this.#marks.delete(mark);
    this.#byValue[mark.kind].delete(mark.value);
    this.#characters -= mark.value.length;
    this.#all.add(mark.gone, false);
    this.#all.add(mark.stale, true);
    if (mark.kind === "prefix" && --this.#lengths.get(mark.value.length)!.prefixes === 0) {
      this.#lengths.delete(mark.value.length);
    }
  }
}

/** The same entry, no longer fresh: times of grace begin now (RFC 5861). */
export function makeStale(entry: Entry, nowMs: number): Entry {
  const freshMs = ageMs(entry, nowMs);
  return freshMs >= entry.freshMs ? entry : { ...entry, freshMs };
}
