/**
 * What is known of one target, whichever generation and thread asks: health, ejections, requests under way, what
 * operators set. It is all in shared memory; this is how a thread reads it, and writes what requests tell.
 */
import type { Log } from "../exchange.ts";
import type { Clock } from "../plugin.ts";
import type { OutlierRecord } from "./health/outlier-record.ts";
import {
  ADMIN_STATES,
  type AdminState,
  DOUBLE,
  type EjectionReason,
  forgetLane,
  HEALTH,
  REASONS,
  WORD,
} from "./target-record.ts";
import { targetId } from "./target-url.ts";
import type { UpstreamRecord } from "./upstream-record.ts";

/** How fast the average latency forgets, in milliseconds. */
const LATENCY_DECAY_MS = 10_000;
/** A failed request counts as one that took at least this long. */
const FAILURE_LATENCY_MS = 1000;

/** What the targets of an upstream have in common. */
export interface TargetOwner {
  /** Name of the upstream. */
  readonly upstream: string;
  readonly log: Log;
  readonly clock: Clock;
  readonly shared: UpstreamRecord;
}

export class TargetState {
  readonly id: string;
  readonly url: string;
  readonly memory: SharedArrayBuffer;
  /** Generations of this thread that have it. */
  users = 0;
  /** What passive health of the generation that serves remembers of it; undefined when nobody asks for that. */
  outlier: OutlierRecord | undefined;
  protected readonly owner: TargetOwner;
  protected readonly words: Int32Array<SharedArrayBuffer>;
  protected readonly doubles: Float64Array<SharedArrayBuffer>;
  readonly #lane: number;

  /** @param memory of {@link createTargetRecord} */
  constructor(url: string, memory: SharedArrayBuffer, owner: TargetOwner) {
    this.url = url;
    this.id = targetId(url);
    this.memory = memory;
    this.owner = owner;
    this.words = new Int32Array(memory);
    this.doubles = new Float64Array(memory);
    this.#lane = WORD.lanes + owner.shared.thread;
  }

  /** Tells it from an earlier one of the same URL. */
  get serial(): number {
    return this.words[WORD.serial]!;
  }

  /** Requests under way to it. */
  get inFlight(): number {
    return this.words[WORD.inFlight]!;
  }

  startRequest(): void {
    Atomics.add(this.words, WORD.inFlight, 1);
    this.words[this.#lane]!++;
    this.owner.shared.startRequest();
  }

  endRequest(): void {
    Atomics.sub(this.words, WORD.inFlight, 1);
    this.words[this.#lane]!--;
    this.owner.shared.endRequest();
  }

  /** Takes back the requests of a thread that is no more. */
  forgetThread(thread: number): void {
    forgetLane(this.words, WORD.inFlight, WORD.lanes + thread);
  }

  /** Verdict of the active checks; undefined while there is none. */
  get healthy(): boolean | undefined {
    return HEALTH[this.words[WORD.healthy]!];
  }

  get adminState(): AdminState {
    return ADMIN_STATES[this.words[WORD.adminState]!]!;
  }

  /** Weight that an operator set; undefined for the configured one. */
  get weight(): number | undefined {
    const weight = this.doubles[DOUBLE.weight]!;
    return Number.isNaN(weight) ? undefined : weight;
  }

  /** Monotonic milliseconds when its last ejection ends or ended; -Infinity when there was none. */
  get ejectedUntil(): number {
    return this.doubles[DOUBLE.ejectedUntil]!;
  }

  /** Why it was ejected last. */
  get ejectionReason(): EjectionReason {
    return REASONS[this.words[WORD.reason]!]!;
  }

  /** True when it is well, as far as is known. */
  isHealthy(now: number): boolean {
    return this.ejectedUntil <= now && this.healthy !== false;
  }

  /** Monotonic milliseconds since when it is used again, for slow start; -Infinity when it always was. */
  get warmFrom(): number {
    return Math.max(this.doubles[DOUBLE.warmFrom]!, this.ejectedUntil);
  }

  /**
   * Keeps requests away from it for a while: twice as long as the time before, if it came back for a shorter time than
   * it had been away; for each such time that it behaved one doubling is taken back. To be called with the upstream's
   * lock.
   * @param firstMs how long the first ejection lasts
   * @param maxMs how long any lasts at most
   */
  eject(reason: EjectionReason, firstMs: number, maxMs: number): void {
    const { words, doubles, owner } = this;
    const now = owner.clock.monotonic();
    this.tellReturn(now);
    const lastMs = doubles[DOUBLE.lastEjectionMs]!;
    let doublings = words[WORD.doublings]!;
    if (lastMs > 0) {
      doublings = Math.max(0, doublings - Math.floor(Math.max(0, now - this.ejectedUntil) / lastMs));
    }
    const ms = Math.min(firstMs * 2 ** doublings, maxMs);
    words[WORD.doublings] = ms < maxMs ? doublings + 1 : doublings;
    doubles[DOUBLE.lastEjectionMs] = ms;
    doubles[DOUBLE.ejectedUntil] = now + ms;
    const index = REASONS.indexOf(reason);
    words[WORD.reason] = index;
    Atomics.add(words, WORD.ejections + index, 1);
    Atomics.store(words, WORD.isOut, 1);
    owner.shared.changed();
    owner.log.warn({ ...this.fields(), reason, forMs: Math.round(ms) }, "target is ejected");
  }

  /**
   * It should be ejected, and is not: counted and told once for the time that an ejection would have lasted, because
   * every failure asks again. To be called with the upstream's lock.
   */
  refuseEjection(reason: EjectionReason, firstMs: number): void {
    const now = this.owner.clock.monotonic();
    if (now < this.doubles[DOUBLE.refusedUntil]!) return;
    this.doubles[DOUBLE.refusedUntil] = now + firstMs;
    Atomics.add(this.words, WORD.refusals + REASONS.indexOf(reason), 1);
    this.owner.log.warn(
      { ...this.fields(), reason },
      "target fails but is not ejected: too many are, or no other can be used",
    );
  }

  /** Says that its ejection is over, if it is and nobody has said so. */
  tellReturn(now: number): void {
    if (this.ejectedUntil > now || Atomics.compareExchange(this.words, WORD.isOut, 1, 0) === 0) return;
    this.owner.log.info(this.fields(), "ejection of target is over");
  }

  /**
   * Average latency as Finagle's peak EWMA: a longer one counts at once, shorter ones little by little, and without
   * any it fades, so that a target that was slow is tried again.
   */
  latencyMs(now: number): number {
    const { doubles } = this;
    return doubles[DOUBLE.latencyMs]! * Math.exp((doubles[DOUBLE.latencyAt]! - now) / LATENCY_DECAY_MS);
  }

  /** A request took so long until its reply's head. */
  observeLatency(ms: number, now: number): void {
    const { doubles } = this;
    const last = doubles[DOUBLE.latencyMs]!;
    if (ms >= last) doubles[DOUBLE.latencyMs] = ms;
    else {
      const kept = Math.exp((doubles[DOUBLE.latencyAt]! - now) / LATENCY_DECAY_MS);
      doubles[DOUBLE.latencyMs] = last * kept + ms * (1 - kept);
    }
    doubles[DOUBLE.latencyAt] = now;
  }

  /** A request failed: a target that fails fast must not look fast. */
  observeFailure(now: number): void {
    this.observeLatency(Math.max(FAILURE_LATENCY_MS, this.doubles[DOUBLE.latencyMs]!), now);
  }

  protected fields(): { upstream: string; target: string } {
    return { upstream: this.owner.upstream, target: this.url };
  }
}
