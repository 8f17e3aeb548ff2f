import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { StoreConfig } from "../../../core/config/checked.ts";
import { RefreshTokens } from "../../../plugins/token-issuer/refresh-tokens.ts";
import { FakeClock } from "../../support/harness.ts";
import { type RedisServer, startRedis } from "../../support/redis.ts";
import { openStore, type OpenedStore, redisAt } from "../../support/stores.ts";

const HOUR = 3_600_000;
const RULES = { idleMs: HOUR, lifetimeMs: 24 * HOUR, graceMs: 1000 };
const ALICE = { username: "alice", proof: "p" };
const always = (): boolean => true;

describe.each(["memory", "redis"])("refresh tokens in a store of type %s", (type) => {
  const using = new AsyncDisposableStack();
  let redis: RedisServer | undefined;
  let stores: readonly OpenedStore[];
  beforeAll(async () => {
    if (type === "redis") redis = using.use(await startRedis());
    const config: StoreConfig = redis ? redisAt(redis.url) : { type: "memory", maxBytes: "1MB" };
    const open = async () => using.use(await openStore(config));
    // In Redis two gateways; in memory there is one store for all threads.
    const first = await open();
    stores = redis ? [first, await open()] : [first, first];
  });
  afterAll(() => using.disposeAsync());

  const clock = new FakeClock();
  const openTokens = (rules: object = {}, scope = "issuer") =>
    stores.map(({ store }) => new RefreshTokens(store, scope, { ...RULES, ...rules }, clock));
  const used = async (tokens: RefreshTokens, token: string) => {
    const result = await tokens.refresh(token, always);
    return result.outcome === "allowed" ? result.token : result.outcome;
  };

  it("are used once each, at any gateway, and give the next one", async () => {
    const [here, there] = openTokens({ graceMs: 0 }) as [RefreshTokens, RefreshTokens];
    const first = await here.begin(ALICE);
    expect(await there.refresh(first, always)).toMatchObject({ outcome: "allowed", username: "alice" });
    expect(await used(here, first)).toBe("reused");
  });

  it("end with all others of their login when one of them is used twice", async () => {
    const [here, there] = openTokens({ graceMs: 0 }) as [RefreshTokens, RefreshTokens];
    const [first, other] = [await here.begin(ALICE), await here.begin(ALICE)];
    const second = await used(here, first);
    const third = await used(there, second);
    expect(await used(here, first)).toBe("reused");
    expect(await used(here, third)).toBe("unknown");
    expect(await used(here, other)).toHaveLength(64);
  });

  it("let one of many have the next one without a grace, and none of them keeps it", async () => {
    const tokens = openTokens({ graceMs: 0 });
    const first = await tokens[0]!.begin(ALICE);
    const all = await Promise.all(Array.from({ length: 40 }, (_, i) => used(tokens[i % 2]!, first)));
    const given = all.filter((each) => each.length === 64);
    expect(given.length).toBeLessThanOrEqual(1);
    for (const each of given) expect(await used(tokens[0]!, each)).toBe("unknown");
  });

  it("give all of many the same next one within the grace, and it counts", async () => {
    const tokens = openTokens();
    const first = await tokens[0]!.begin(ALICE);
    const all = await Promise.all(Array.from({ length: 40 }, (_, i) => used(tokens[i % 2]!, first)));
    expect(new Set(all).size).toBe(1);
    expect(await used(tokens[1]!, all[0]!)).toHaveLength(64);
    expect(await used(tokens[1]!, first)).toBe("reused");
  });

  it("do not come back when somebody logs out while they are used", async () => {
    const tokens = openTokens();
    for (let i = 0; i < 10; i++) {
      const first = await tokens[0]!.begin(ALICE);
      const [next] = await Promise.all([used(tokens[0]!, first), tokens[1]!.end(first)]);
      expect(await used(tokens[0]!, next)).toBe("unknown");
    }
  });

  it("end by any token of their login, and say whose they were", async () => {
    const tokens = openTokens()[0]!;
    const first = await tokens.begin(ALICE);
    const second = await used(tokens, first);
    expect(await tokens.end(first)).toBe("alice");
    expect(await tokens.end(first)).toBeUndefined();
    expect(await used(tokens, second)).toBe("unknown");
  });

  it("end when their user is not who they were", async () => {
    const tokens = openTokens()[0]!;
    const first = await tokens.begin(ALICE);
    expect(await tokens.refresh(first, ({ proof }) => proof === "other")).toEqual({
      outcome: "outdated",
      username: "alice",
    });
    expect(await used(tokens, first)).toBe("unknown");
  });

  it("are unknown to another issuer", async () => {
    const first = await openTokens()[0]!.begin(ALICE);
    expect(await used(openTokens({}, "other")[0]!, first)).toBe("unknown");
    expect(await used(openTokens()[0]!, first)).toHaveLength(64);
  });

  it.each(["", "x", "x".repeat(64), "-".repeat(63), `${"x".repeat(63)}\n`, "\u0000".repeat(64)])(
    "are unknown when they are made up: %j",
    async (token) => {
      const tokens = openTokens()[0]!;
      expect(await used(tokens, token)).toBe("unknown");
      expect(await tokens.end(token)).toBeUndefined();
    },
  );

  it("are nowhere in the store, which forgets them with their time", async () => {
    if (redis === undefined) return;
    await redis.ask("flushall");
    const tokens = openTokens({ idleMs: 60_000 })[0]!;
    const first = await tokens.begin(ALICE);
    const second = await used(tokens, first);
    const [key = ""] = (await redis.ask("keys", "*")).split("\n");
    const dump = `${key} ${await redis.ask("get", key)}`;
    for (const token of [first, second]) {
      const bytes = Buffer.from(token, "base64url");
      for (const part of [bytes, bytes.subarray(0, 16), bytes.subarray(16)]) {
        for (const form of ["base64url", "base64", "hex"] as const)
          expect(dump).not.toContain(part.toString(form));
      }
    }
    const ttlMs = Number(await redis.ask("pttl", key));
    expect(ttlMs).toBeGreaterThan(0);
    expect(ttlMs).toBeLessThanOrEqual(60_000);
  });

  it("are not given when the store is away", async () => {
    if (redis === undefined) return;
    const tokens = openTokens()[0]!;
    const first = await tokens.begin(ALICE);
    await redis.kill();
    for (const call of [tokens.begin(ALICE), used(tokens, first), tokens.end(first)]) {
      await expect(call).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    }
  });
});
