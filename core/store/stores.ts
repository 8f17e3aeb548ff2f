/** The stores of a generation, and how a thread opens them. */
import type { StoreConfig } from "../config/checked.ts";
import type { Log } from "../exchange.ts";
import { keyOf, type Lease } from "../keep.ts";
import type { StoreStats } from "../observe/store-stats.ts";
import type { Clock, Metrics } from "../plugin.ts";
import { StoreClient } from "./store-client.ts";
import { type KeyValueStore, unavailable } from "./store.ts";

/** Opens a store; what it keeps open is closed with the last generation that has it. */
export type OpenStore = (name: string, config: StoreConfig, lease: Lease) => Promise<KeyValueStore>;

export interface StoreContext {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Stores in memory, of which there is one for all threads, by {@link storeId}. */
  memory(id: string): KeyValueStore;
}

/** What a store is known by as long as it is the same. */
export function storeId(name: string, config: StoreConfig): string {
  return keyOf(`store ${name}`, config);
}

export function createOpenStore(context: StoreContext): OpenStore {
  return async (name, config, lease) => {
    const id = storeId(name, config);
    if (config.type === "memory") return context.memory(id);
    const { RedisStore } = await import("./redis.ts");
    const store = lease.keep(id, () => new RedisStore(name, config, context));
    await store.settle();
    return store;
  };
}

const refuse = (): Promise<never> => Promise.reject(unavailable(new Error("nothing is asked here")));

/** For generations that are built to see whether they can be: nothing is opened. */
export const openNothing: OpenStore = async () => ({
  get: refuse,
  set: refuse,
  incr: refuse,
  delete: refuse,
  runsScripts: false,
  run: refuse,
  runForBytes: refuse,
  getBytes: refuse,
  subscribe: refuse,
});

/** What the stores of a generation need of what is around it. */
export interface StoresContext {
  readonly openStore: OpenStore;
  readonly metrics: { store(name: string): StoreStats };
  readonly clock: Clock;
}

/** The stores of a configuration, by name. Whoever gets one has it opened; the others stay closed. */
export class Stores extends Map<string, KeyValueStore> {
  readonly #clients = new Map<string, StoreClient>();

  constructor(stores: Readonly<Record<string, StoreConfig>>, around: StoresContext, lease: Lease) {
    super();
    const { openStore, metrics, clock } = around;
    for (const [name, config] of Object.entries(stores)) {
      const open = () => openStore(name, config, lease);
      const client = new StoreClient(open, metrics.store(name), clock, config.type !== "memory");
      this.#clients.set(name, client);
      this.set(name, client);
    }
  }

  override get(name: string): KeyValueStore | undefined {
    const client = this.#clients.get(name);
    void client?.open();
    return client;
  }

  /** Resolves when those that somebody got are open, reachable or not. */
  async opened(): Promise<void> {
    await Promise.all([...this.#clients.values()].map((client) => client.opened()));
  }
}
