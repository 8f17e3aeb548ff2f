/**
 * Tells a stalled thread from one that waits for a core. Time is counted in checks, not on a clock: when the
 * whole machine, or a container, was asleep, nothing was checked either.
 */
import type { ThreadTime } from "./thread-time.ts";

/** How often {@link ProcessWatch.check} is to be called. A gateway process gives signs of life as often. */
export const CHECK_MS = 500;

/** After how long without a sign of life a thread is stalled. */
export interface StallLimits {
  /** CPU time that it has used itself since. */
  cpuMs: number;
  /** Time that it has slept since: it waits for something that does not come. */
  asleepMs: number;
}

/** For the thread that handles requests: nobody is served while it stalls. */
export const REQUESTS_STALLED: StallLimits = { cpuMs: 2000, asleepMs: 10_000 };
/** For a thread that only controls others. */
export const CONTROL_STALLED: StallLimits = { cpuMs: 30_000, asleepMs: 30_000 };

export class ProcessWatch {
  readonly #limits: StallLimits;
  readonly #read: () => ThreadTime | undefined;
  #hasBeat = true;
  #missed = 0;
  /** Checks to come that need no sign of life. */
  #excused = 0;
  #cpuMs = 0;

  constructor(limits: StallLimits, read: () => ThreadTime | undefined) {
    this.#limits = limits;
    this.#read = read;
  }

  /** There was a sign of life. */
  beat(): void {
    this.#hasBeat = true;
  }

  /** There need not be one for so long. */
  excuse(ms: number): void {
    this.#excused = Math.ceil(ms / CHECK_MS);
  }

  /** What is wrong, as a text for people; undefined while nothing is. */
  check(): string | undefined {
    const time = this.#read();
    if (this.#excused > 0 || this.#hasBeat) {
      if (this.#excused > 0) this.#excused--;
      this.#hasBeat = false;
      this.#missed = 0;
      this.#cpuMs = time?.cpuMs ?? 0;
      return undefined;
    }
    const silentMs = ++this.#missed * CHECK_MS;
    // Where the kernel does not tell, time is all there is to go by.
    const cpuMs = time === undefined ? 0 : time.cpuMs - this.#cpuMs;
    const isAsleep = time === undefined || time.state === "S";
    if (cpuMs >= this.#limits.cpuMs) return `stalled: busy for ${cpuMs / 1000} s without a sign of life`;
    if (isAsleep && silentMs >= this.#limits.asleepMs)
      return `stalled: no sign of life for ${silentMs / 1000} s`;
    return undefined;
  }
}
