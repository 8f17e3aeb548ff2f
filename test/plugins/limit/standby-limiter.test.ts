import { beforeEach, describe, expect, it } from "vitest";
import { GatewayError } from "../../../core/plugin.ts";
import type { Ban, Decision, Limiter, Plan, Reading } from "../../../plugins/limit/limiter.ts";
import {
  createStandbyLimiter,
  openStandby,
  type StandbyOptions,
} from "../../../plugins/limit/standby-limiter.ts";
import { FakeHost } from "../../support/harness.ts";

const PLAN: Plan = {
  rules: [{ name: "1m", algorithm: "token-bucket", count: 100, windowMs: 60_000, burst: 20 }],
  ban: undefined,
  countRejected: false,
};
const LABELS = '{"route":"test","stage":"stage"}';

const unavailable = (): GatewayError =>
  new GatewayError("STORE_UNAVAILABLE", { cause: new Error("no answer in 50 ms") });

/** Counts what it is asked. */
class FakeLimiter implements Limiter {
  readonly calls: unknown[][] = [];
  readonly #outcome: Decision["outcome"];
  constructor(outcome: Decision["outcome"] = "allowed") {
    this.#outcome = outcome;
  }
  decide(cost: number): Decision {
    const left = { remaining: 7, resetMs: 60, retryAfterMs: 5 };
    return { outcome: this.#outcome, rule: 0, ...left, cost, beginsBan: false, at: 1 };
  }
  take(key: string, cost: number): Decision | Promise<Decision> {
    this.calls.push(["take", key, cost]);
    return this.decide(cost);
  }
  settle(...args: [string, Decision, number]): void {
    this.calls.push(["settle", ...args]);
  }
  read(key: string): Reading | Promise<Reading> {
    this.calls.push(["read", key]);
    return { rules: [], bannedForMs: 0 };
  }
  reset(key: string): void | Promise<void> {
    this.calls.push(["reset", key]);
  }
  ban(key: string, forMs: number): void | Promise<void> {
    this.calls.push(["ban", key, forMs]);
  }
  bans(): readonly Ban[] {
    return [];
  }
}

/** As one on the network. */
class RemoteLimiter extends FakeLimiter {
  isThere = true;
  async #ask<T>(answer: T): Promise<T> {
    if (!this.isThere) throw unavailable();
    return answer;
  }
  override take(key: string, cost: number): Promise<Decision> {
    return this.#ask(super.take(key, cost) as Decision);
  }
  override read(key: string): Promise<Reading> {
    return this.#ask(super.read(key) as Reading);
  }
  override reset(key: string): Promise<void> {
    return this.#ask(super.reset(key) as undefined);
  }
  override ban(key: string, forMs: number): Promise<void> {
    return this.#ask(super.ban(key, forMs) as undefined);
  }
}

let host: FakeHost;
let remote: RemoteLimiter;
let local: FakeLimiter;
beforeEach(() => {
  host = new FakeHost();
  remote = new RemoteLimiter();
  local = new FakeLimiter("limited");
});

const open = (onStoreError: StandbyOptions["onStoreError"], primary: Limiter = remote): Limiter =>
  createStandbyLimiter(
    primary,
    onStoreError === "local" ? local : undefined,
    PLAN,
    openStandby({ onStoreError, store: "shared", timeoutMs: 50 }, host),
  );
const isStandby = (): number | undefined => host.collected("sluice_limit_standby")[LABELS];
const failures = (): number | undefined => host.collected("sluice_limit_store_failures_total")[LABELS];
/** Takes so often, for as many keys, and gives what came of it. */
async function take(limiter: Limiter, times: number): Promise<string[]> {
  const all: string[] = [];
  for (let i = 0; i < times; i++) {
    try {
      all.push((await limiter.take(`k${i}`, 1)).outcome);
    } catch (error) {
      all.push((error as GatewayError).code);
    }
  }
  return all;
}

