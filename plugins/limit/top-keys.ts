/** The keys that a stage met most in the last minutes, on one thread: all that were refused, and a sample of the others. */
import type { Clock, Host } from "../../core/plugin.ts";
import { KeySketch, mergeTopKeys, type TopKeysReading } from "../../core/top-keys.ts";

/** How many keys are known at a time. */
export const TOP_KEYS = 64;

/** One of so many that are allowed is counted, for all of them. */
const SAMPLE = 32;

/** What is shown is of the last one to two of these. */
const WINDOW_MS = 300_000;

/** Largest number of the generator (Park and Miller 1988). */
const PRIME = 2_147_483_647;

/** Those of a stage; they outlive generations. */
export function openTopKeys(host: Pick<Host, "route" | "stage" | "clock" | "keep" | "random">): TopKeys {
  const { clock } = host;
  return host.keep(`limit top keys ${host.route} ${host.stage}`, () => new TopKeys(clock, host.random()));
}

export class TopKeys {
  readonly #clock: Pick<Clock, "monotonic">;
  /** From 1 to below {@link PRIME}. */
  #seed: number;
  #current = new KeySketch(TOP_KEYS);
  #previous = new KeySketch(TOP_KEYS);
  #beganAt: number;
  /** How many that are allowed are not counted before the next that is. */
  #skip = 0;

  /** @param random from 0 up to 1: where chance begins */
  constructor(clock: Pick<Clock, "monotonic">, random: number) {
    this.#clock = clock;
    this.#seed = 1 + Math.floor(random * (PRIME - 1));
    this.#beganAt = clock.monotonic();
  }

  addAllowed(key: string): void {
    if (this.#skip-- > 0) return;
    // At random, so that no rhythm of clients hides some of them.
    this.#seed = (this.#seed * 48_271) % PRIME;
    this.#skip = this.#seed % (2 * SAMPLE - 1);
    this.#add(key, SAMPLE, 0);
  }

  addRefused(key: string): void {
    this.#add(key, 1, 1);
  }

  read(): TopKeysReading {
    this.#turn();
    return mergeTopKeys(this.#current.read(), this.#previous.read(), TOP_KEYS);
  }

  #add(key: string, weight: number, refused: number): void {
    this.#turn();
    this.#current.add(key, weight, refused);
  }

  /** Begins to count anew when it is time. */
  #turn(): void {
    const now = this.#clock.monotonic();
    const passed = now - this.#beganAt;
    if (passed < WINDOW_MS) return;
    this.#previous = passed < 2 * WINDOW_MS ? this.#current : new KeySketch(TOP_KEYS);
    this.#current = new KeySketch(TOP_KEYS);
    this.#beganAt = now;
  }
}
