/** Which slots have replies to a URL, whatever else tells them apart. Those with the only key of their URL need no index. */
import { isOneOfMany } from "../key.ts";
import type { Slot } from "./slot.ts";

export class UrlIndex {
  /** The newest of each URL, which leads to the others. */
  readonly #newest = new Map<string, Slot>();

  add(slot: Slot): void {
    const { key, url } = slot.entry;
    if (!isOneOfMany(key)) return;
    const other = this.#newest.get(url);
    slot.urlAfter = other;
    if (other !== undefined) other.urlBefore = slot;
    this.#newest.set(url, slot);
  }

  remove(slot: Slot): void {
    if (!isOneOfMany(slot.entry.key)) return;
    const { urlBefore, urlAfter } = slot;
    if (urlAfter !== undefined) urlAfter.urlBefore = urlBefore;
    if (urlBefore !== undefined) urlBefore.urlAfter = urlAfter;
    else if (urlAfter === undefined) this.#newest.delete(slot.entry.url);
    else this.#newest.set(slot.entry.url, urlAfter);
    slot.urlBefore = undefined;
    slot.urlAfter = undefined;
  }

  of(url: string): Slot[] {
    const found: Slot[] = [];
    for (let slot = this.#newest.get(url); slot !== undefined; slot = slot.urlAfter) found.push(slot);
    return found;
  }
}
