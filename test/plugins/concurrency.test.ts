import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { KeepStore } from "../../core/keep.ts";
import { textReply } from "../../core/plugin.ts";
import { concurrency } from "../../plugins/concurrency.ts";
import { Below, setUp, settle } from "../support/concurrency.ts";
import { buildStage, exchange, FakeHost, FakeUpstream } from "../support/harness.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("concurrency", () => {
  it("lets as many in as `max` and refuses the next with 503 and Retry-After", async () => {
    const { below, send, results, handle } = await setUp({ max: 2 });
    await send();
    await send();
    const third = await send();
    expect(below.in).toHaveLength(2);
    expect(results.get(third)).toBe("CONCURRENCY_LIMITED");
    await expect(handle(exchange())).rejects.toMatchObject({ status: 503, headers: ["retry-after", "1"] });
  });

  it("tells clients to come back after `retryAfter`, in whole seconds", async () => {
    for (const [retryAfter, seconds] of [
      ["100ms", "1"],
      ["2500ms", "3"],
    ]) {
      const { send, handle } = await setUp({ max: 1, retryAfter });
      await send();
      await expect(handle(exchange())).rejects.toMatchObject({ headers: ["retry-after", seconds] });
    }
  });

  it("counts an exchange until it has ended, not only until its reply's head", async () => {
    const { below, send, results } = await setUp({ max: 1 });
    const first = await send();
    await below.answer();
    expect(results.get(first)).toBe(200);
    expect(results.get(await send())).toBe("CONCURRENCY_LIMITED");
    first.end();
    await send();
    expect(below.in).toHaveLength(1);
  });

  it("frees the place of an exchange that failed when it has ended, because it may be tried again until then", async () => {
    const { below, send, gauge } = await setUp({ max: 1 });
    const first = await send();
    below.in.shift()!.fail(new Error("broken"));
    await settle();
    expect(gauge("in_flight")).toBe(1);
    first.end();
    expect(gauge("in_flight")).toBe(0);
    const second = await send();
    expect(below.in[0]!.x).toBe(second);
  });

  it("passes replies and failures on unchanged", async () => {
    const reply = textReply(204, "");
    expect(await (await buildStage(concurrency, { max: 1 }, () => reply))(exchange())).toBe(reply);
    const error = new Error("mine");
    const failing = await buildStage(concurrency, { max: 1 }, () => {
      throw error;
    });
    expect(() => failing(exchange())).toThrow(error);
  });

  it("does not start what was given up already", async () => {
    const { send, below, results, host } = await setUp({ max: 1, by: "ip" });
    const x = exchange();
    x.abort(new Error("gone"));
    await send(x);
    expect([results.get(x), below.seen.length]).toEqual(["gone", 0]);
    expect(tableSize(host)).toBe(0);
  });
});

/** Keys in the table of a stage that counts by a key. */
const tableSize = (host: FakeHost): number =>
  [...host.kept.entries()]
    .filter(([key]) => key.startsWith("concurrency slots"))
    .reduce((sum, [, table]) => sum + (table as { size: number }).size, 0);

