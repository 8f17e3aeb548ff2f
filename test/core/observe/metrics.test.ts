import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GatewayMetrics } from "../../../core/observe/metrics.ts";
import { DurationStats, RouteStats } from "../../../core/observe/request-stats.ts";
import { totalsOf } from "../../../core/observe/snapshot.ts";

const BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** Samples whose line begins so. */
async function samples(metrics: GatewayMetrics, start: string): Promise<string[]> {
  return (await metrics.render()).text.split("\n").filter((line) => line.startsWith(start));
}

describe("durations", () => {
  it("are counted in the bucket of the least bound that is not below", () => {
    for (const [i, bound] of BOUNDS.entries()) {
      const stats = new DurationStats();
      stats.observe(bound * 1000);
      stats.observe(bound * 1000 + 0.01);
      expect([...stats.counts]).toEqual(BOUNDS.concat(0).map((_, j) => (j === i || j === i + 1 ? 1 : 0)));
    }
  });

  it("have a sum in seconds and a count", () => {
    const stats = new DurationStats();
    for (const ms of [0, 1500, 40_000]) stats.observe(ms);
    expect([stats.count, stats.sum]).toEqual([3, 41.5]);
    expect(stats.counts.at(-1)).toBe(1);
  });

  it("are told as Prometheus wants them: cumulative, the last bucket being the count", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.double({ min: 0, max: 60_000, noNaN: true }), { maxLength: 30 }),
        async (all) => {
          const metrics = new GatewayMetrics();
          for (const ms of all) metrics.upstream("u").observe(ms);
          const lines = await samples(metrics, "sluice_upstream_request_duration_seconds_bucket");
          if (all.length === 0) return;
          const below = (bound: number): number => all.filter((ms) => ms / 1000 <= bound).length;
          expect(lines).toEqual([
            ...BOUNDS.map(
              (le) => `sluice_upstream_request_duration_seconds_bucket{upstream="u",le="${le}"} ${below(le)}`,
            ),
            `sluice_upstream_request_duration_seconds_bucket{upstream="u",le="+Inf"} ${all.length}`,
          ]);
          const [count] = await samples(metrics, "sluice_upstream_request_duration_seconds_count");
          expect(count).toMatch(new RegExp(` ${all.length}$`));
        },
      ),
      { numRuns: 20 },
    );
  });
});

describe("requests of a route", () => {
  it("are counted by method and status; methods that clients make up are one", async () => {
    const metrics = new GatewayMetrics();
    const stats = metrics.route("all");
    expect(metrics.route("all")).toBe(stats);
    for (const [method, status] of [
      ["GET", 200],
      ["GET", 200],
      ["PUT", 404],
      ["BREW", 200],
      ["get", 200],
    ] as const) {
      stats.record(method, status, 5);
    }
    expect(await samples(metrics, "sluice_http_requests_total{")).toEqual([
      'sluice_http_requests_total{route="all",method="GET",status="200"} 2',
      'sluice_http_requests_total{route="all",method="PUT",status="404"} 1',
      'sluice_http_requests_total{route="all",method="OTHER",status="200"} 2',
    ]);
    expect(await samples(metrics, "sluice_http_request_duration_seconds_count")).toEqual([
      'sluice_http_request_duration_seconds_count{route="all"} 5',
    ]);
    expect(
      await samples(metrics, 'sluice_http_request_duration_seconds_bucket{route="all",le="0.005"'),
    ).toHaveLength(1);
  });

  it("are of bounded cardinality, whatever clients send", () => {
    const stats = new RouteStats();
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 100, max: 999 }), (method, status) => {
        stats.record(method, status, 1);
      }),
      { numRuns: 500 },
    );
    expect(new Set([...stats.requests.keys()].map((key) => Math.floor(key / 1000))).size).toBeLessThanOrEqual(
      8,
    );
  });

  it("are summed up for people", async () => {
    const metrics = new GatewayMetrics();
    metrics.route("a").record("GET", 200, 1);
    metrics.route("b").record("PUT", 200, 1);
    metrics.route("b").record("PUT", 502, 1);
    metrics.countError("UPSTREAM_RESET");
    metrics.countError("UPSTREAM_RESET");
    metrics.active = 2;
    expect(totalsOf(await metrics.snapshot())).toEqual({
      activeRequests: 2,
      requests: 3,
      byStatus: { 200: 2, 502: 1 },
      errors: { UPSTREAM_RESET: 2 },
    });
  });
});

