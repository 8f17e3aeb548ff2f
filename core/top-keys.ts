/**
 * Which keys come most, in a fixed amount of memory: Space-Saving (Metwally, Agrawal, El Abbadi 2005). A key that is
 * not counted yet takes the place of the one with the least count, and that count with it, as what it may have too
 * much. So no count is too small, none is too large by more than the least, and who came more often than that is there.
 */

/** What came of one key. */
export interface TopKey {
  readonly key: string;
  /** How often it came, at most. */
  readonly count: number;
  /** How much of `count` may not be its own. */
  readonly error: number;
  /** How often it was refused since it is counted: at least. */
  readonly refused: number;
}

/** Keys that come most, those first; plain data. */
export interface TopKeysReading {
  readonly keys: readonly TopKey[];
  /** Nobody who is not there came more often. */
  readonly least: number;
}

/** What was read in several places, as one: the promises hold for it as well, with the errors added. */
export function mergeTopKeys(a: TopKeysReading, b: TopKeysReading, capacity: number): TopKeysReading {
  const others = new Map(b.keys.map((each) => [each.key, each]));
  const all = a.keys.map((mine): TopKey => {
    const other = others.get(mine.key);
    others.delete(mine.key);
    return {
      key: mine.key,
      count: mine.count + (other?.count ?? b.least),
      error: mine.error + (other?.error ?? b.least),
      refused: mine.refused + (other?.refused ?? 0),
    };
  });
  for (const other of others.values()) {
    all.push({ ...other, count: other.count + a.least, error: other.error + a.least });
  }
  all.sort(byCount);
  return { keys: all.slice(0, capacity), least: Math.max(a.least + b.least, all[capacity]?.count ?? 0) };
}

const byCount = (a: TopKey, b: TopKey): number => b.count - a.count || (a.key < b.key ? -1 : 1);

/** Counts keys. */
export class KeySketch {
  readonly #capacity: number;
  readonly #places = new Map<string, number>();
  readonly #keys: string[] = [];
  readonly #counts: number[] = [];
  readonly #errors: number[] = [];
  readonly #refused: number[] = [];

  /** @param capacity how many keys are counted at a time */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** @param weight how often it came, above 0 */
  add(key: string, weight: number, refused: number): void {
    const place = this.#places.get(key) ?? this.#enter(key);
    this.#counts[place]! += weight;
    this.#refused[place]! += refused;
  }

  read(): TopKeysReading {
    const isFull = this.#keys.length === this.#capacity;
    const keys = this.#keys.map((key, i) => ({
      key,
      count: this.#counts[i]!,
      error: this.#errors[i]!,
      refused: this.#refused[i]!,
    }));
    return { keys: keys.sort(byCount), least: isFull ? this.#counts[this.#findLeast()]! : 0 };
  }

  #enter(key: string): number {
    let place = this.#keys.length;
    let count = 0;
    if (place === this.#capacity) {
      place = this.#findLeast();
      this.#places.delete(this.#keys[place]!);
      count = this.#counts[place]!;
    }
    this.#keys[place] = key;
    this.#counts[place] = count;
    this.#errors[place] = count;
    this.#refused[place] = 0;
    this.#places.set(key, place);
    return place;
  }

  #findLeast(): number {
    let least = 0;
    for (let i = 1; i < this.#capacity; i++) if (this.#counts[i]! < this.#counts[least]!) least = i;
    return least;
  }
}
