import type { Eviction } from "./eviction.ts";
import { type Slot, SlotList } from "./slot.ts";

/** The one that was not used for longest goes. */
export class LruEviction implements Eviction {
  readonly #slots = new SlotList();

  add(slot: Slot): void {
    this.#slots.addFirst(slot);
  }

  use(slot: Slot): void {
    this.#slots.moveFirst(slot);
  }

  remove(slot: Slot): void {
    this.#slots.remove(slot);
  }

  choose(): Slot | undefined {
    return this.#slots.last;
  }

  setBound(): void {}
}
