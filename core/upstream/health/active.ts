/**
 * Active health checks: asks each target at intervals whether it is well. One loop a target; what it found is on
 * the target's state, so that the loops of the next generation go on from there.
 */
import type { ConnectorTls } from "../connector.ts";
import type { KeptTarget } from "../kept-target.ts";
import type { Monitor } from "../target-states.ts";
import { type Probe, type ProbeTarget, probeTarget } from "./probe.ts";

/** Options of active checks, compiled. */
export interface ActiveHealth {
  /** The options as a text: equal ones need no new monitor. */
  readonly key: string;
  readonly probe: Probe;
  /** Port to ask instead of the target's own. */
  readonly port: number | undefined;
  readonly intervalMs: number;
  /** Share of the interval. */
  readonly jitter: number;
  readonly timeoutMs: number;
  readonly healthyThreshold: number;
  readonly unhealthyThreshold: number;
}

/** More targets than this are not all asked at once when they come together. */
const AT_ONCE = 50;
/** Milliseconds a target over which the first checks of many are spread. */
const SPREAD_MS = 10;

export class HealthMonitor implements Monitor {
  readonly key: string;
  readonly #options: ActiveHealth;
  readonly #tls: () => ConnectorTls;
  readonly #random: () => number;
  readonly #loops = new Map<KeptTarget, CheckLoop>();

  /** @param tls how to speak TLS to targets; asked for each that does */
  constructor(options: ActiveHealth, tls: () => ConnectorTls, random: () => number) {
    this.key = options.key;
    this.#options = options;
    this.#tls = tls;
    this.#random = random;
  }

  update(targets: readonly KeptTarget[]): void {
    const wanted = new Set(targets);
    for (const [state, loop] of this.#loops) {
      if (wanted.has(state)) continue;
      loop.stop();
      this.#loops.delete(state);
    }
    const added = [...wanted].filter((state) => !this.#loops.has(state));
    const { intervalMs } = this.#options;
    const spreadMs = added.length > AT_ONCE ? Math.min(added.length * SPREAD_MS, intervalMs) : 0;
    for (const state of added) {
      const target = probeTarget(state.url, this.#options.port, this.#tls);
      const loop = new CheckLoop(state, target, this.#options, this.#random);
      this.#loops.set(state, loop);
      loop.start(spreadMs * this.#random());
    }
  }

  close(): void {
    this.update([]);
  }
}

/** The checks of one target, one after the other. */
class CheckLoop {
  readonly #state: KeptTarget;
  readonly #target: ProbeTarget;
  readonly #options: ActiveHealth;
  readonly #random: () => number;
  /** Until the next check, or until the one under way has taken too long. */
  #timer: NodeJS.Timeout | undefined;
  /** Ends the last check, and what it left open. */
  #controller = new AbortController();
  #stopped = false;
  /** In a row. */
  #passed = 0;
  #failed = 0;

  constructor(state: KeptTarget, target: ProbeTarget, options: ActiveHealth, random: () => number) {
    this.#state = state;
    this.#target = target;
    this.#options = options;
    this.#random = random;
  }

  start(delayMs: number): void {
    this.#timer = setTimeout(() => void this.#check(), delayMs);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#controller.abort();
  }

  async #check(): Promise<void> {
    this.#controller.abort();
    this.#controller = new AbortController();
    const failure = await this.#ask(this.#controller);
    if (this.#stopped) return;
    clearTimeout(this.#timer);
    this.#judge(failure);
    const { intervalMs, jitter } = this.#options;
    this.start(intervalMs * (1 + jitter * (2 * this.#random() - 1)));
  }

  /** Asks once. Gives what is wrong, also when there was no answer in time. */
  #ask(controller: AbortController): Promise<string | undefined> {
    const { probe, timeoutMs } = this.#options;
    return new Promise((resolve) => {
      this.#timer = setTimeout(() => {
        resolve(`no answer within ${timeoutMs} ms`);
        controller.abort();
      }, timeoutMs);
      probe(this.#target, controller.signal).then(resolve, (error: unknown) => resolve(reasonOf(error)));
    });
  }

  #judge(failure: string | undefined): void {
    const state = this.#state;
    const { healthyThreshold, unhealthyThreshold } = this.#options;
    const isFirst = state.healthy === undefined;
    if (failure === undefined) {
      state.checks.success++;
      this.#failed = 0;
      if (++this.#passed >= healthyThreshold || isFirst) state.setHealthy(true);
    } else {
      state.checks.failure++;
      this.#passed = 0;
      if (++this.#failed >= unhealthyThreshold || isFirst) state.setHealthy(false, failure);
    }
  }
}

/** What an error says, in a few words. */
function reasonOf(error: unknown): string {
  const { message, code, errors } = error as NodeJS.ErrnoException & { errors?: readonly unknown[] };
  // An error for each of a name's addresses has no message of its own.
  if (!message && errors?.[0] !== undefined) return reasonOf(errors[0]);
  return message || code || "the check failed";
}
