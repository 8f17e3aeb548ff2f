import { describe, expect, it } from "vitest";
import {
  allHeard,
  type CoalescingThread,
  CoalescingUpstream,
  openThreads,
} from "../../../support/coalescing.ts";
import { reply } from "../../../support/harness.ts";
import { freePort } from "../../../support/ports.ts";
import { openStore, redisAt } from "../../../support/stores.ts";
import { useRedis } from "../../../support/use-redis.ts";

const OWN = "200 reply 1 -";
const THEIRS = "200 reply 1 sluice; fwd=uri-miss; collapsed; detail=store";

describe("gateways that coalesce by a store", () => {
  const redis = useRedis();

  /** The threads of so many gateways. */
  async function join(
    upstream: CoalescingUpstream,
    {
      gateways = 2,
      threads = 1,
      url = redis.server.url,
      ...options
    }: Record<string, unknown> & { gateways?: number; threads?: number; url?: string } = {},
  ): Promise<CoalescingThread[]> {
    const all: CoalescingThread[] = [];
    for (let i = 0; i < gateways; i++) {
      const { store } = redis.using.use(await openStore(redisAt(url, { timeout: "2s" })));
      const prepare = (host: CoalescingThread["host"]): void => void host.stores.set("main", store);
      all.push(
        ...(await openThreads(redis.using, upstream, threads, { store: "main", ...options }, prepare)),
      );
    }
    return all;
  }

  const collected = ({ host }: CoalescingThread, name: string): number[] =>
    Object.values(host.collected(`sluice_coalesce_store_${name}_total`));
  const waits = async (thread: CoalescingThread, count = 1): Promise<void> =>
    expect.poll(() => collected(thread, "waits")).toEqual([count]);
  const keys = async (): Promise<string[]> =>
    (await redis.server.ask("keys", "*")).split("\n").filter(Boolean);
  const askedTimes = (upstream: CoalescingUpstream, times: number): Promise<void> =>
    expect.poll(() => upstream.asked.length).toBe(times);

  it("send one of the same requests, keep nothing of its reply, and send anew what comes later", async () => {
    const upstream = new CoalescingUpstream();
    upstream.answer = (n) => reply(200, {}, n === 1 ? "long ".repeat(1000) : `reply ${n}`);
    const [a, b, c] = await join(upstream, { gateways: 3 });
    const all = [a!.get().got];
    await askedTimes(upstream, 1);
    all.push(a!.get().got, b!.get().got, b!.get().got, c!.get().got);
    await Promise.all([waits(b!), waits(c!)]);
    upstream.release();
    const got = await Promise.all(all);
    expect(upstream.asked).toHaveLength(1);
    expect(got.map((text) => text.replaceAll("long ", "."))).toEqual(
      [
        "-",
        "sluice; fwd=uri-miss; collapsed",
        ...Array.from({ length: 3 }, () => "sluice; fwd=uri-miss; collapsed; detail=store"),
      ].map((status) => `200 ${".".repeat(1000)} ${status}`),
    );
    expect(await keys()).toEqual([]);
    upstream.open();
    expect(await b!.get().got).toBe("200 reply 2 -");
    expect(await c!.get().got).toBe("200 reply 3 -");
    await expect.poll(keys).toEqual([]);
    // Claims: turn, handed, none, skipped, error. Replies: handed, failed.
    expect([a, b, c].map((thread) => collected(thread!, "claims"))).toEqual([
      [1, 0, 0, 0, 0],
      [1, 1, 0, 0, 0],
      [1, 1, 0, 0, 0],
    ]);
    expect([a, b].map((thread) => collected(thread!, "replies"))).toEqual([
      [1, 0],
      [0, 0],
    ]);
  });

  it("ask their own threads first: one of each gateway waits", async () => {
    const upstream = new CoalescingUpstream();
    const threads = await join(upstream, { threads: 2 });
    const all = [threads[0]!.get().got];
    await askedTimes(upstream, 1);
    for (const thread of threads.slice(1)) all.push(thread.get().got);
    await waits(threads[2]!);
    await Promise.all([allHeard(threads.slice(0, 2)), allHeard(threads.slice(2))]);
    upstream.release();
    const byThread = THEIRS.replace("store", "thread");
    expect(await Promise.all(all)).toEqual([OWN, byThread, THEIRS, byThread]);
  });

  it("never give a reply to other credentials, and say nothing of them to the store", async () => {
    const upstream = new CoalescingUpstream();
    const [a, b] = await join(upstream);
    const all = [a!.get({ headers: { cookie: "secret=1" } }).got];
    all.push(b!.get({ headers: { cookie: "secret=2" } }).got, b!.get({}, "somebody").got);
    await askedTimes(upstream, 3);
    const names = await keys();
    expect(names).toHaveLength(3);
    for (const name of names) expect(name).toMatch(/^sluice:coalesce:test:stage:\{[\w-]{43}\}[\w-]{43}!$/);
    upstream.release();
    await Promise.all(all);
  });

  it.each([
    ["is for one only", () => reply(200, { "set-cookie": "a=1" }, "text")],
    ["is too large", () => reply(200, {}, "x".repeat(2000))],
    ["has events as they happen", () => reply(200, { "content-type": "text/event-stream" }, "data: 1")],
  ])("send each their own at once where the reply %s", async (_what, answer) => {
    const upstream = new CoalescingUpstream();
    upstream.answer = answer;
    const [a, b] = await join(upstream, { maxBody: "1KB" });
    const first = a!.get();
    await askedTimes(upstream, 1);
    const second = b!.get();
    await waits(b!);
    upstream.release();
    await askedTimes(upstream, 2);
    upstream.release();
    for (const text of await Promise.all([first.got, second.got])) expect(text).toMatch(/ -$/);
  });

  it("go on with one of them when the one is gone that sent it", async () => {
    const upstream = new CoalescingUpstream();
    const [a, b, c] = await join(upstream, { gateways: 3 });
    const lost = a!.get();
    await askedTimes(upstream, 1);
    const others = [b!.get().got, c!.get().got];
    await Promise.all([waits(b!), waits(c!)]);
    const [lock = ""] = await keys();
    await redis.server.ask("del", lock);
    await askedTimes(upstream, 2);
    // The other one waits for it by now.
    await expect.poll(() => redis.server.ask("get", lock)).toMatch(/\+$/);
    upstream.answer = () => reply(200, {}, "again");
    const [second, third] = [collected(b!, "claims")[0]!, collected(c!, "claims")[0]!];
    expect(second + third).toBe(1);
    upstream.release();
    const texts = (await Promise.all(others)).toSorted();
    expect(texts).toEqual(["200 again -", "200 again sluice; fwd=uri-miss; collapsed; detail=store"]);
    await lost.got;
  });

  it("leave a reply that somebody who has given up would have taken for two seconds at most", async () => {
    const upstream = new CoalescingUpstream();
    const [a, b] = await join(upstream);
    const first = a!.get();
    await askedTimes(upstream, 1);
    const second = b!.get();
    await waits(b!);
    const [lock = ""] = await keys();
    await redis.server.ask("append", lock, "+"); // one more, who never comes
    upstream.release();
    await Promise.all([first.got, second.got]);
    const [left = ""] = await keys();
    const ttlMs = Number(await redis.server.ask("pttl", left));
    expect(ttlMs > 0 && ttlMs <= 2000).toBe(true);
    upstream.open();
    expect(await b!.get().got).toBe("200 reply 2 -");
  });

  it("do without a store that is away, and say so", async () => {
    const upstream = new CoalescingUpstream();
    upstream.open();
    const [a] = await join(upstream, { gateways: 1, url: `redis://127.0.0.1:${await freePort()}` });
    for (let i = 0; i < 5; i++) {
      a!.host.clock.advance(100);
      expect(await a!.get().got).toMatch(/^200 reply \d -$/);
    }
    const [, , , skipped, error] = collected(a!, "claims");
    expect([skipped! > 0, error! > 0]).toEqual([true, true]);
    const warnings = a!.host.log.lines.filter(({ level }) => level === "warn");
    expect(warnings.map(({ message }) => message)).toEqual([
      "requests are coalesced on this gateway alone until their store answers again",
    ]);
  });

  it("send what another one fetches for too long", async () => {
    const upstream = new CoalescingUpstream();
    const [a, b] = await join(upstream, { wait: "1ms" });
    const first = a!.get();
    await askedTimes(upstream, 1);
    const second = b!.get();
    await waits(b!);
    b!.host.clock.advance(10);
    await askedTimes(upstream, 2);
    upstream.release();
    expect(await Promise.all([first.got, second.got])).toEqual([OWN, "200 reply 2 -"]);
  });
});

it("refuses a store in memory", async () => {
  await using scope = new AsyncDisposableStack();
  const opening = openThreads(scope, new CoalescingUpstream(), 1, { store: "main" });
  await expect(opening).rejects.toMatchObject({ problems: [{ code: "CONFIG_VALUE", pointer: "/store" }] });
});
