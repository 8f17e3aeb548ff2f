/**
 * W-TinyLFU (Einziger, Friedman and Manes 2017): what is new comes into a small window, where the one that was not used
 * for longest leaves it; it gets into the main part only if it came more often, lately, than all those together that
 * would have to go for it (Einziger, Eytan, Friedman and Manes 2021 for sizes that differ). So what comes once, a crawler
 * for example, displaces nothing. In the main part those that were used again are protected from those that were not.
 * How large the window is follows from which size gave more hits: large where what is new is asked for most.
 */
import { KeyHash } from "../../../core/threads/key-hash.ts";
import type { Eviction } from "./eviction.ts";
import { FrequencySketch } from "./frequency-sketch.ts";
import { type Slot, SlotList } from "./slot.ts";

const WINDOW = 0;
const PROBATION = 1;
const PROTECTED = 2;

/** Share of the bound that the window has: at the beginning and at least, and at most. */
const LEAST_WINDOW_SHARE = 0.01;
const MOST_WINDOW_SHARE = 0.8;
/** Share of the main part that is protected. */
const PROTECTED_SHARE = 0.8;

/** The window is changed after so many adds and uses for each slot, and never after fewer than that. */
const SAMPLE = 3;
const LEAST_SAMPLE = 1000;
/** By which share of the bound at first; each time a little less, until the hit ratio changes by so much. */
const FIRST_STEP = 0.0625;
const STEP_DECAY = 0.98;
const RESTART = 0.05;

export class LfuEviction implements Eviction {
  readonly #window = new SlotList();
  readonly #probation = new SlotList();
  readonly #protected = new SlotList();
  readonly #sketch = new FrequencySketch();
  readonly #hash: KeyHash;
  #maxBytes: number;
  #windowShare = LEAST_WINDOW_SHARE;
  #slots = 0;
  #uses = 0;
  #adds = 0;
  #hitRatio = 0;
  #step = FIRST_STEP;

  constructor(maxBytes: number, random: () => number) {
    this.#maxBytes = maxBytes;
    this.#hash = new KeyHash(random() * 2 ** 32, random() * 2 ** 32);
  }

  add(slot: Slot): void {
    const { key, vary } = slot.entry;
    this.#hash.update(vary.length === 0 ? key : `${key}\n${vary.join("\n")}`);
    slot.hash = this.#hash.low;
    this.#sketch.grow(++this.#slots);
    this.#sketch.add(slot.hash);
    slot.place = WINDOW;
    this.#window.addFirst(slot);
    this.#adds++;
    this.#climb();
    while (this.#window.bytes > this.#windowBound() && this.#fitsMain(this.#window.last!)) {
      this.#enterMain(this.#window.last!);
    }
  }

  use(slot: Slot): void {
    this.#uses++;
    this.#sketch.add(slot.hash);
    if (slot.place === WINDOW) this.#window.moveFirst(slot);
    else if (slot.place === PROTECTED) this.#protected.moveFirst(slot);
    else this.#protect(slot);
  }

  remove(slot: Slot): void {
    this.#slots--;
    this.#listOf(slot).remove(slot);
  }

  choose(): Slot | undefined {
    for (;;) {
      if (this.#mainBytes() > this.#mainBound()) return this.#leastOfMain();
      const candidate = this.#window.last;
      if (candidate === undefined) return this.#leastOfMain();
      if (!this.#fitsMain(candidate) && !this.#isWorthIt(candidate)) return candidate;
      this.#enterMain(candidate);
    }
  }

  setBound(maxBytes: number): void {
    this.#maxBytes = maxBytes;
  }

  #windowBound(): number {
    return this.#maxBytes * this.#windowShare;
  }

  #mainBound(): number {
    return this.#maxBytes - this.#windowBound();
  }

  #mainBytes(): number {
    return this.#probation.bytes + this.#protected.bytes;
  }

  #fitsMain(slot: Slot): boolean {
    return this.#mainBytes() + slot.bytes <= this.#mainBound();
  }

  /** Whether it came more often than those together that would go for it: see `#leastOfMain`. */
  #isWorthIt(candidate: Slot): boolean {
    let excess = this.#mainBytes() + candidate.bytes - this.#mainBound();
    let lead = this.#sketch.estimate(candidate.hash);
    let list = this.#probation;
    for (let slot = list.last; excess > 0; slot = slot.before) {
      if (slot === undefined && list === this.#probation) {
        list = this.#protected;
        slot = list.last;
      }
      if (slot === undefined) return false; // larger than the main part
      lead -= this.#sketch.estimate(slot.hash);
      if (lead <= 0) return false;
      excess -= slot.bytes;
    }
    return true;
  }

  /** The one that has just come in stays as long as there are others. */
  #leastOfMain(): Slot | undefined {
    const { first, last } = this.#probation;
    return first === last ? (this.#protected.last ?? last) : last;
  }

  #enterMain(slot: Slot): void {
    this.#window.remove(slot);
    slot.place = PROBATION;
    this.#probation.addFirst(slot);
  }

  #protect(slot: Slot): void {
    this.#probation.remove(slot);
    slot.place = PROTECTED;
    this.#protected.addFirst(slot);
    const bound = this.#mainBound() * PROTECTED_SHARE;
    while (this.#protected.bytes > bound) {
      const least = this.#protected.last!;
      this.#protected.remove(least);
      least.place = PROBATION;
      this.#probation.addFirst(least);
    }
  }

  #listOf({ place }: Slot): SlotList {
    return place === WINDOW ? this.#window : place === PROBATION ? this.#probation : this.#protected;
  }

  /** Goes on in the direction that gave more hits, and turns back from one that gave fewer. */
  #climb(): void {
    const seen = this.#uses + this.#adds;
    if (seen < LEAST_SAMPLE || seen < SAMPLE * this.#slots) return;
    const ratio = this.#uses / seen;
    const change = ratio - this.#hitRatio;
    const step = change < 0 ? -this.#step : this.#step;
    const share = this.#windowShare + step;
    this.#windowShare = Math.min(Math.max(share, LEAST_WINDOW_SHARE), MOST_WINDOW_SHARE);
    this.#step = Math.abs(change) >= RESTART ? Math.sign(step) * FIRST_STEP : step * STEP_DECAY;
    this.#hitRatio = ratio;
    this.#uses = 0;
    this.#adds = 0;
  }
}
