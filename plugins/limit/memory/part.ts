/** What a rule counts for one key, in one word pair of a cell. */
export interface Part {
  /** Where it is now. */
  at: number;
  /** Units that are left after the latest step, at least 0; and how long until all are, in milliseconds. */
  remaining: number;
  resetMs: number;
  /** @returns false when there is no room for so many units: then nothing is taken */
  take(cost: number, now: number): boolean;
  /** Takes what is there, at most so many units. */
  takeRest(units: number, now: number): void;
  /** Takes them, though nothing be there. */
  charge(units: number, now: number): void;
  giveBack(units: number, takenAt: number, now: number): void;
  /** Only looks. */
  look(now: number): void;
  /** Milliseconds until so many units fit, after the latest look; they can fit at all. */
  waitFor(cost: number): number;
  forget(): void;
}
