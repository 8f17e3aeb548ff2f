import { beforeEach, describe, expect, it } from "vitest";
import type { LimitReading } from "../../../core/limit-view.ts";
import { GatewayError } from "../../../core/errors.ts";
import { ExposedLimit, type LimitParts } from "../../../plugins/limit/exposure.ts";
import type { Ban, Limiter, Plan, Reading } from "../../../plugins/limit/limiter.ts";
import { LimitStats } from "../../../plugins/limit/stats.ts";
import { TopKeys } from "../../../plugins/limit/top-keys.ts";
import { FakeClock } from "../../support/harness.ts";

const PLAN: Plan = {
  rules: [
    { name: "1s", algorithm: "token-bucket", count: 5, windowMs: 1000, burst: 8 },
    { name: "1d", algorithm: "fixed-window", count: 90, windowMs: 86_400_000, burst: 90 },
  ],
  ban: { after: 3, withinMs: 1000, forMs: 60_000 },
  countRejected: false,
};

/** Counts what it is told; no requests. */
class FakeLimiter implements Limiter {
  readonly used = new Map<string, number>();
  readonly banned = new Map<string, number>();
  isAway = false;

  take(): never {
    throw new Error("not asked");
  }
  settle(): void {}
  read(key: string): Reading {
    this.#reach();
    const used = this.used.get(key) ?? 0;
    const rules = PLAN.rules.map(({ count }) => ({ remaining: count - used, resetMs: used * 10 }));
    return { rules, bannedForMs: this.banned.get(key) ?? 0 };
  }
  async reset(key: string): Promise<void> {
    this.#reach();
    this.used.delete(key);
    this.banned.delete(key);
  }
  ban(key: string, forMs: number): void {
    this.#reach();
    if (forMs > 0) this.banned.set(key, forMs);
    else this.banned.delete(key);
  }
  bans(): readonly Ban[] {
    this.#reach();
    return Array.from(this.banned, ([key, forMs]) => ({ key, forMs }));
  }
  #reach(): void {
    if (this.isAway) throw new GatewayError("STORE_UNAVAILABLE");
  }
}

let limiter: FakeLimiter;
let premium: FakeLimiter;
let topKeys: TopKeys;

function expose(options: Partial<LimitParts["options"]> = {}): ExposedLimit {
  return new ExposedLimit({
    route: "users",
    stage: "limit",
    options: { by: "ip", mode: "enforce", ...options },
    tiers: [
      { tier: "", plan: PLAN, limiter },
      { tier: "premium", plan: { ...PLAN, ban: undefined }, limiter: premium },
    ],
    topKeys,
    stats: Object.assign(new LimitStats(), { allowed: 7, limited: 2 }),
  });
}

beforeEach(() => {
  limiter = new FakeLimiter();
  premium = new FakeLimiter();
  topKeys = new TopKeys(new FakeClock(), 0.5);
});

describe("a limit that is shown", () => {
  it("tells its rules by tier, what it counted, and who came most and is banned", async () => {
    topKeys.addRefused("10.0.0.1");
    limiter.ban("10.0.0.1", 500);
    limiter.ban("10.0.0.2", 600);
    const rules = [
      { name: "1s", algorithm: "token-bucket", count: 5, windowMs: 1000, burst: 8 },
      { name: "1d", algorithm: "fixed-window", count: 90, windowMs: 86_400_000 },
    ];
    expect(await expose({ store: "shared" }).describe()).toEqual({
      route: "users",
      stage: "limit",
      by: "ip",
      mode: "enforce",
      store: "shared",
      plans: [
        { tier: null, rules, ban: PLAN.ban! },
        { tier: "premium", rules, ban: null },
      ],
      requests: { allowed: 7, limited: 2, banned: 0, bypassed: 0, denied: 0, reported: 0 },
      topKeys: { keys: [{ key: "10.0.0.1", count: 1, error: 0, refused: 1 }], least: 0 },
      bans: [
        { key: "10.0.0.2", forMs: 600 },
        { key: "10.0.0.1", forMs: 500 },
      ],
    } satisfies LimitReading);
  });

  it("is shown without bans when its store is away, but tells nothing of keys", async () => {
    limiter.isAway = true;
    expect(await expose().describe()).toMatchObject({ store: null, bans: null });
    await expect(expose().ask({ kind: "read", key: "a" })).rejects.toMatchObject({
      code: "STORE_UNAVAILABLE",
    });
  });

  it("tells what is left for a key, resets it, bans it and lifts the ban, for all tiers", async () => {
    const exposed = expose();
    limiter.used.set("a", 4);
    premium.used.set("a", 1);
    const rules = [{ name: "1s", remaining: 1, resetMs: 40 }, expect.objectContaining({ name: "1d" })];
    expect(await exposed.ask({ kind: "read", key: "a" })).toEqual({
      key: "a",
      bannedForMs: 0,
      plans: [
        { tier: null, rules },
        { tier: "premium", rules: [{ name: "1s", remaining: 4, resetMs: 10 }, expect.anything()] },
      ],
    });
    expect(await exposed.ask({ kind: "ban", key: "a", forMs: 70 })).toMatchObject({ bannedForMs: 70 });
    expect([...limiter.banned, ...premium.banned]).toEqual([
      ["a", 70],
      ["a", 70],
    ]);
    expect(await exposed.ask({ kind: "ban", key: "a", forMs: 0 })).toMatchObject({ bannedForMs: 0 });
    expect(await exposed.ask({ kind: "reset", key: "a" })).toMatchObject({
      plans: [{ rules: [{ remaining: 5 }, {}] }, { rules: [{ remaining: 5 }, {}] }],
    });
  });
});
