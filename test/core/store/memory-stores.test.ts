import { expect, it } from "vitest";
import type { CheckedConfig, StoreConfig } from "../../../core/config/checked.ts";
import { GatewayMetrics } from "../../../core/observe/metrics.ts";
import { MemoryStores } from "../../../core/store/memory-stores.ts";
import { storeId } from "../../../core/store/stores.ts";
import { FakeClock } from "../../support/harness.ts";
import { redisAt } from "../../support/stores.ts";

const SMALL: StoreConfig = { type: "memory", maxBytes: "4MB" };
const LARGE: StoreConfig = { type: "memory", maxBytes: "8MB" };
const configOf = (stores: Record<string, StoreConfig>): CheckedConfig => ({ stores }) as CheckedConfig;

it("keeps a store for as long as some configuration has it as it is", async () => {
  const stores = new MemoryStores(new FakeClock(), new GatewayMetrics());
  const id = storeId("main", SMALL);
  const closeFirst = stores.open(configOf({ main: SMALL }));
  await stores.find(id).set("a", "1");
  const closeSecond = stores.open(configOf({ main: SMALL, other: SMALL }));
  await closeFirst();
  expect(await stores.find(id).get("a")).toBe("1");
  expect(await stores.find(storeId("other", SMALL)).get("a")).toBeUndefined();
  const closeThird = stores.open(configOf({ main: LARGE }));
  await closeSecond();
  expect(await stores.find(storeId("main", LARGE)).get("a")).toBeUndefined();
  expect(() => stores.find(id)).toThrow(expect.objectContaining({ code: "STORE_UNAVAILABLE" }));
  await closeThird();
});

it("tells what its stores hold, and has nothing to do with those elsewhere", async () => {
  const metrics = new GatewayMetrics();
  const stores = new MemoryStores(new FakeClock(), metrics);
  const close = stores.open(configOf({ main: SMALL, shared: redisAt("redis://127.0.0.1") }));
  await stores.find(storeId("main", SMALL)).set("a", "1");
  const { text } = await metrics.render();
  expect(text).toContain('sluice_store_entries{store="main"} 1\n');
  expect(text).toContain('sluice_store_bytes{store="main"} 162\n');
  expect(text).not.toContain("shared");
  await close();
  expect((await metrics.render()).text).not.toContain("main");
});
