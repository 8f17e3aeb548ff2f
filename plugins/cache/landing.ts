/** What comes of a flight, for those who wait for it. */
import type { Reply } from "../../core/plugin.ts";
import type { Sent } from "./cache-status.ts";
import type { CacheResult } from "./counts.ts";
import type { Entry } from "./entry.ts";
import type { Fill } from "./fill.ts";

/** `sent` is what Cache-Status says about it. */
export type Landing = EntryLanding | StreamLanding | OwnLanding;

/** A stored response: found, validated, or good enough although the upstream failed. */
interface EntryLanding {
  readonly kind: "entry";
  readonly entry: Entry;
  readonly sent: Sent;
  readonly result: CacheResult;
  /** That the upstream set when it said that it is still right: for the one who asked first. */
  readonly cookies?: readonly string[];
}

/** A reply that all may have, its body still on its way: that of `head` is empty. */
export interface StreamLanding {
  readonly kind: "stream";
  readonly head: Entry;
  readonly fill: Fill;
  /** As it came, for the one who asked first. */
  readonly reply: Reply;
  readonly sent: Sent;
}

/** A reply for the one who asked first only. */
export interface OwnLanding {
  readonly kind: "own";
  readonly reply: Reply;
  readonly sent: Sent;
}