describe("the queue", () => {
  it("lets those who wait in, first come first served", async () => {
    const { below, send } = await setUp({ max: 1, queue: 3 });
    const all = [await send(), await send(), await send(), await send()];
    expect(below.seen).toEqual([all[0]]);
    for (const x of all) {
      await below.answer();
      x.end();
      await settle();
    }
    expect(below.seen).toEqual(all);
  });

  it("holds no more than `queue`", async () => {
    const { send, results, gauge, host } = await setUp({ max: 1, queue: 1 });
    await send();
    const waiting = await send();
    expect(results.get(await send())).toBe("CONCURRENCY_LIMITED");
    expect([results.get(waiting), gauge("queued")]).toEqual([undefined, 1]);
    expect(host.collected("sluice_concurrency_rejected_total")).toEqual({
      '{"route":"test","stage":"stage","reason":"full"}': 1,
      '{"route":"test","stage":"stage","reason":"timeout"}': 0,
    });
  });

  it("refuses those who waited for `queueTimeout`", async () => {
    const { send, results, gauge, host } = await setUp({ max: 1, queue: 5, queueTimeout: "2s" });
    await send();
    const waiting = await send();
    await vi.advanceTimersByTimeAsync(1999);
    expect(results.get(waiting)).toBeUndefined();
    await vi.advanceTimersByTimeAsync(1);
    expect([results.get(waiting), gauge("queued")]).toEqual(["CONCURRENCY_LIMITED", 0]);
    expect(host.collected("sluice_concurrency_rejected_total")).toMatchObject({
      '{"route":"test","stage":"stage","reason":"timeout"}': 1,
    });
  });

  it("has no timer for those who do not wait, nor for those who waited", async () => {
    const { send, below } = await setUp({ max: 1, queue: 1 });
    const first = await send();
    expect(vi.getTimerCount()).toBe(0);
    await send();
    expect(vi.getTimerCount()).toBe(1);
    await below.answer();
    first.end();
    expect(vi.getTimerCount()).toBe(0);
  });

  it("is left at once by those who give up", async () => {
    const { below, send, results, gauge } = await setUp({ max: 1, queue: 2 });
    const [first, quitter, last] = [await send(), await send(), await send()];
    quitter.abort(new Error("gone"));
    quitter.end();
    await settle();
    expect([results.get(quitter), gauge("queued"), vi.getTimerCount()]).toEqual(["gone", 1, 1]);
    await below.answer();
    first.end();
    await settle();
    expect(below.seen).toEqual([first, last]);
  });

  it("passes the place on when its owner goes in the moment that it was let in", async () => {
    const { below, send, gauge } = await setUp({ max: 1, queue: 2 });
    const [first, second, third] = [await send(), await send(), await send()];
    first.end();
    second.abort(new Error("gone"));
    second.end();
    await settle();
    expect(below.seen).toEqual([first, third]);
    third.end();
    expect([gauge("in_flight"), gauge("queued")]).toEqual([0, 0]);
  });
});

it("sends nothing for an exchange that is given up in the moment that it was let in", async () => {
  const { send, below, gauge, results } = await setUp({ max: 1, queue: 1 });
  const [first, second] = [await send(), await send()];
  first.end();
  second.abort(new Error("deadline"));
  await settle();
  second.end();
  expect([results.get(second), gauge("in_flight"), below.seen.length]).toEqual(["deadline", 0, 1]);
});

describe("what is counted", () => {
  it("is each value of the key by itself, those without one together", async () => {
    const { below, send, results, host } = await setUp({ max: 1, by: { header: "x-tenant" } });
    const tenant = (name?: string) => send({ headers: name === undefined ? {} : { "x-tenant": name } });
    const first = await tenant("a");
    await tenant("b");
    await tenant();
    expect(below.in).toHaveLength(3);
    for (const name of ["a", "b", undefined]) {
      expect(results.get(await tenant(name))).toBe("CONCURRENCY_LIMITED");
    }
    expect(tableSize(host)).toBe(3);
    first.end();
    expect(tableSize(host)).toBe(2);
    await tenant("a");
    expect(below.in).toHaveLength(4);
  });

  it("can be consumers", async () => {
    const { below, send } = await setUp({ max: 1, by: "consumer" });
    for (const name of ["ann", "bob", "ann"]) {
      const x = exchange();
      x.consumer = { name, roles: [] };
      await send(x);
    }
    expect(below.seen.map((x) => x.consumer?.name)).toEqual(["ann", "bob"]);
  });

  it("is the route by itself", async () => {
    const host = new FakeHost();
    const one = await setUp({ max: 1 }, host);
    host.route = "other";
    const two = await setUp({ max: 1 }, host);
    await one.send();
    await two.send();
    expect([one.below.in.length, two.below.in.length]).toEqual([1, 1]);
  });

  it("is each stage of a route by itself", async () => {
    const host = new FakeHost();
    const one = await setUp({ max: 1 }, host);
    host.stage = "concurrency#2";
    const two = await setUp({ max: 1 }, host);
    await one.send();
    await two.send();
    expect([one.below.in.length, two.below.in.length]).toEqual([1, 1]);
  });

  it("is an upstream over all routes that name it", async () => {
    const host = new FakeHost();
    host.upstreams.set("users", new FakeUpstream("users", ["a"]));
    const one = await setUp({ max: 2, by: { upstream: "users" } }, host);
    host.route = "other";
    const two = await setUp({ max: 2, queue: 1, by: { upstream: "users" } }, host);
    const three = await setUp({ max: 2, by: { upstream: "orders" } }, host);
    const first = await one.send();
    await two.send();
    await two.send();
    expect(one.results.get(await one.send())).toBe("CONCURRENCY_LIMITED");
    await three.send();
    expect([two.below.in.length, three.below.in.length]).toEqual([1, 1]);
    first.end();
    await settle();
    expect(two.below.in).toHaveLength(2);
  });

  it("may be allowed in different numbers: who waits for more room does not block the others", async () => {
    const host = new FakeHost();
    const low = await setUp({ max: 1, queue: 5, by: { upstream: "users" } }, host);
    host.route = "important";
    const high = await setUp({ max: 3, queue: 5, by: { upstream: "users" } }, host);
    const all = [await high.send(), await high.send(), await high.send()];
    const waiting = await low.send();
    await high.send();
    expect([high.below.seen.length, low.below.seen.length]).toEqual([3, 0]);
    all[0]!.end();
    await settle();
    expect([high.below.seen.length, low.below.seen.length]).toEqual([4, 0]);
    for (const x of high.below.seen) x.end();
    await settle();
    expect(low.below.seen).toEqual([waiting]);
  });

  it("goes on across a swap, also when `max` changes", async () => {
    const kept = new KeepStore().lease();
    const generation = (max: number) => {
      const host = new FakeHost();
      host.keep = (key, create) => kept.keep(key, create as () => object) as ReturnType<typeof create>;
      return setUp({ max }, host);
    };
    const old = await generation(3);
    const x = await old.send();
    await old.send();
    const next = await generation(2);
    expect(next.results.get(await next.send())).toBe("CONCURRENCY_LIMITED");
    expect(next.gauge("in_flight")).toBe(2);
    x.end();
    await next.send();
    expect(next.below.in).toHaveLength(1);
  });
});

