/** Upstreams of generations, looked after and used in one place, as a gateway with one thread has them. */
import { expect, onTestFinished } from "vitest";
import type { UpstreamConfig } from "../../../core/config/checked.ts";
import { upstreamSchema } from "../../../core/config/upstream-schema.ts";
import { createValidator } from "../../../core/config/validate.ts";
import { KeepStore } from "../../../core/keep.ts";
import { createSharedMemory, SharedMemory } from "../../../core/threads/shared-memory.ts";
import { type Keeper, openKeeper } from "../../../core/upstream/keeper.ts";
import type { KeptTarget } from "../../../core/upstream/kept-target.ts";
import { LiveUpstream, type UpstreamContext } from "../../../core/upstream/upstream.ts";
import { surroundings } from "../../support/generation.ts";
import type { FakeClock } from "../../support/harness.ts";

/** An upstream of a configuration, defaults filled in. */
export function upstreamConfig(parts: object): UpstreamConfig {
  const config = structuredClone(parts);
  expect(createValidator(upstreamSchema)(config)).toEqual([]);
  return config as UpstreamConfig;
}

/** An upstream with who looks after it. */
export class TestUpstream extends LiveUpstream {
  readonly keeper: Keeper;

  constructor(config: UpstreamConfig, keeper: Keeper, context: UpstreamContext) {
    super(keeper.name, config, keeper, context);
    this.keeper = keeper;
  }

  /** Its targets as the control thread keeps them. */
  get known(): KeptTarget[] {
    return this.keeper.members.map(({ state }) => state);
  }

  override activate(): void {
    this.keeper.activate();
    super.activate();
  }

  override async close(): Promise<void> {
    await super.close();
    await this.keeper.close();
  }
}

/** What the generations of one gateway share. */
export function setUp(threads = 1) {
  const clock = surroundings(new Map()).clock as FakeClock;
  const around = { ...surroundings(new Map()), clock, baseDir: process.cwd() };
  const memory = createSharedMemory(threads);
  const stores = Array.from({ length: threads }, () => new KeepStore());
  let serials = 0;
  const keeperContext = { ...around, threads, nextSerial: () => serials++, advise: () => {} };
  const contextOf = (thread: number): UpstreamContext => ({
    ...around,
    kept: thread === 0 ? around.kept : stores[thread]!,
    shared: new SharedMemory(memory, thread),
  });
  const open = async (parts: object, isServing = true): Promise<TestUpstream> => {
    const config = upstreamConfig(parts);
    const keeper = await openKeeper("users", config, keeperContext);
    const upstream = new TestUpstream(config, keeper, contextOf(0));
    onTestFinished(() => upstream.close());
    if (isServing) upstream.activate();
    return upstream;
  };
  /** The same upstream on each thread; the first looks after it. */
  const openAll = async (parts: object): Promise<[TestUpstream, ...LiveUpstream[]]> => {
    const first = await open(parts);
    const others = Array.from({ length: threads - 1 }, (_, i) => {
      const live = new LiveUpstream("users", upstreamConfig(parts), first.keeper, contextOf(i + 1));
      onTestFinished(() => live.close());
      live.activate();
      return live;
    });
    return [first, ...others];
  };
  return { ...around, open, openAll, contextOf };
}

/** Targets where nobody listens. */
export const list = (count: number): string[] =>
  Array.from({ length: count }, (_, i) => `http://127.0.0.1:${i + 1}`);

/** The last digits of targets' ports. */
export const ids = (targets: readonly { id: string }[]): string[] => targets.map(({ id }) => id.slice(-1));