describe("with its store", () => {
  it("gives what the store says, and charges there", async () => {
    const limiter = open("local");
    const decision = await limiter.take("a", 2);
    expect(decision).toEqual(remote.decide(2));
    void limiter.settle("a", decision, -1);
    expect(remote.calls).toEqual([
      ["take", "a", 2],
      ["settle", "a", decision, -1],
    ]);
    expect([local.calls, isStandby(), failures()]).toEqual([[], 0, 0]);
  });

  it("decides at once where the limiter does", () => {
    expect(open("deny", new FakeLimiter()).take("a", 1)).not.toBeInstanceOf(Promise);
  });

  it("resets and bans in the store and here", async () => {
    const limiter = open("local");
    await limiter.reset("a");
    await limiter.ban("a", 10);
    expect(local.calls).toEqual([
      ["reset", "a"],
      ["ban", "a", 10],
    ]);
    expect(remote.calls).toEqual(local.calls);
  });

  it("hides no failure of another kind", async () => {
    const broken = new FakeLimiter();
    broken.take = () => Promise.reject(new GatewayError("STORE_VALUE_INVALID"));
    expect(await take(open("allow", broken), 1)).toEqual(["STORE_VALUE_INVALID"]);
    expect(failures()).toBe(0);
  });
});

describe("without its store", () => {
  beforeEach(() => {
    remote.isThere = false;
  });

  it.each([
    ["allow", "allowed"],
    ["deny", "STORE_UNAVAILABLE"],
    ["local", "limited"],
  ] as const)("does what %s says: %s", async (onStoreError, outcome) => {
    expect(await take(open(onStoreError), 5)).toEqual(Array.from({ length: 5 }, () => outcome));
    expect([isStandby(), failures()]).toEqual([1, 5]);
  });

  it("tells a request that nobody counts of a whole bucket", async () => {
    expect(await open("allow").take("a", 3)).toMatchObject({
      remaining: 20,
      resetMs: 0,
      retryAfterMs: 0,
      cost: 3,
    });
  });

  it("charges where the decision was made", async () => {
    const limiter = open("local");
    const decision = await limiter.take("a", 2);
    expect(decision).toMatchObject(local.decide(2));
    remote.isThere = true;
    await limiter.settle("a", decision, 3);
    expect(local.calls.at(-1)).toEqual(["settle", "a", local.decide(2), 3]);
    const free = open("allow");
    remote.isThere = false;
    await free.settle("a", await free.take("a", 1), 3);
    expect(remote.calls.map(([call]) => call)).not.toContain("settle");
  });

  it("asks it no more than every 250 ms, and is back with the first answer", async () => {
    const limiter = open("local");
    await take(limiter, 100);
    const before = remote.calls.length;
    expect(before).toBeLessThan(5);
    host.clock.advance(250);
    await take(limiter, 100);
    expect(remote.calls).toHaveLength(before + 1);
    remote.isThere = true;
    host.clock.advance(250);
    expect(new Set(await take(limiter, 100))).toEqual(new Set(["allowed"]));
    expect(isStandby()).toBe(0);
    expect(host.log.lines.map(({ level }) => level)).toEqual(["warn", "info"]);
  });

  it("is asked by the next request when one has no need to, such as with a lease", async () => {
    const leased = new FakeLimiter();
    let isLeased = false;
    const either = Object.create(remote) as Limiter;
    either.take = (key, cost) => (isLeased ? leased.take(key, cost) : remote.take(key, cost));
    const limiter = open("local", either);
    await take(limiter, 100);
    expect(isStandby()).toBe(1);
    host.clock.advance(250);
    isLeased = true;
    expect(await take(limiter, 10)).toEqual(Array(10).fill("allowed"));
    isLeased = false;
    remote.isThere = true;
    expect(await take(limiter, 1)).toEqual(["allowed"]);
    expect(isStandby()).toBe(0);
  });

  it("fails what needs it, and changes nothing then", async () => {
    const limiter = open("local");
    for (const failing of [limiter.read("a"), limiter.reset("a"), limiter.ban("a", 10)]) {
      await expect(failing).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    }
    expect(local.calls).toEqual([]);
  });

  it("does not ask it to charge what it has decided", async () => {
    remote.isThere = true;
    const limiter = open("deny");
    const decision = await limiter.take("a", 1);
    remote.isThere = false;
    host.clock.advance(1000);
    await take(limiter, 5);
    await expect(limiter.settle("a", decision, 1)).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
  });

  it("is told once of a store that several stages use, and all of them do without it", async () => {
    const first = open("deny");
    host.stage = "other";
    const second = open("allow");
    await take(first, 4);
    const asked = remote.calls.length;
    expect(await take(second, 2)).toEqual(["allowed", "allowed"]);
    expect(remote.calls).toHaveLength(asked);
    expect(host.log.lines).toHaveLength(1);
    expect(host.collected("sluice_limit_standby")).toEqual({
      [LABELS]: 1,
      '{"route":"test","stage":"other"}': 1,
    });
  });
});