describe("below a stage that tries again", () => {
  it("frees the place of an attempt that failed before the next takes one", async () => {
    const { below, send, gauge } = await setUp({ max: 1 });
    const x = await send();
    below.in.shift()!.fail(new Error("reset"));
    await settle();
    await send(x);
    expect([below.seen.length, gauge("in_flight")]).toEqual([2, 1]);
    x.end();
    expect(gauge("in_flight")).toBe(0);
  });

  it("counts an exchange once when its first reply is not used", async () => {
    const { below, send, gauge, results } = await setUp({ max: 1 });
    const x = await send();
    x.upstream = "users";
    await below.answer(503);
    await send(x);
    expect([below.seen.length, gauge("in_flight"), results.get(x)]).toEqual([2, 1, 503]);
    await below.answer();
    expect(results.get(x)).toBe(200);
    x.end();
    expect(gauge("in_flight")).toBe(0);
  });

  it("does not take the place of another stage for its own", async () => {
    const host = new FakeHost();
    const by = { upstream: "users" };
    const below = new Below();
    const lower = await buildStage(concurrency, { max: 5, by }, below.handler, host);
    host.stage = "concurrency#2";
    const upper = await buildStage(
      concurrency,
      { max: 5, by },
      async (x) => {
        await expect(lower(x)).rejects.toThrow("reset");
        return lower(x);
      },
      host,
    );
    const x = exchange();
    x.upstream = "users";
    const reply = upper(x);
    await settle();
    below.in.shift()!.fail(new Error("reset"));
    await settle();
    expect(host.collected("sluice_concurrency_in_flight")).toEqual({
      '{"route":"test","stage":"stage"}': 1,
      '{"route":"test","stage":"concurrency#2"}': 1,
    });
    await below.answer();
    expect((await reply).status).toBe(200);
    x.end();
  });

  it("gives up the wait of an attempt that is given up", async () => {
    const { send, results, gauge } = await setUp({ max: 1, queue: 1 });
    await send();
    const x = exchange();
    const mark = x.abortMark;
    await send(x);
    x.abortSince(mark, new Error("try timeout"));
    await settle();
    expect([results.get(x), gauge("queued")]).toEqual(["try timeout", 0]);
  });
});

