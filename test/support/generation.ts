/** Checked configurations and what generations are built in, without files and sockets. */
import { loadConfigObject } from "../../core/config/load.ts";
import type { CheckedConfig } from "../../core/config/checked.ts";
import { buildGeneration, type Generation, type Surroundings } from "../../core/generation.ts";
import { KeepStore } from "../../core/keep.ts";
import { GatewayMetrics } from "../../core/observe/metrics.ts";
import type { Catalogue, Host, JsonSchema, Plugin, SharedState, Stage } from "../../core/plugin.ts";
import { MemoryStore } from "../../core/store/memory.ts";
import { createOpenStore } from "../../core/store/stores.ts";
import { createSharedMemory, SharedMemory } from "../../core/threads/shared-memory.ts";
import { createVitals, Vitals } from "../../core/threads/vitals.ts";
import { Keepers } from "../../core/upstream/keepers.ts";
import { config } from "./gateway.ts";
import { FakeClock, FakeLog } from "./harness.ts";

/** A plugin without options checks, built by `build`. */
export function fakePlugin(
  name: string,
  build: (options: Record<string, unknown>, host: Host) => Stage | Promise<Stage>,
  more: Partial<Plugin> = {},
): Plugin {
  const schema: JsonSchema = {
    type: "object",
    description: "A plugin of a test.",
    properties: { id: { type: "string", description: "Whatever the test wants." } },
    additionalProperties: false,
  };
  return { name, schema, build: build as Plugin["build"], ...more };
}

export const catalogueOf = (...plugins: Plugin[]): Catalogue =>
  new Map(plugins.map((plugin) => [plugin.name, plugin]));

/** Checks a configuration with `routes` as loading a file would. */
export async function checked(
  parts: { routes: object[]; [key: string]: unknown },
  catalogue: Catalogue,
): Promise<CheckedConfig> {
  return (await loadConfigObject(config(parts), { catalogue, env: {} })).config;
}

/** @param shared it is large: whoever makes many surroundings should have one */
export function surroundings(
  catalogue: Catalogue,
  shared: SharedState = new SharedMemory(createSharedMemory(1), 0),
): Surroundings & { log: FakeLog } {
  const clock = new FakeClock();
  return {
    catalogue,
    log: new FakeLog(),
    clock,
    metrics: new GatewayMetrics(),
    kept: new KeepStore(),
    vitals: new Vitals(createVitals(1), 0),
    shared,
    openStore: createOpenStore({
      log: new FakeLog(),
      clock,
      metrics: new GatewayMetrics(),
      memory: () => new MemoryStore(64 * 1024 ** 2, clock),
    }),
    random: () => 0.5,
  };
}

/** Who looks after the upstreams of gateways with these surroundings. */
export function keepersIn(around: Surroundings): Keepers {
  return new Keepers({ ...around, threads: around.shared.threads, advise: () => {} });
}

/** Builds a generation whose upstreams are looked after until it is closed. */
export async function buildWithUpstreams(
  number: number,
  config: CheckedConfig,
  around: Surroundings,
): Promise<Generation> {
  const upstreams = await keepersIn(around).open(config);
  try {
    const generation = await buildGeneration(number, config, around, upstreams.feeds);
    void generation.closed.then(() => upstreams.close());
    return generation;
  } catch (error) {
    await upstreams.close();
    throw error;
  }
}
