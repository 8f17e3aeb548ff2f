/** What gateways tell each other of keys of a stage: somebody has finished with one. Who hears nothing looks by itself. */
import { setTimeout as sleep } from "node:timers/promises";
import type { KeyValueStore } from "../../../core/plugin.ts";

/** Hears of a key from when it is made until it is closed. */
export interface Listener {
  /** Waits until something was told since it waited last, or for so many milliseconds. */
  wait(ms: number): Promise<void>;
  close(): void;
}

/** Somebody who waits looks after such times, twice as long each, though nothing was told. */
const LOOK_AFTER_MS = 50;
const LOOK_AFTER_MOST_MS = 250;

/** How long to wait for a note before the next look. @param looks how often that was done */
export function untilNextLookMs(looks: number, leftMs: number, firstMs = LOOK_AFTER_MS): number {
  return Math.min(firstMs * 2 ** looks, Math.max(firstMs, LOOK_AFTER_MOST_MS), leftMs);
}

export class Notes {
  readonly #store: KeyValueStore;
  readonly #channel: string;
  readonly #listeners = new Map<string, Set<AbortController>>();
  #subscription: Promise<() => void> | undefined;

  constructor(store: KeyValueStore, channel: string) {
    this.#store = store;
    this.#channel = channel;
  }

  listen(digest: string): Listener {
    this.#subscribe();
    let heard = new AbortController();
    const others = this.#listeners.get(digest) ?? new Set();
    this.#listeners.set(digest, others.add(heard));
    return {
      wait: async (ms) => {
        await sleep(ms, undefined, { signal: heard.signal, ref: false }).catch(() => {});
        others.delete(heard);
        heard = new AbortController();
        others.add(heard);
      },
      close: () => {
        others.delete(heard);
        if (others.size === 0 && this.#listeners.get(digest) === others) this.#listeners.delete(digest);
      },
    };
  }

  close(): void {
    this.#subscription?.then(
      (end) => end(),
      () => {},
    );
  }

  #subscribe(): void {
    if (this.#subscription !== undefined) return;
    this.#subscription = this.#store.subscribe(this.#channel, {
      told: (digest) => this.#tell(digest),
      connected: () => this.#listeners.forEach((_, digest) => this.#tell(digest)),
    });
    this.#subscription.catch(() => {}); // those who wait look by themselves
  }

  #tell(digest: string): void {
    for (const heard of this.#listeners.get(digest) ?? []) heard.abort();
  }
}
