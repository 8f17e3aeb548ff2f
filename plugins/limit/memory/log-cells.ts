/**
 * Where the slots of a key's log are: in as many cells as they need, the first of which says how many slots may be in
 * use. Cells that are not there are as good as empty. Those that were found stay for a few seconds, so a key that
 * comes often need not look for them each time.
 */
import type { SharedCells } from "../../../core/plugin.ts";

/**
 * Words of a key's first cell: how many slots may be in use, when it was last made sure that none is too old, and how
 * often something changed but by time and by what was let in.
 */
const TOP = 0;
export const SWEPT = 1;
const CHANGES = 2;
const FIRST_SLOT = 3;

/** How long cells are used without looking for them again: less than they stay. */
const FOUND_MS = 2000;
/** Keys whose cells are remembered. */
const MOST_KEYS = 256;

/** What is known of a key that has several cells. */
export class Log {
  /** -1 for those that are not there. */
  readonly cells: number[] = [];
  foundAt = Number.NEGATIVE_INFINITY;
  /** While there were so many changes, and before this time, nothing is free; and when everything will be. */
  changes = -1;
  fullUntil = Number.NEGATIVE_INFINITY;
  wholeAt = 0;
}

export class LogCells {
  readonly words: Int32Array<SharedArrayBuffer>;
  /** Of the key that was located last. */
  log = new Log();
  readonly #cells: SharedCells;
  readonly #prefix: string;
  readonly #nthPrefix: string;
  readonly #ttlMs: number;
  readonly #foundMs: number;
  readonly #inFirst: number;
  readonly #inEach: number;
  #key = "";
  /** Those used last come last. */
  readonly #logs = new Map<string, Log>();

  /** @param areSteady whether cells stay for some seconds once they are found */
  constructor(cells: SharedCells, prefix: string, ttlMs: number, areSteady: boolean) {
    this.#foundMs = areSteady ? FOUND_MS : 0;
    this.words = cells.words;
    this.#cells = cells;
    this.#prefix = prefix;
    this.#nthPrefix = prefix.slice(0, -1);
    this.#ttlMs = ttlMs;
    this.#inFirst = cells.cellWords - FIRST_SLOT;
    this.#inEach = cells.cellWords;
  }

  locate(key: string, now: number): boolean {
    const first = this.#cells.locate(this.#prefix + key, this.#ttlMs, now);
    if (first === -1) return false;
    this.#key = key;
    const known = this.#logs.get(key);
    this.log = known?.cells[0] === first ? known : new Log();
    this.log.cells[0] = first;
    this.findAll(now);
    return true;
  }

  has(key: string, now: number): boolean {
    return this.#cells.find(this.#prefix + key, now) !== -1;
  }

  /** Number of slots that may be in use: the first ones. */
  get top(): number {
    return Atomics.load(this.words, this.log.cells[0]! + TOP);
  }

  raiseTop(top: number): void {
    const at = this.log.cells[0]! + TOP;
    let seen = Atomics.load(this.words, at);
    while (seen < top) {
      const before = Atomics.compareExchange(this.words, at, seen, top);
      if (before === seen) return;
      seen = before;
    }
  }

  /** Sets it, if it still is as it was seen. */
  swapTop(seen: number, top: number): void {
    Atomics.compareExchange(this.words, this.log.cells[0]! + TOP, seen, top);
  }

  get changes(): number {
    return Atomics.load(this.words, this.log.cells[0]! + CHANGES);
  }

  /** Something was freed, or taken without having been let in. */
  change(): void {
    Atomics.add(this.words, this.log.cells[0]! + CHANGES, 1);
  }

  get sweptAt(): number {
    return this.log.cells[0]! + SWEPT;
  }

  /** How many cells so many slots need. */
  countFor(slots: number): number {
    return slots <= this.#inFirst ? 1 : 1 + Math.ceil((slots - this.#inFirst) / this.#inEach);
  }

  /** The number of the first slot in a cell. */
  slotAt(cell: number): number {
    return cell === 0 ? 0 : this.#inFirst + (cell - 1) * this.#inEach;
  }

  /** The cell that has a slot. */
  cellOf(slot: number): number {
    return slot < this.#inFirst ? 0 : 1 + Math.floor((slot - this.#inFirst) / this.#inEach);
  }

  /** The word of the first slot in a cell; -1 when the cell is not there. */
  wordAt(cell: number): number {
    const first = this.log.cells[cell]!;
    return cell === 0 ? first + FIRST_SLOT : first;
  }

  /** Finds the cells of all slots that may be in use. */
  findAll(now: number): void {
    const { log } = this;
    const count = this.countFor(this.top);
    if (count === 1) return;
    const isFresh = now - log.foundAt < this.#foundMs && now >= log.foundAt;
    for (let i = 1; i < count; i++) {
      if (isFresh && (log.cells[i] ?? -1) !== -1) continue;
      log.cells[i] = this.#cells.find(this.#nameOf(i), now);
    }
    if (!isFresh) this.#remember(log, now);
  }

  /** Makes a cell that is not there, unless there is no room. @returns its first slot's word, or -1 */
  make(cell: number, now: number): number {
    this.log.cells[cell] = this.#cells.locate(this.#nameOf(cell), this.#ttlMs, now);
    return this.wordAt(cell);
  }

  /** Has a cell stay in which a slot was taken. */
  keep(cell: number, now: number): void {
    if (cell > 0) this.#cells.prolong(this.log.cells[cell]!, this.#ttlMs, now);
  }

  /** Before the key, which may have any characters: none makes the name of another one's cell. */
  #nameOf(cell: number): string {
    return `${this.#nthPrefix} ${cell}\0${this.#key}`;
  }

  #remember(log: Log, now: number): void {
    log.foundAt = now;
    this.#logs.delete(this.#key);
    this.#logs.set(this.#key, log);
    if (this.#logs.size > MOST_KEYS) this.#logs.delete(this.#logs.keys().next().value!);
  }
}
