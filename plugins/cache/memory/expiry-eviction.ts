/** The one whose freshness ends first goes, whether it is used or not. */
import type { Eviction } from "./eviction.ts";
import type { Slot } from "./slot.ts";

/** A heap: none ends before the one at half its place. Slots know their places. */
export class ExpiryEviction implements Eviction {
  readonly #slots: Slot[] = [];
  readonly #endsMs: number[] = [];

  add(slot: Slot): void {
    const { respondedAtMs, freshMs, initialAgeMs } = slot.entry;
    this.#rise(this.#slots.length, slot, respondedAtMs + freshMs - initialAgeMs);
  }

  use(): void {}

  remove(slot: Slot): void {
    const last = this.#slots.pop()!;
    const endMs = this.#endsMs.pop()!;
    const { place } = slot;
    if (last === slot) return;
    if (endMs < this.#endsMs[place]!) this.#rise(place, last, endMs);
    else this.#sink(place, last, endMs);
  }

  choose(): Slot | undefined {
    return this.#slots[0];
  }

  setBound(): void {}

  #put(place: number, slot: Slot, endMs: number): void {
    this.#slots[place] = slot;
    this.#endsMs[place] = endMs;
    slot.place = place;
  }

  #rise(place: number, slot: Slot, endMs: number): void {
    while (place > 0) {
      const above = (place - 1) >> 1;
      if (this.#endsMs[above]! <= endMs) break;
      this.#put(place, this.#slots[above]!, this.#endsMs[above]!);
      place = above;
    }
    this.#put(place, slot, endMs);
  }

  #sink(place: number, slot: Slot, endMs: number): void {
    for (;;) {
      let below = 2 * place + 1;
      if (below >= this.#slots.length) break;
      if (below + 1 < this.#slots.length && this.#endsMs[below + 1]! < this.#endsMs[below]!) below++;
      if (endMs <= this.#endsMs[below]!) break;
      this.#put(place, this.#slots[below]!, this.#endsMs[below]!);
      place = below;
    }
    this.#put(place, slot, endMs);
  }
}
