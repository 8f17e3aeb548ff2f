/** What a cache does with requests: answers from what is stored, sends on the others, and keeps what comes back. */
import {
  type Clock,
  type Exchange,
  GatewayError,
  type Handler,
  type Host,
  type Reply,
} from "../../core/plugin.ts";
import { ageMs } from "./age.ts";
import { addStatus, type Forwarded, hit, sent } from "./cache-status.ts";
import { Carrier } from "./carrier.ts";
import type { CacheCounts } from "./counts.ts";
import type { Entry } from "./entry.ts";
import { type Flight, forkFor, type Landing, learn } from "./flight.ts";
import type { Flights } from "./flights.ts";
import { invalidationTargets } from "./invalidation.ts";
import type { FieldOf, MemoryLevel } from "./level.ts";
import { type CacheRequest, readRequest } from "./request.ts";
import { judgeReuse } from "./reuse.ts";
import type { CacheRules } from "./rules.ts";
import { replyFrom, ttlSeconds, wholeReply } from "./serve.ts";
import { normalizedField } from "./vary.ts";

/** Methods that change nothing (RFC 9110 section 9.2.1): what is stored stays as it is. */
const SAFE = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "QUERY", "PROPFIND", "REPORT", "SEARCH"]);

/** Largest body of a POST that is looked up. */
const MAX_ASKED_BYTES = 64 * 1024;

export class CacheStage {
  readonly #next: Handler;
  readonly #rules: CacheRules;
  readonly #level: MemoryLevel;
  readonly #flights: Flights;
  readonly #carrier: Carrier;
  readonly #counts: CacheCounts;
  readonly #clock: Clock;
  readonly #random: () => number;
  /** Headers of the request that is being looked up: one function for all requests reads them. */
  #headers: Exchange["headers"] | undefined;
  readonly #fieldOf: FieldOf = (name) => normalizedField(this.#headers!, name);
