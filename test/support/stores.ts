/** Stores of a test, as stages have them. */
import type { StoreConfig } from "../../core/config/checked.ts";
import { KeepStore } from "../../core/keep.ts";
import { GatewayMetrics } from "../../core/observe/metrics.ts";
import type { KeyValueStore } from "../../core/store/store.ts";
import { MemoryStore } from "../../core/store/memory.ts";
import { createOpenStore, Stores } from "../../core/store/stores.ts";
import { parseSize } from "../../core/units.ts";
import { FakeClock, FakeLog } from "./harness.ts";

export interface OpenedStore {
  readonly store: KeyValueStore;
  readonly log: FakeLog;
  readonly clock: FakeClock;
  readonly metrics: GatewayMetrics;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Opens a store called `main`, by itself. */
export async function openStore(config: StoreConfig): Promise<OpenedStore> {
  const [log, clock, metrics] = [new FakeLog(), new FakeClock(), new GatewayMetrics()];
  const lease = new KeepStore().lease();
  const memory = (): KeyValueStore =>
    new MemoryStore(parseSize(config.type === "memory" ? config.maxBytes : "0B"), clock);
  const around = { clock, metrics, openStore: createOpenStore({ log, clock, metrics, memory }) };
  const stores = new Stores({ main: config }, around, lease);
  const store = stores.get("main")!;
  await stores.opened();
  return { store, log, clock, metrics, [Symbol.asyncDispose]: () => lease.release() };
}

/** Options of a store in Redis, with time enough for a busy machine. */
export const redisAt = (url: string, more: object = {}): StoreConfig => ({
  type: "redis",
  url,
  keyPrefix: "sluice:",
  timeout: "30s",
  ...more,
});

export const clusterOf = (nodes: string[], more: object = {}): StoreConfig => ({
  type: "redis-cluster",
  nodes,
  tls: false,
  keyPrefix: "sluice:",
  timeout: "5s",
  ...more,
});
