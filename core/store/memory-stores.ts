/** The stores in memory of a gateway: one of each for all of its threads, kept over reloads for as long as they stay. */
import type { CheckedConfig } from "../config/checked.ts";
import { KeepStore } from "../keep.ts";
import type { Clock, Labels, Metrics } from "../plugin.ts";
import { parseSize } from "../units.ts";
import { MemoryStore } from "./memory.ts";
import { unavailable } from "./store.ts";
import { storeId } from "./stores.ts";

/** Time between two sweeps. */
const SWEEP_MS = 250;

interface KeptStore {
  readonly name: string;
  readonly store: MemoryStore;
}

export class MemoryStores {
  readonly #clock: Clock;
  readonly #kept = new KeepStore();
  readonly #stores = new Map<string, KeptStore>();
  #timer: NodeJS.Timeout | undefined;

  constructor(clock: Clock, metrics: Metrics) {
    this.#clock = clock;
    metrics.collect("sluice_store_entries", "Entries of a store in memory.", "gauge", () =>
      this.#read(({ size }) => size),
    );
    metrics.collect("sluice_store_bytes", "Memory that the entries of a store take.", "gauge", () =>
      this.#read(({ bytes }) => bytes),
    );
  }

  /** Opens those of a configuration. Gives what closes those that no other one has. */
  open({ stores }: CheckedConfig): () => Promise<void> {
    const lease = this.#kept.lease();
    for (const [name, config] of Object.entries(stores)) {
      if (config.type !== "memory") continue;
      const id = storeId(name, config);
      lease.keep(id, () => this.#create(id, name, parseSize(config.maxBytes)));
    }
    return () => lease.release();
  }

  /** @throws GatewayError when it is not open, or no longer */
  find(id: string): MemoryStore {
    const kept = this.#stores.get(id);
    if (kept === undefined) throw unavailable(new Error("the store is not open any more"));
    return kept.store;
  }

  #create(id: string, name: string, maxBytes: number): { close(): void } {
    this.#stores.set(id, { name, store: new MemoryStore(maxBytes, this.#clock) });
    this.#timer ??= setInterval(() => this.#sweep(), SWEEP_MS).unref();
    return { close: () => this.#close(id) };
  }

  #close(id: string): void {
    this.#stores.delete(id);
    if (this.#stores.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #sweep(): void {
    for (const { store } of this.#stores.values()) store.sweep();
  }

  #read(value: (store: MemoryStore) => number): (readonly [Labels, number])[] {
    return [...this.#stores.values()].map(({ name, store }) => [{ store: name }, value(store)]);
  }
}
