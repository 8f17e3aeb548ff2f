import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { MergedMetrics, type MetricSource } from "../../../core/observe/merged-metrics.ts";
import { GatewayMetrics } from "../../../core/observe/metrics.ts";
import { type Snapshot, totalsOf } from "../../../core/observe/snapshot.ts";

/** A thread whose answers cross a thread boundary, and may fail to come. */
class FakeThread implements MetricSource {
  readonly thread: number;
  readonly metrics = new GatewayMetrics();
  /** How often it was asked. */
  asked = 0;
  isDead = false;
  #stuck: PromiseWithResolvers<void> | undefined;

  constructor(thread: number) {
    this.thread = thread;
  }

  get isStuck(): boolean {
    return this.#stuck !== undefined;
  }

  set isStuck(isStuck: boolean) {
    this.#stuck?.resolve();
    this.#stuck = isStuck ? Promise.withResolvers() : undefined;
  }

  async snapshot(): Promise<Snapshot> {
    this.asked++;
    while (this.#stuck !== undefined) await this.#stuck.promise;
    if (this.isDead) throw new Error("the worker is not running");
    return structuredClone(await this.metrics.snapshot());
  }
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function setUp(threads = 2) {
  const own = new GatewayMetrics();
  const merged = new MergedMetrics(own, "control");
  onTestFinished(() => merged.close());
  const all = Array.from({ length: threads }, (_, i) => new FakeThread(i));
  for (const each of all) merged.add(each);
  /** Waits as long as a reader does who waits for a stuck thread. */
  const snapshot = async (): Promise<Snapshot> => {
    const asked = merged.snapshot();
    await vi.advanceTimersByTimeAsync(1000);
    return asked;
  };
  /** The lines of the gateway's metrics that begin so. */
  const lines = async (start: string): Promise<string[]> => {
    const rendered = merged.render();
    await vi.advanceTimersByTimeAsync(1000);
    return (await rendered).text.split("\n").filter((line) => line.startsWith(start));
  };
  return { own, merged, threads: all, snapshot, lines };
}

describe("metrics of several threads", () => {
  it("are one: counters are summed up, series by series, with those of the control thread", async () => {
    const { own, threads, lines } = setUp();
    threads[0]!.metrics.route("a").record("GET", 200, 1);
    threads[1]!.metrics.route("a").record("GET", 200, 1);
    threads[1]!.metrics.route("a").record("GET", 404, 1);
    threads[1]!.metrics.counter("sluice_x_total", "X.", ["b", "a"]).inc({ a: '"\\\n', b: "1" }, 3);
    own.counter("sluice_x_total", "X.", ["b", "a"]).inc({ b: "1", a: '"\\\n' }, 4);
    own.countReload("success");
    expect(await lines("sluice_http_requests_total{")).toEqual([
      'sluice_http_requests_total{route="a",method="GET",status="200"} 2',
      'sluice_http_requests_total{route="a",method="GET",status="404"} 1',
    ]);
    expect(await lines("sluice_x_total{")).toEqual(['sluice_x_total{b="1",a="\\"\\\\\\n"} 7']);
    expect(await lines('sluice_config_reloads_total{result="success"}')).toEqual([
      'sluice_config_reloads_total{result="success"} 1',
    ]);
  });

  it("sum up histograms: buckets, sum and count", async () => {
    const { threads, lines } = setUp();
    for (const [i, thread] of threads.entries()) {
      const histogram = thread.metrics.histogram("sluice_h_seconds", "H.", ["route"], [1, 2]);
      histogram.observe(i + 0.5, { route: "a" });
      histogram.observe(9, { route: String(i) });
    }
    expect(await lines("sluice_h_seconds")).toEqual([
      'sluice_h_seconds_bucket{route="a",le="1"} 1',
      'sluice_h_seconds_bucket{route="a",le="2"} 2',
      'sluice_h_seconds_bucket{route="a",le="+Inf"} 2',
      'sluice_h_seconds_sum{route="a"} 2',
      'sluice_h_seconds_count{route="a"} 2',
      ...["0", "1"].flatMap((route) => [
        `sluice_h_seconds_bucket{route="${route}",le="1"} 0`,
        `sluice_h_seconds_bucket{route="${route}",le="2"} 0`,
        `sluice_h_seconds_bucket{route="${route}",le="+Inf"} 1`,
        `sluice_h_seconds_sum{route="${route}"} 9`,
        `sluice_h_seconds_count{route="${route}"} 1`,
      ]),
    ]);
  });

  it("merge gauges as each wants it", async () => {
    const { threads, lines } = setUp(3);
    for (const [i, value] of [5, 1, 3].entries()) {
      const { metrics } = threads[i]!;
      metrics.active = value;
      metrics.gauge("sluice_sum", "S.").set(value);
      metrics.gauge("sluice_least", "L.", [], "min").set(value);
      metrics.collect("sluice_most", "M.", "gauge", () => [[{ a: "b" }, value]], "max");
      metrics.collect("sluice_each", "E.", "gauge", () => [[{}, value]], "thread");
      metrics.collect("sluice_each_total", "E.", "counter", () => [[{ a: "b" }, value]], "thread");
    }
    expect(await lines("sluice_active_requests ")).toEqual(["sluice_active_requests 9"]);
    expect(await lines("sluice_sum")).toEqual(["sluice_sum 9"]);
    expect(await lines("sluice_least")).toEqual(["sluice_least 1"]);
    expect(await lines("sluice_most")).toEqual(['sluice_most{a="b"} 5']);
    expect(await lines("sluice_each{")).toEqual([5, 1, 3].map((v, i) => `sluice_each{thread="${i}"} ${v}`));
    expect(await lines("sluice_each_total{")).toEqual(
      [5, 1, 3].map((v, i) => `sluice_each_total{thread="${i}",a="b"} ${v}`),
    );
  });

  it("are those of the control thread when there is no other", async () => {
    const { own, merged } = setUp(0);
    own.active = 2;
    own.collect("sluice_each", "E.", "gauge", () => [[{}, 1]], "thread");
    await merged.snapshot();
    expect(vi.getTimerCount()).toBe(0);
    const { text, contentType } = await merged.render();
    expect(contentType).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(text).toContain("\nsluice_active_requests 2\n");
    expect(text).toContain('\nsluice_each{thread="control"} 1\n');
    expect(await merged.totals()).toEqual({ activeRequests: 2, requests: 0, byStatus: {}, errors: {} });
  });

  it("have those of the process besides, once, whichever gateway in it is asked", async () => {
    for (const { merged } of [setUp(0), setUp(1)]) {
      const { text } = await merged.render();
      expect(text.match(/^process_resident_memory_bytes \d+$/gm)).toHaveLength(1);
      expect(text.match(/^# HELP /gm)).toHaveLength(new Set(text.match(/^# HELP \S+/gm)).size);
    }
  });

  it("are summed up for people", async () => {
    const { threads, merged } = setUp();
    for (const { metrics } of threads) {
      metrics.active = 1;
      metrics.route("a").record("GET", 200, 1);
      metrics.route("status").record("PUT", 502, 1);
      metrics.countError("UPSTREAM_RESET");
    }
    expect(await merged.totals()).toEqual({
      activeRequests: 2,
      requests: 4,
      byStatus: { 200: 2, 502: 2 },
      errors: { UPSTREAM_RESET: 2 },
    });
  });
});

describe("a reader", () => {
  it("gets what threads counted up to then, though an answer to an earlier question is on its way", async () => {
    const { merged, threads } = setUp(1);
    const [thread] = threads as [FakeThread];
    const early = merged.totals();
    await vi.advanceTimersByTimeAsync(0);
    thread.metrics.route("a").record("GET", 200, 1);
    const [late, alike] = [merged.totals(), merged.totals()];
    expect([(await early).requests, (await late).requests, (await alike).requests]).toEqual([0, 1, 1]);
    expect(thread.asked).toBe(2);
  });

  it("waits a second at most for a thread that is stuck, and gets what it told last", async () => {
    const { merged, threads } = setUp();
    for (const { metrics } of threads) metrics.active = 1;
    await merged.totals();
    threads[0]!.isStuck = true;
    for (const { metrics } of threads) metrics.active = 5;
    let settled = false;
    const asked = merged.totals().finally(() => (settled = true));
    await vi.advanceTimersByTimeAsync(999);
    expect(settled).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect((await asked).activeRequests).toBe(6);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(threads[0]!.asked).toBe(2);
    threads[0]!.isStuck = false;
    expect((await merged.totals()).activeRequests).toBe(10);
  });

  it("gets what a thread told last when it fails to answer", async () => {
    const { merged, threads } = setUp(1);
    threads[0]!.metrics.active = 3;
    await merged.totals();
    threads[0]!.isDead = true;
    expect((await merged.totals()).activeRequests).toBe(3);
  });
});

describe("a thread that ends", () => {
  it("leaves its counts, as of a second ago at most, and takes its gauges along", async () => {
    const { merged, threads, lines } = setUp();
    const [dying, other] = threads as [FakeThread, FakeThread];
    for (const { metrics } of threads) {
      metrics.active = 1;
      metrics.route("a").record("GET", 200, 4);
      metrics.collect("sluice_each", "E.", "gauge", () => [[{}, 1]], "thread");
    }
    await vi.advanceTimersByTimeAsync(1000);
    dying.metrics.route("a").record("GET", 200, 4);
    dying.isDead = true;
    merged.retire(0);
    merged.retire(0);
    expect(await merged.totals()).toMatchObject({ activeRequests: 1, requests: 2 });
    expect(await lines("sluice_each{")).toEqual(['sluice_each{thread="1"} 1']);

    const next = new FakeThread(0);
    merged.add(next);
    next.metrics.route("a").record("GET", 200, 4);
    expect(await merged.totals()).toMatchObject({ activeRequests: 1, requests: 3 });
    expect(await lines('sluice_http_request_duration_seconds_bucket{route="a",le="0.005"}')).toEqual([
      'sluice_http_request_duration_seconds_bucket{route="a",le="0.005"} 3',
    ]);
    expect(await lines('sluice_http_request_duration_seconds_count{route="a"}')).toEqual([
      'sluice_http_request_duration_seconds_count{route="a"} 3',
    ]);
    other.metrics.route("a").record("GET", 200, 1);
    expect((await merged.totals()).requests).toBe(4);
  });

  it("is replaced by one of the same number, and an answer that comes too late is not counted", async () => {
    const { merged, threads } = setUp(1);
    const collect = (value: number): (() => void) =>
      threads[0]!.metrics.collect("sluice_x_total", "E.", "counter", () => [[{}, value]]);
    const end = collect(7);
    await merged.totals();
    threads[0]!.isStuck = true;
    const asked = merged.snapshot();
    merged.add(new FakeThread(0));
    end();
    collect(3);
    threads[0]!.isStuck = false;
    await vi.advanceTimersByTimeAsync(1000);
    for (const snapshot of [await asked, await merged.snapshot()]) {
      expect(snapshot.find(({ name }) => name === "sluice_x_total")?.values).toEqual([7]);
    }
  });

  it("is not asked any more; without threads nothing runs", async () => {
    const { merged, threads } = setUp(1);
    merged.retire(0);
    expect(vi.getTimerCount()).toBe(0);
    await vi.advanceTimersByTimeAsync(5000);
    expect(threads[0]!.asked).toBe(0);
  });
});

describe("a series that begins anew or ends in one thread", () => {
  /** Both threads have a count; gives what sets that of a thread, or ends it. */
  async function setUpCounts() {
    const all = setUp();
    const ends: (() => void)[] = [];
    const tell = (thread: number, value: number | undefined): void => {
      ends[thread]?.();
      const { metrics } = all.threads[thread]!;
      ends[thread] = metrics.collect("sluice_x_total", "X.", "counter", () =>
        value === undefined ? [] : [[{}, value]],
      );
    };
    const shown = async (): Promise<string[]> => all.lines("sluice_x_total ");
    tell(0, 10);
    tell(1, 5);
    expect(await shown()).toEqual(["sluice_x_total 15"]);
    return { ...all, tell, shown };
  }

  it("does not make the sum smaller", async () => {
    const { tell, shown } = await setUpCounts();
    tell(0, 1);
    expect(await shown()).toEqual(["sluice_x_total 16"]);
    tell(1, undefined);
    expect(await shown()).toEqual(["sluice_x_total 16"]);
    tell(1, 2);
    expect(await shown()).toEqual(["sluice_x_total 18"]);
  });

  it("is not counted twice when the thread goes on with it after a while", async () => {
    const { merged, tell, shown } = await setUpCounts();
    tell(0, undefined);
    expect(await shown()).toEqual(["sluice_x_total 15"]);
    await merged.totals();
    tell(0, 12);
    expect(await shown()).toEqual(["sluice_x_total 17"]);
    tell(0, undefined);
    await merged.totals();
    tell(0, 2);
    expect(await shown()).toEqual(["sluice_x_total 19"]);
    tell(0, undefined);
    expect(await shown()).toEqual(["sluice_x_total 19"]);
    merged.retire(0);
    expect(await shown()).toEqual(["sluice_x_total 19"]);
  });

  it("is forgotten when it has ended in all", async () => {
    const { tell, shown } = await setUpCounts();
    tell(0, undefined);
    expect(await shown()).toEqual(["sluice_x_total 15"]);
    tell(1, undefined);
    expect(await shown()).toEqual([]);
    tell(0, 3);
    expect(await shown()).toEqual(["sluice_x_total 3"]);
  });

  it("stays whole when a thread had died with it", async () => {
    const { merged, tell, shown } = await setUpCounts();
    merged.retire(0);
    tell(1, undefined);
    expect(await shown()).toEqual(["sluice_x_total 15"]);
  });
});

describe("counters", () => {
  /** What may happen to a thread between two looks. */
  const step = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ do: fc.constant("count" as const), thread: fc.nat(2), route: fc.nat(3) }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("look" as const), thread: fc.nat(2) }) },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constantFrom("stick" as const, "recover" as const, "replace" as const, "restart" as const),
        thread: fc.nat(2),
      }),
    },
  );

  it("never go backwards, and miss only what a thread counted since it was last heard of", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const merged = new MergedMetrics(new GatewayMetrics(), "control");
        const threads = [0, 1, 2].map((i) => new FakeThread(i));
        for (const each of threads) merged.add(each);
        /** Counts that begin anew, by thread. */
        const counts = [0, 0, 0];
        const tell = (i: number): unknown =>
          threads[i]!.metrics.collect("sluice_x_total", "X.", "counter", () => [[{}, counts[i]!]]);
        counts.forEach((_, i) => tell(i));
        let before = new Map<string, number>();
        const [counted, heard] = [
          [0, 0, 0],
          [0, 0, 0],
        ];
        let ended = 0;
        const look = async (): Promise<void> => {
          const asked = merged.snapshot();
          await vi.advanceTimersByTimeAsync(1000);
          const snapshot = await asked;
          const now = new Map<string, number>();
          for (const { name, series, values } of snapshot) {
            if (!/_total$|_seconds$/.test(name)) continue;
            const width = values.length / series.length;
            values.forEach((value, i) =>
              now.set(`${name} ${series[Math.floor(i / width)]} ${i % width}`, value),
            );
          }
          for (const [key, value] of before) expect(now.get(key)).toBeGreaterThanOrEqual(value);
          before = now;
          for (const i of [0, 1, 2]) if (!threads[i]!.isStuck) heard[i] = counted[i]!;
          const truth = heard.reduce((sum, n) => sum + n, ended);
          expect(totalsOf(snapshot).requests).toBe(truth);
        };
        for (const each of [...steps, { do: "look" as const, thread: 0 }]) {
          const i = each.thread;
          const thread = threads[i]!;
          if (each.do === "count") {
            if (thread.isStuck) continue;
            thread.metrics.route(String(each.route)).record("GET", 200, each.route);
            counted[i]!++;
            counts[i]!++;
          } else if (each.do === "stick") thread.isStuck = true;
          else if (each.do === "recover") thread.isStuck = false;
          else if (each.do === "restart") counts[i] = 0;
          else if (each.do === "replace") {
            ended += heard[i]!;
            threads[i] = new FakeThread(i);
            merged.add(threads[i]);
            counted[i] = heard[i] = counts[i] = 0;
            tell(i);
          } else await look();
        }
        merged.close();
      }),
      { numRuns: 200 },
    );
  });
});
