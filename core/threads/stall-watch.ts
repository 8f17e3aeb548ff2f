/**
 * Finds data threads that hang, by their signs of life. A thread that a busy machine gives no time to is no such
 * thread: one is given up when it uses the time that it gets and still does not come round, or gets none for long.
 */
import type { Clock } from "../plugin.ts";
import type { Vitals } from "./vitals.ts";

/** Time between two looks. */
const LOOK_MS = 200;
/** A thread that gave no sign of life for so long hangs, if it is at work all the time. */
export const STALL_MS = 1000;
/** One that is not at work, or does not even say: it waits for something, or runs what cannot be interrupted. */
export const BLOCKED_MS = 3000;
/** While it builds a configuration. */
export const BUILDING_MS = 60_000;
/** Share of the time from which on a thread is at work. */
const AT_WORK = 0.5;

/** A thread that can be watched. */
export interface Watched {
  readonly vitals: Pick<Vitals, "beatAt">;
  readonly isAlive: boolean;
  readonly isBuilding: boolean;
  /** Milliseconds of processor time that it has used; never resolves while it cannot say. */
  usedMs(): Promise<number>;
}

/** What is known of a thread that gives no sign of life. */
interface Suspicion {
  /** The last sign of life before it. */
  readonly beatAt: number;
  /** When it began to be watched closely, and the time it had used then; NaN until it says. */
  readonly since: number;
  usedBefore: number;
  usedNow: number;
}

export class StallWatch<T extends Watched> {
  readonly #clock: Clock;
  readonly #threads: () => Iterable<T>;
  readonly #onStall: (thread: T, silentMs: number) => void;
  readonly #timer: NodeJS.Timeout;
  /** Of threads that may end meanwhile for another reason: nobody takes those out. */
  #suspicions = new WeakMap<T, Suspicion>();
  #lookedAt: number;

  /** @param onStall told once of each thread that hangs */
  constructor(clock: Clock, threads: () => Iterable<T>, onStall: (thread: T, silentMs: number) => void) {
    this.#clock = clock;
    this.#threads = threads;
    this.#onStall = onStall;
    this.#lookedAt = clock.monotonic();
    this.#timer = setInterval(() => this.look(), LOOK_MS);
    this.#timer.unref();
  }

  /** Looks at all threads; called by the timer. */
  look(): void {
    const now = this.#clock.monotonic();
    const lateMs = now - this.#lookedAt - LOOK_MS;
    this.#lookedAt = now;
    // Whoever looks was kept from it, and so may all others have been: their time counts from now.
    if (lateMs > STALL_MS / 2) this.#suspicions = new WeakMap();
    else for (const thread of this.#threads()) this.#lookAt(thread, now);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #lookAt(thread: T, now: number): void {
    const { beatAt } = thread.vitals;
    if (beatAt === 0 || !thread.isAlive) return;
    let suspicion = this.#suspicions.get(thread);
    if (suspicion?.beatAt !== beatAt) {
      if (now - beatAt < STALL_MS / 2) return void this.#suspicions.delete(thread);
      suspicion = { beatAt, since: now, usedBefore: Number.NaN, usedNow: Number.NaN };
      this.#suspicions.set(thread, suspicion);
    }
    this.#ask(thread, suspicion);
    const watchedMs = now - suspicion.since;
    const isAtWork = suspicion.usedNow - suspicion.usedBefore > AT_WORK * (watchedMs - LOOK_MS);
    const silentMs = STALL_MS / 2 + watchedMs;
    const limitMs = thread.isBuilding ? BUILDING_MS : isAtWork ? STALL_MS : BLOCKED_MS;
    if (silentMs < limitMs) return;
    this.#suspicions.delete(thread);
    this.#onStall(thread, now - beatAt);
  }

  /** What it has used is known by the next look, if it can say. */
  #ask(thread: T, suspicion: Suspicion): void {
    thread.usedMs().then(
      (ms) => {
        if (Number.isNaN(suspicion.usedBefore)) suspicion.usedBefore = ms;
        suspicion.usedNow = ms;
      },
      () => {}, // it has ended
    );
  }
}