describe("the adaptive limit", () => {
  const adaptive = { min: 2, max: 100, initial: 10, window: "100ms", tolerance: "50%" };

  /** Answers `count` requests, one after the other, each after `ms`. */
  async function answerAll(
    { send, below, host }: Awaited<ReturnType<typeof setUp>>,
    count: number,
    ms: number,
    status = 200,
  ): Promise<void> {
    for (let i = 0; i < count; i++) {
      await send();
      host.clock.advance(ms);
      (await below.answer(status)).end();
    }
  }

  it("begins at `min`, and at `initial` once the baseline is known", async () => {
    const set = await setUp({ adaptive });
    expect(set.gauge("limit")).toBe(2);
    await answerAll(set, 25, 10);
    expect(set.gauge("limit")).toBe(10);
  });

  it("shrinks when latency rises beyond `tolerance`, and when requests time out", async () => {
    for (const [ms, status] of [
      [30, 200],
      [10, 504],
    ] as const) {
      const set = await setUp({ adaptive });
      await answerAll(set, 25, 10);
      await answerAll(set, 25, ms, status);
      expect(set.gauge("limit")).toBeLessThan(10);
    }
  });

  it("does not shrink within `tolerance`, nor by failures that say nothing about load", async () => {
    for (const [ms, status] of [
      [14, 200],
      [10, 500],
      [10, 429],
      [10, 404],
    ] as const) {
      const set = await setUp({ adaptive });
      await answerAll(set, 25, 10);
      await answerAll(set, 50, ms, status);
      expect(set.gauge("limit")).toBeGreaterThanOrEqual(10);
    }
  });

  it("does not learn from failures, nor from replies that say nothing about load", async () => {
    for (const status of [429, 500, 503]) {
      const set = await setUp({ adaptive });
      await answerAll(set, 50, 1, status);
      expect(set.gauge("limit")).toBe(2);
    }
  });

  it("lets those who wait in when it grows", async () => {
    const set = await setUp({ adaptive: { ...adaptive, min: 1 }, queue: 100 });
    const { below, send, gauge, host } = set;
    await answerAll(set, 24, 10);
    const last = await send();
    const waiting = [await send(), await send()];
    expect([below.in.length, gauge("queued")]).toEqual([1, 2]);
    host.clock.advance(10);
    await below.answer();
    // Its reply is still being sent: it is the grown limit that lets them in.
    expect([gauge("limit"), below.in.map(({ x }) => x)]).toEqual([10, waiting]);
    last.end();
  });

  it("is kept across swaps, and begins anew when its options change", async () => {
    const host = new FakeHost();
    const set = await setUp({ adaptive }, host);
    await answerAll(set, 25, 10);
    expect((await setUp({ adaptive, queue: 5 }, host)).gauge("limit")).toBe(10);
    host.sources.clear();
    expect((await setUp({ adaptive: { ...adaptive, max: 99 } }, host)).gauge("limit")).toBe(2);
  });

  it("is learned for a route or an upstream only", async () => {
    await expect(setUp({ adaptive, by: "consumer" })).rejects.toMatchObject({
      problems: [{ pointer: "/by" }],
    });
    await setUp({ adaptive, by: { upstream: "users" } });
  });

  it("has bounds in order", async () => {
    const pointer = async (parts: object): Promise<string> => {
      const error = await setUp({ adaptive: { ...adaptive, ...parts } }).then(
        () => expect.unreachable(),
        (e: { problems: { pointer: string }[] }) => e,
      );
      return error.problems[0]!.pointer;
    };
    expect(await pointer({ min: 101 })).toBe("/adaptive/min");
    expect(await pointer({ initial: 1 })).toBe("/adaptive/initial");
    expect(await pointer({ initial: 101 })).toBe("/adaptive/initial");
    expect(await pointer({ window: "0s" })).toBe("/adaptive/window");
    expect(await pointer({ baselineEvery: "0s" })).toBe("/adaptive/baselineEvery");
  });
});

describe("options", () => {
  it("need either `max` or `adaptive`", async () => {
    await expect(setUp({})).rejects.toThrow("max");
    await expect(setUp({ max: 1, adaptive: {} })).rejects.toThrow("oneOf");
    await expect(setUp({ max: 0 })).rejects.toThrow("/max");
    await expect(setUp({ max: 1, queue: -1 })).rejects.toThrow("/queue");
    await expect(setUp({ max: 1, queueTimeout: "1" })).rejects.toThrow("/queueTimeout");
    await expect(setUp({ max: 1, queueTimeout: "25d" })).rejects.toThrow("`queueTimeout` must be");
  });

  it("cannot be skipped on errors: it decides who may pass", () => {
    expect(concurrency.guard).toBe(true);
  });
});
