/** Which slots go when there is no room: what every way to choose them does. */
import type { Slot } from "./slot.ts";

/** Knows the slots that are kept. Those who keep them take out what `choose` says until the rest fits. */
export interface Eviction {
  add(slot: Slot): void;
  use(slot: Slot): void;
  remove(slot: Slot): void;
  /** Which one goes next. It is there until it is removed. */
  choose(): Slot | undefined;
  setBound(maxBytes: number): void;
}
