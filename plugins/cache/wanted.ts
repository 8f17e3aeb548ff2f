import type { Exchange } from "../../core/plugin.ts";
import type { Forwarded } from "./cache-status.ts";
import type { Entry } from "./entry.ts";
import type { CacheRequest } from "./request.ts";

/** What is looked for, and cannot be answered at once. */
export interface Wanted {
  readonly x: Exchange;
  readonly request: CacheRequest;
  readonly key: string;
  /** What there is, but not to be used without asking. */
  readonly stored: Entry | undefined;
  readonly why: Forwarded;
}