describe("the gateway's own metrics", () => {
  it("tell of requests under way, errors, generations and reloads", async () => {
    const metrics = new GatewayMetrics();
    metrics.active = 3;
    metrics.generation = 7;
    metrics.reloadedAt = 1700;
    metrics.countError("HOST_INVALID");
    metrics.countReload("success");
    metrics.countReload("success");
    metrics.countReload("failure");
    const { text, contentType } = await metrics.render();
    expect(contentType).toMatch(/^text\/plain; version=0\.0\.4/);
    for (const line of [
      "sluice_active_requests 3",
      "sluice_config_generation 7",
      "sluice_config_last_success_timestamp_seconds 1700",
      'sluice_errors_total{code="HOST_INVALID"} 1',
      'sluice_config_reloads_total{result="success"} 2',
      'sluice_config_reloads_total{result="failure"} 1',
    ]) {
      expect(text).toContain(`\n${line}\n`);
    }
  });

  it("have a help and a type each", async () => {
    const { text } = await new GatewayMetrics().render();
    const types = [...text.matchAll(/^# TYPE (sluice_\S+) (\S+)$/gm)].map(
      ([, name, type]) => `${name} ${type}`,
    );
    expect(types).toEqual([
      "sluice_http_requests_total counter",
      "sluice_http_request_duration_seconds histogram",
      "sluice_upstream_request_duration_seconds histogram",
      "sluice_store_duration_seconds histogram",
      "sluice_store_calls_total counter",
      "sluice_active_requests gauge",
      "sluice_errors_total counter",
      "sluice_config_generation gauge",
      "sluice_config_last_success_timestamp_seconds gauge",
      "sluice_config_reloads_total counter",
    ]);
    for (const type of types) expect(text).toMatch(new RegExp(`^# HELP ${type.split(" ")[0]} \\S`, "m"));
  });

  it("are apart for two gateways in one process", async () => {
    const [a, b] = [new GatewayMetrics(), new GatewayMetrics()];
    a.active = 1;
    expect(await samples(b, "sluice_active_requests")).toEqual(["sluice_active_requests 0"]);
  });
});

describe("metrics of plugins", () => {
  it("are counted, set and observed with their labels", async () => {
    const metrics = new GatewayMetrics();
    const counter = metrics.counter("sluice_x_total", "X.", ["route"]);
    counter.inc({ route: "a" });
    counter.inc({ route: "a" }, 4);
    metrics.counter("sluice_plain_total", "Plain.").inc();
    const gauge = metrics.gauge("sluice_y", "Y.", ["route"]);
    gauge.set(5, { route: "a" });
    gauge.set(3, { route: "a" });
    metrics.gauge("sluice_z", "Z.").set(1);
    metrics.histogram("sluice_h_seconds", "H.", ["route"], [1, 2]).observe(1.5, { route: "a" });
    metrics.histogram("sluice_d_seconds", "D.").observe(0.002);
    expect(await samples(metrics, "sluice_x_total")).toEqual(['sluice_x_total{route="a"} 5']);
    expect(await samples(metrics, "sluice_plain_total")).toEqual(["sluice_plain_total 1"]);
    expect(await samples(metrics, "sluice_y")).toEqual(['sluice_y{route="a"} 3']);
    expect(await samples(metrics, "sluice_z")).toEqual(["sluice_z 1"]);
    expect(await samples(metrics, "sluice_h_seconds_bucket")).toEqual([
      'sluice_h_seconds_bucket{route="a",le="1"} 0',
      'sluice_h_seconds_bucket{route="a",le="2"} 1',
      'sluice_h_seconds_bucket{route="a",le="+Inf"} 1',
    ]);
    expect(await samples(metrics, "sluice_d_seconds_bucket")).toHaveLength(BOUNDS.length + 1);
  });

  it("are the same when asked for again, as by the next generation", async () => {
    const metrics = new GatewayMetrics();
    for (let i = 0; i < 3; i++) {
      metrics.counter("sluice_x_total", "X.").inc();
      metrics.gauge("sluice_y", "Y.").set(i);
      metrics.histogram("sluice_h_seconds", "H.").observe(1);
    }
    expect(await samples(metrics, "sluice_x_total")).toEqual(["sluice_x_total 3"]);
    expect(await samples(metrics, "sluice_y")).toEqual(["sluice_y 2"]);
    expect(await samples(metrics, "sluice_h_seconds_count")).toEqual(["sluice_h_seconds_count 3"]);
  });

  it("cannot have the name of one of the gateway's own, nor of another kind", () => {
    const metrics = new GatewayMetrics();
    expect(() => metrics.counter("sluice_active_requests", "Mine.")).toThrow("sluice_active_requests");
    metrics.counter("sluice_x_total", "X.");
    expect(() => metrics.gauge("sluice_x_total", "X.")).toThrow("sluice_x_total");
  });
});

describe("metrics that are asked for when somebody reads", () => {
  const collect = (metrics: GatewayMetrics, source: Parameters<GatewayMetrics["collect"]>[3]) =>
    metrics.collect("sluice_test_total", "A test.", "counter", source);

  it("have the values of that moment, with their type", async () => {
    const metrics = new GatewayMetrics();
    let count = 1;
    collect(metrics, () => [[{ a: "b" }, count]]);
    count = 7;
    expect((await metrics.render()).text).toContain(
      '# HELP sluice_test_total A test.\n# TYPE sluice_test_total counter\nsluice_test_total{a="b"} 7\n',
    );
    metrics.collect("sluice_test", "A gauge.", "gauge", () => [[{}, 2]]);
    expect(await samples(metrics, "sluice_test ")).toEqual(["sluice_test 2"]);
  });

  it("may have several sources; of two that tell of the same the later counts", async () => {
    const metrics = new GatewayMetrics();
    const endFirst = collect(metrics, () => [
      [{ a: "1" }, 1],
      [{ a: "2" }, 2],
    ]);
    const endSecond = collect(metrics, function* () {
      yield [{ a: "2" }, 20];
      yield [{ a: "3" }, 30];
    });
    const lines = () => samples(metrics, "sluice_test_total");
    const [one, three] = ['sluice_test_total{a="1"} 1', 'sluice_test_total{a="3"} 30'];
    expect(await lines()).toEqual([one, 'sluice_test_total{a="2"} 20', three]);
    endSecond();
    endSecond();
    expect(await lines()).toEqual([one, 'sluice_test_total{a="2"} 2']);
    endFirst();
    expect(await lines()).toEqual([]);
    collect(metrics, () => [[{ a: "4" }, 4]]);
    expect(await lines()).toEqual(['sluice_test_total{a="4"} 4']);
  });
});
