/** Where an entry lies in memory. Its links are its own, so that a use of it makes nothing new (decision 007). */
import { bytesOf, type Entry } from "../entry.ts";
import type { Purges } from "../level.ts";
import { headerOf } from "../stored-headers.ts";

export class Slot {
  entry: Entry;
  bytes: number;
  /** The next variant of the same key; older than this one. */
  older: Slot | undefined = undefined;
  /** Neighbours in the list that it is in: see {@link SlotList}. */
  before: Slot | undefined = undefined;
  after: Slot | undefined = undefined;
  /** Neighbours among those of the same URL: see {@link UrlIndex}. */
  urlBefore: Slot | undefined = undefined;
  urlAfter: Slot | undefined = undefined;
  /** For the eviction that it is in: of its key and variant, which list it is in, or which place. */
  hash = 0;
  place = 0;
  /** When even a reply that is to be validated first is not worth its room any more. */
  overAtMs: number;
  /** `version` and `revision` of the purges when it was last seen to be live. */
  version: number;
  revision = -1;

  constructor(entry: Entry) {
    this.entry = entry;
    this.bytes = bytesOf(entry);
    this.overAtMs = overAtMs(entry);
    this.version = entry.version;
  }

  /** Takes a copy of the entry that is fresh for less long. */
  hold(entry: Entry): void {
    this.entry = entry;
    this.overAtMs = overAtMs(entry);
  }

  /** Purges that are known by now do not concern it. Those that it was asked for under may be newer. */
  lookedAt({ version, revision }: Purges): void {
    this.version = Math.max(this.version, version);
    this.revision = revision;
  }
}

/** How long entries stay when they are neither fresh nor of any grace: clients may take what is stale. */
const STALE_MS = 60_000;
/** And when they can be validated. */
const VALIDATED_MS = 3_600_000;

function overAtMs(entry: Entry): number {
  const graceMs = Math.max(entry.staleWhileRevalidateMs, entry.staleIfErrorMs);
  const isStaleAtMs = entry.respondedAtMs - entry.initialAgeMs + entry.freshMs;
  return isStaleAtMs + graceMs + (hasValidator(entry) ? VALIDATED_MS : STALE_MS);
}

function hasValidator(entry: Entry): boolean {
  return headerOf(entry, "etag") !== undefined || headerOf(entry, "last-modified") !== undefined;
}

/** Slots in a row, first and last at hand. A slot is in one list at a time. */
export class SlotList {
  first: Slot | undefined = undefined;
  last: Slot | undefined = undefined;
  bytes = 0;

  addFirst(slot: Slot): void {
    const { first } = this;
    slot.before = undefined;
    slot.after = first;
    if (first === undefined) this.last = slot;
    else first.before = slot;
    this.first = slot;
    this.bytes += slot.bytes;
  }

  remove(slot: Slot): void {
    const { before, after } = slot;
    if (before === undefined) this.first = after;
    else before.after = after;
    if (after === undefined) this.last = before;
    else after.before = before;
    slot.before = undefined;
    slot.after = undefined;
    this.bytes -= slot.bytes;
  }

  moveFirst(slot: Slot): void {
    if (this.first === slot) return;
    this.remove(slot);
    this.addFirst(slot);
  }
}
