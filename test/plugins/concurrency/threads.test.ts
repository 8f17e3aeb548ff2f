/** The stage in several threads, which here are several hosts with the same memory. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { SharedMemory } from "../../../core/threads/shared-memory.ts";
import { hostsOf, setUp, settle } from "../../support/concurrency.ts";
import { FakeUpstream } from "../../support/harness.ts";

beforeEach(
  () => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval"] }),
);
afterEach(() => void vi.useRealTimers());

const LIMITED = "CONCURRENCY_LIMITED";

const threadsOf = (count: number, options: Record<string, unknown>) =>
  Promise.all(hostsOf(count).map((host) => setUp(options, host)));

/** Waits until one of the threads was woken by another one and did what it had to; timers stand still. */
async function until(isDone: () => boolean): Promise<void> {
  for (let i = 0; i < 2000 && !isDone(); i++) await new Promise((resolve) => setImmediate(resolve));
  expect(isDone()).toBe(true);
}

describe("in several threads", () => {
  it("the limit is for all of them together", async () => {
    const [a, b] = await threadsOf(2, { max: 3 });
    const first = await a!.send();
    await a!.send();
    await b!.send();
    expect(a!.results.get(await a!.send())).toBe(LIMITED);
    expect(b!.results.get(await b!.send())).toBe(LIMITED);
    first.end();
    await b!.send();
    expect([a!.below.seen.length, b!.below.seen.length]).toEqual([2, 2]);
    expect(a!.results.get(await a!.send())).toBe(LIMITED);
  });

  it("each value of a key has one count, and each upstream", async () => {
    const [a, b] = await threadsOf(2, { max: 1, by: { header: "k" } });
    await a!.send({ headers: { k: "1" } });
    expect(b!.results.get(await b!.send({ headers: { k: "1" } }))).toBe(LIMITED);
    await b!.send({ headers: { k: "2" } });
    expect(b!.below.seen).toHaveLength(1);

    const hosts = hostsOf(2);
    for (const host of hosts) host.upstreams.set("users", new FakeUpstream("users", ["a"]));
    hosts[1]!.route = "other";
    const low = await setUp({ max: 1, by: { upstream: "users" } }, hosts[0]);
    const high = await setUp({ max: 2, by: { upstream: "users" } }, hosts[1]);
    await high.send();
    expect(low.results.get(await low.send())).toBe(LIMITED);
    await high.send();
    expect(high.below.seen).toHaveLength(2);
  });

  it("stages of different routes have counts of their own", async () => {
    const hosts = hostsOf(2);
    hosts[1]!.route = "other";
    const [a, b] = [await setUp({ max: 1 }, hosts[0]), await setUp({ max: 1 }, hosts[1])];
    await a.send();
    await b.send();
    expect(b.below.seen).toHaveLength(1);
  });

  it("who waits is let in as soon as a place becomes free in another one", async () => {
    const [a, b] = await threadsOf(2, { max: 2, queue: 5 });
    const first = [await a!.send(), await a!.send()];
    const waiting = [await b!.send(), await b!.send()];
    expect([b!.below.seen, b!.gauge("queued")]).toEqual([[], 2]);
    first[0]!.end();
    await until(() => b!.below.seen.length === 1);
    first[1]!.end();
    await until(() => b!.below.seen.length === 2);
    expect([b!.below.seen, b!.gauge("queued"), vi.getTimerCount()]).toEqual([waiting, 0, 2]);
  });

  it("who begins to wait while a place becomes free does not wait", async () => {
    const hosts = hostsOf(2);
    const [a, b] = [await setUp({ max: 1, queue: 5 }, hosts[0]), await setUp({ max: 1, queue: 5 }, hosts[1])];
    const first = await a.send();
    const rung = vi.spyOn(hosts[1]!.shared, "rung").mockImplementationOnce(() => {
      first.end();
      return new Promise(() => {});
    });
    await b.send();
    expect([rung.mock.calls.length, b.below.seen.length]).toEqual([1, 1]);
  });

  it("who comes lets those in first who wait in the same one", async () => {
    const hosts = hostsOf(2);
    const [a, b] = [await setUp({ max: 1, queue: 5 }, hosts[0]), await setUp({ max: 1, queue: 5 }, hosts[1])];
    const first = await a.send();
    const waiting = await b.send();
    hosts[0]!.shared.ring = () => {};
    first.end();
    await b.send();
    expect(b.below.seen).toEqual([waiting]);
  });

  it("who waits looks for room now and then, should nobody wake it", async () => {
    const hosts = hostsOf(2);
    const [a, b] = [await setUp({ max: 1, queue: 5 }, hosts[0]), await setUp({ max: 1, queue: 5 }, hosts[1])];
    const first = await a.send();
    await b.send();
    hosts[0]!.shared.ring = () => {};
    first.end();
    await settle();
    expect(b.below.seen).toHaveLength(0);
    await vi.advanceTimersByTimeAsync(20);
    expect(b.below.seen).toHaveLength(1);
  });

  it("those who wait in one take turns with those who wait in others", async () => {
    const all = await threadsOf(3, { max: 1, queue: 20, queueTimeout: "60s" });
    const order: number[] = [];
    for (const { send } of all) for (let i = 0; i < 5; i++) await send();
    for (let served = 0; served < 15; served++) {
      await until(() => all.some(({ below }) => below.in.length > 0));
      const i = all.findIndex(({ below }) => below.in.length > 0);
      order.push(i);
      all[i]!.below.in.shift()!.x.end();
    }
    expect(order.filter((i) => i === 0)).toHaveLength(5);
    // Nobody is served several times while others wait, but for the one whose turn it is twice in a row.
    for (let i = 2; i < 12; i++) expect(new Set(order.slice(i - 2, i + 1)).size).toBeGreaterThan(1);
    expect(new Set(order.slice(0, 6)).size).toBeGreaterThan(1);
  });

  it("who comes does not take a place that became free for somebody who waits in another one", async () => {
    const [a, b] = await threadsOf(2, { max: 1, queue: 5 });
    const first = await a!.send();
    const waiting = await b!.send();
    const other = await a!.send();
    first.end();
    const late = await a!.send();
    expect([a!.below.seen.includes(other), a!.below.seen.includes(late)]).toEqual([false, false]);
    await until(() => b!.below.seen.length === 1);
    expect(b!.below.seen).toEqual([waiting]);
    waiting.end();
    await until(() => a!.below.seen.length === 2);
  });

  it("who may not have more places does not keep those from them who may", async () => {
    const hosts = hostsOf(2);
    for (const host of hosts) host.upstreams.set("users", new FakeUpstream("users", ["a"]));
    hosts[1]!.route = "other";
    const low = await setUp({ max: 1, queue: 5, by: { upstream: "users" } }, hosts[0]);
    const high = await setUp({ max: 3, queue: 5, by: { upstream: "users" } }, hosts[1]);
    await high.send();
    await low.send();
    await high.send();
    await high.send();
    expect([low.below.seen.length, high.below.seen.length]).toEqual([0, 3]);
  });

  it("what a thread held is given back when it ends, and another one begins in its place", async () => {
    const hosts = hostsOf(2);
    const options = { max: 2, queue: 5 };
    const [a, b] = [await setUp(options, hosts[0]), await setUp(options, hosts[1])];
    await a.send();
    await a.send();
    await b.send();
    expect(b.below.seen).toHaveLength(0);
    (hosts[1]!.shared as SharedMemory).forgetThread(0);
    await until(() => b.below.seen.length === 1);
    const next = hostsOf(2)[0]!;
    next.shared = hosts[0]!.shared;
    const c = await setUp(options, next);
    await c.send();
    await c.send();
    expect([c.below.seen.length, c.gauge("queued")]).toEqual([1, 1]);
  });

  it("a place counts for as long as it is held, whatever else is counted", async () => {
    const hosts = hostsOf(2);
    const options = { max: 1, by: { header: "k" } };
    const [a, b] = [await setUp(options, hosts[0]), await setUp(options, hosts[1])];
    const x = await a.send({ headers: { k: "long" } });
    for (let second = 0; second < 600; second += 3) {
      for (const host of hosts) host.clock.advance(3000);
      await vi.advanceTimersByTimeAsync(3000);
      const { holdings } = hosts[0]!.shared;
      for (let i = 0; i < 500; i++) holdings.locate(`${second} ${i}`, 0, hosts[0]!.clock.monotonic());
    }
    expect(b.results.get(await b.send({ headers: { k: "long" } }))).toBe(LIMITED);
    x.end();
    await b.send({ headers: { k: "long" } });
    expect(b.below.seen).toHaveLength(1);
  });

  it("each allows its share as long as there is no room to count together, and says so once", async () => {
    const hosts = hostsOf(2);
    const memory = hosts.map(({ shared }) => shared.holdings);
    const located = memory.map((cells) => cells.locate.bind(cells));
    for (const cells of memory) cells.locate = () => -1;
    const options = { max: 3, by: { header: "k" } };
    const [a, b] = [await setUp(options, hosts[0]), await setUp(options, hosts[1])];
    const send = ({ send }: typeof a) => send({ headers: { k: "1" } });
    await send(a);
    await send(a);
    await a.send({ headers: { k: "2" } });
    expect(a.results.get(await send(a))).toBe(LIMITED);
    const own = await send(b);
    expect(b.results.get(await send(b))).toBe(LIMITED);
    expect(hosts[0]!.log.lines.map(({ message }) => message)).toEqual([
      "no room to count over all threads: until there is, each allows its share of the limit",
    ]);
    for (const [i, cells] of memory.entries()) cells.locate = located[i]!;
    await vi.advanceTimersByTimeAsync(3000);
    expect(b.results.get(await send(b))).toBe(LIMITED);
    a.below.seen[0]!.end();
    await send(b);
    own.end();
    await send(b);
    expect(b.below.seen).toHaveLength(3);
    expect(a.results.get(await send(a))).toBe(LIMITED);
  });

  it("all together never let more than the limit in, also when it is less than there are threads", async () => {
    const all = await threadsOf(3, { max: 1 });
    for (const { send } of all) await send();
    expect(all.map(({ below }) => below.seen.length)).toEqual([1, 0, 0]);
  });

  it("a learned limit is each one's share", async () => {
    const adaptive = { min: 4, max: 101, initial: 11, window: "100ms" };
    const all = await threadsOf(2, { adaptive });
    expect(all.map(({ gauge }) => gauge("limit"))).toEqual([2, 2]);
    for (const { send, below, host } of all) {
      for (let i = 0; i < 25; i++) {
        await send();
        host.clock.advance(10);
        (await below.answer()).end();
      }
    }
    expect(all.map(({ gauge }) => gauge("limit"))).toEqual([6, 5]);
    const [a] = all;
    for (let i = 0; i < 6; i++) await a!.send();
    expect(a!.below.in).toHaveLength(6);
    expect(a!.results.get(await a!.send())).toBe(LIMITED);
  });

  it("the limits that metrics tell make the limit when they are summed up", async () => {
    const all = await threadsOf(3, { max: 10 });
    expect(all.map(({ gauge }) => gauge("limit"))).toEqual([4, 3, 3]);
  });
});
