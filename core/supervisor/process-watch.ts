/**
 * Tells a stalled thread from one that waits for a core. Time is counted in checks, not on a clock: when the
 * whole machine, or a container, was asleep, nothing was checked either.
 */
import { readFileSync } from "node:fs";

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

/** What the kernel says of a thread. */
export interface ThreadTime {
  cpuMs: number;
  /** `R` runs or waits for a core, `S` sleeps, `D` waits for a disk, `T` and `t` are stopped by somebody. */
  state: string;
}

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

/** Milliseconds of a clock tick in /proc: 100 a second on all of Linux. */
const TICK_MS = 10;

/** The main thread of a process; undefined where the kernel does not tell. */
export function readMainThread(pid: number): ThreadTime | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/task/${pid}/stat`, "latin1");
    // The name in parentheses may hold spaces; behind it come the state and, as 12th and 13th, the CPU time.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return { state: fields[0]!, cpuMs: (Number(fields[11]) + Number(fields[12])) * TICK_MS };
  } catch {
    return undefined;
  }
}
