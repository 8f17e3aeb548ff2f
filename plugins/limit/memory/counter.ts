/** What a rule counts, by key. Of the key that was located or found last, all else is said. */
export interface Counter {
  /** The most units that there ever are at once. */
  readonly capacity: number;
  /** Units that are left after the latest step, at least 0; and how long until all are, in milliseconds. */
  readonly remaining: number;
  readonly resetMs: number;
  /** @returns false when there is no room to count it */
  locate(key: string, now: number): boolean;
  /** Looks at a key without making room for it. */
  read(key: string, now: number): void;
  /** @returns false when there is no room for so many units: then nothing is taken */
  take(cost: number, now: number): boolean;
  /** Takes what is there, at most so many units. */
  takeRest(units: number, now: number): void;
  /** Takes them, though nothing be there. */
  charge(units: number, now: number): void;
  giveBack(units: number, takenAt: number, now: number): void;
  /** Looks again. */
  look(now: number): void;
  /** Milliseconds until so many units fit, after the latest look; they can fit at all. */
  waitFor(cost: number): number;
  /** Forgets what was counted for a key. */
  forget(key: string, now: number): void;
}
