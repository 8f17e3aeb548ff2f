/**
 * Watches the calls of scripts on one thread, by looking now and then: finds those that take long, and those that
 * no limit cuts. A thread that a busy machine gives no time to runs no such script.
 */
import type { ThreadTime } from "../supervisor/thread-time.ts";
import type { RunningScript, Vitals } from "../threads/vitals.ts";

/** A call that is watched for so long stalls its thread, if the thread was at work for half of it. */
export const STALL_MS = 1000;
const AT_WORK_MS = 500;
/** The same for one that sleeps, or where the kernel does not tell. */
export const BLOCKED_MS = 3000;

/** `long`: it was there at two looks; `over`: that one is no more; `stalled`: only the end of the thread helps. */
export type CallEvent = "long" | "over" | "stalled";

export class CallWatch {
  readonly #vitals: Pick<Vitals, "runningScript">;
  readonly #read: () => ThreadTime | undefined;
  #call: RunningScript | undefined;
  #isLong = false;
  #isStalled = false;
  /** Since when it is watched, and the time that the thread had used by then. */
  #sinceMs = 0;
  #cpuMs = 0;

  /** @param read gives what the kernel says of the thread */
  constructor(vitals: Pick<Vitals, "runningScript">, read: () => ThreadTime | undefined) {
    this.#vitals = vitals;
    this.#read = read;
  }

  /** The call that the last look saw. */
  get call(): RunningScript | undefined {
    return this.#call;
  }

  /**
   * Looks at the thread.
   * @param nowMs monotonic milliseconds
   * @param isLate the one who looks was kept from it, and so may the thread have been: its time counts from now
   * @returns what is new
   */
  look(nowMs: number, isLate: boolean): CallEvent | undefined {
    const call = this.#vitals.runningScript;
    if (call === undefined || !isSame(call, this.#call)) {
      const wasLong = this.#isLong;
      this.#call = call;
      this.#isLong = this.#isStalled = false;
      return wasLong ? "over" : undefined;
    }
    if (!this.#isLong || isLate) {
      const isNew = !this.#isLong;
      this.#isLong = true;
      this.#sinceMs = nowMs;
      this.#cpuMs = this.#read()?.cpuMs ?? 0;
      return isNew ? "long" : undefined;
    }
    if (this.#isStalled || !this.#hasStalled(nowMs - this.#sinceMs)) return undefined;
    this.#isStalled = true;
    return "stalled";
  }

  #hasStalled(watchedMs: number): boolean {
    if (watchedMs < STALL_MS) return false;
    const time = this.#read();
    if (time !== undefined && time.cpuMs - this.#cpuMs >= AT_WORK_MS) return true;
    return (time === undefined || time.state === "S") && watchedMs >= BLOCKED_MS;
  }
}

function isSame(a: RunningScript, b: RunningScript | undefined): boolean {
  return a.id === b?.id && a.sequence === b.sequence && a.sinceMs === b.sinceMs;
}
