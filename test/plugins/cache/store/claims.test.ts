import { describe, expect, it } from "vitest";
import type { Claim } from "../../../../plugins/cache/level.ts";
import {
  CACHE,
  type CacheGateway,
  fields,
  joinCache,
  type JoinOptions,
  noFields,
} from "../../../support/cache-gateways.ts";
import { startRedis } from "../../../support/redis.ts";
import { useRedis } from "../../../support/use-redis.ts";
import { redisAt } from "../../../support/stores.ts";

const { KEY } = CACHE;
const NEITHER = { entry: undefined, turn: undefined };

describe("one of all gateways at a time", () => {
  const redis = useRedis();
  const join = (options: JoinOptions = {}): Promise<CacheGateway> =>
    joinCache(redis.using, redisAt(redis.server.url), options);
  const claim = ({ level }: CacheGateway, waitMs = 59_999.5): Promise<Claim> =>
    level.claim(KEY, noFields, waitMs);
  /** Has a gateway wait for what another one fetches. */
  async function startWaiting(gateway: CacheGateway): Promise<{ claimed: Promise<Claim> }> {
    const claimed = claim(gateway);
    await expect.poll(() => gateway.stats.waits).toBe(1);
    return { claimed };
  }

  it("fetches, and the others get what it put", async () => {
    const gateways = await Promise.all([join(), join(), join(), join()]);
    let fetched = 0;
    const bodies = await Promise.all(
      gateways.map(async (gateway) => {
        const { entry, turn } = await claim(gateway);
        if (entry !== undefined) return entry.body.toString();
        expect(turn).toBeDefined();
        fetched++;
        await expect.poll(() => gateways.filter(({ stats }) => stats.waits === 1)).toHaveLength(3);
        await gateway.level.put(gateway.entry(), turn);
        return "fetched";
      }),
    );
    expect(fetched).toBe(1);
    expect(bodies.toSorted()).toEqual(["fetched", "hello", "hello", "hello"]);
    expect((await redis.server.ask("keys", "*!*")).trim()).toBe("");
  });

  it("tells the others at once", async () => {
    const options = { lookAfterMs: 60_000 };
    const [one, other] = [await join(options), await join(options)];
    const { turn } = await claim(one);
    const { claimed } = await startWaiting(other);
    await one.level.put(one.entry(), turn);
    expect((await claimed).entry).toBeDefined();
  });

  it("says when there is nothing to store: the others go on, and nobody waits for a moment", async () => {
    const [one, other, third] = [await join(), await join(), await join()];
    const { turn } = await claim(one);
    const { claimed } = await startWaiting(other);
    turn!.abandon();
    expect(await claimed).toEqual(NEITHER);
    expect(await claim(third)).toEqual(NEITHER);
    const [lock = ""] = (await redis.server.ask("keys", "*!")).split("\n");
    await redis.server.ask("del", lock);
    expect((await claim(third)).turn).toBeDefined();
  });

  it("is found by looking when nobody is told", async () => {
    const [one, other] = [await join(), await join()];
    const { turn } = await claim(one);
    const { claimed } = await startWaiting(other);
    await redis.server.ask("client", "kill", "type", "pubsub");
    await one.level.put(one.entry(), turn);
    expect((await claimed).entry).toBeDefined();
  });

  it("is waited for no longer than said", async () => {
    const [one, other] = [await join(), await join()];
    expect((await claim(one)).turn).toBeDefined();
    const began = performance.now();
    expect(await claim(other, 100)).toEqual(NEITHER);
    expect(performance.now() - began).toBeLessThan(30_000);
    expect(await claim(other, 0)).toEqual(NEITHER);
  });

  it("has its turn for as long as it takes, and is waited for", async () => {
    const [one, other] = [await join(), await join()];
    const { turn } = await claim(one, 0);
    const { claimed } = await startWaiting(other);
    expect(await claim(await join(), 1500)).toEqual(NEITHER);
    await one.level.put(one.entry(), turn);
    expect((await claimed).entry).toBeDefined();
  });

  it("loses its turn soon when it is gone, and does not end that of the next", async () => {
    const [one, other, third] = [await join(), await join(), await join()];
    const { turn } = await claim(one);
    one.level.close();
    const began = performance.now();
    const next = await claim(other, 30_000);
    expect(next.turn).toBeDefined();
    expect(performance.now() - began).toBeLessThan(10_000);
    turn!.abandon();
    await one.level.put(one.entry(), turn);
    expect(await redis.server.ask("get", await redis.server.ask("keys", "*!"))).toMatch(/^[\da-f-]{36}$/);
    await other.level.put(other.entry({ body: Buffer.from("newer") }), next.turn);
    expect(await redis.server.ask("keys", "*!")).toBe("");
    expect((await claim(third)).entry?.body.toString()).toBe("newer");
  });

  it("fetches each variant, when it is known that there are some", async () => {
    const [one, other] = [await join(), await join()];
    const first = await one.level.claim(KEY, fields({ x: "1" }), 1000);
    const waiting = other.level.claim(KEY, fields({ x: "2" }), 5000);
    await expect.poll(() => other.stats.waits).toBe(1);
    await one.level.put(one.entry({ vary: ["x", "1"] }), first.turn);
    const second = await waiting;
    expect(second.turn).toBeDefined();
    expect((await one.level.claim(KEY, fields({ x: "1" }), 0)).entry).toBeDefined();
    expect(await one.level.claim(KEY, fields({ x: "2" }), 0)).toEqual(NEITHER);
    await other.level.put(other.entry({ vary: ["x", "2"] }), second.turn);
    expect((await one.level.claim(KEY, fields({ x: "2" }), 0)).entry?.vary).toEqual(["x", "2"]);
  });

  it("validates what all have: the others get only what is newer", async () => {
    const [one, other] = [await join(), await join()];
    const old = one.entry({ respondedAtMs: Date.now() - 60_000, headers: ["etag", '"a"'] });
    await one.level.put(old);
    expect((await claim(other)).entry).toEqual(old);
    const { turn } = await one.level.claim(KEY, noFields, 1000, old);
    expect(turn).toBeDefined();
    const waiting = other.level.claim(KEY, noFields, 5000, old);
    await expect.poll(() => other.stats.waits).toBe(1);
    const fresh = one.entry({ headers: ["etag", '"a"'] });
    await one.level.put(fresh, turn);
    expect((await waiting).entry).toEqual(fresh);
  });

  it("does without the others when Redis goes away while it waits", async () => {
    const lost = redis.using.use(await startRedis());
    const [one, other] = [
      await joinCache(redis.using, redisAt(lost.url)),
      await joinCache(redis.using, redisAt(lost.url)),
    ];
    expect((await claim(one)).turn).toBeDefined();
    const { claimed } = await startWaiting(other);
    await lost.kill();
    expect(await claimed).toEqual(NEITHER);
  });
});
