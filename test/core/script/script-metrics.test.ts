import { describe, expect, it } from "vitest";
import { GatewayMetrics } from "../../../core/observe/metrics.ts";
import { ScriptMetrics } from "../../../core/script/script-metrics.ts";
import { FakeHost } from "../../support/harness.ts";
import { openFunction } from "../../support/scripts.ts";

/** The samples of a script's metrics in the Prometheus format. */
async function samplesOf(metrics: GatewayMetrics): Promise<string[]> {
  const { text } = await metrics.render();
  return text.split("\n").filter((line) => line.startsWith("sluice_script_"));
}

/** Counts by a name, with labels. */
const count = (own: ScriptMetrics, metrics: GatewayMetrics, labels: unknown, name = "n"): void =>
  own.tell(metrics, "counter", name, 1, labels);

describe("metrics of a script", () => {
  it("are counted, set and observed under the script's name", async () => {
    const host = new FakeHost();
    const metrics = (host.metrics = new GatewayMetrics());
    await using tell = await openFunction(
      `({ metrics }) => {
        metrics.counter("hits").inc();
        metrics.counter("hits").inc({}, 2.5);
        metrics.gauge("size").set(-3, { of: "a" });
        metrics.histogram("took").observe(0.02);
        return true;
      }`,
      { name: "geo-block.v2", host },
    );
    expect(await tell()).toBe(true);
    const samples = await samplesOf(metrics);
    expect(samples).toContain("sluice_script_geo_block_v2_hits 3.5");
    expect(samples).toContain('sluice_script_geo_block_v2_size{of="a"} -3');
    expect(samples).toContain('sluice_script_geo_block_v2_took_bucket{le="0.025"} 1');
    expect(samples).toContain('sluice_script_geo_block_v2_took_bucket{le="0.01"} 0');
  });

  it("are 20 at most", () => {
    const [own, metrics] = [new ScriptMetrics("a"), new GatewayMetrics()];
    for (let i = 0; i < 20; i++) count(own, metrics, {}, `n${i}`);
    expect(() => count(own, metrics, {}, "n20")).toThrow("A script can have 20 metrics");
    count(own, metrics, {}, "n19");
  });

  it("have 100 sets of labels at most, and count what is beyond under `other`", async () => {
    const [own, metrics] = [new ScriptMetrics("a"), new GatewayMetrics()];
    for (let i = 0; i < 150; i++) count(own, metrics, { x: "same", y: String(i) });
    count(own, metrics, { y: "99", x: "same" });
    const samples = await samplesOf(metrics);
    expect(samples).toHaveLength(101);
    expect(samples).toContain('sluice_script_a_n{x="same",y="99"} 2');
    expect(samples).toContain('sluice_script_a_n{x="other",y="other"} 50');
  });

  it("have label values of 100 characters at most", async () => {
    const [own, metrics] = [new ScriptMetrics("a"), new GatewayMetrics()];
    count(own, metrics, { x: "v".repeat(101) });
    expect(await samplesOf(metrics)).toEqual([`sluice_script_a_n{x="${"v".repeat(100)}"} 1`]);
  });

  it("stay what they were at their first use, over reloads of the script too", async () => {
    const host = new FakeHost();
    host.metrics = new GatewayMetrics();
    await using first = await openFunction('(ctx) => ctx.metrics.counter("n").inc({ a: "1", b: "2" })', {
      host,
    });
    await first();
    for (const [call, message] of [
      ['gauge("n").set(1, { a: "1", b: "2" })', "The metric n is a counter since its first use"],
      ['counter("n").inc({ a: "1" })', "The metric n has the labels a, b since its first use"],
      ['counter("n").inc({ a: "1", c: "2" })', "The metric n has the labels a, b since its first use"],
    ]) {
      await using next = await openFunction(`(ctx) => ctx.metrics.${call}`, { host });
      await expect(next()).rejects.toThrow(message);
    }
  });

  it("never take the place of a metric of the gateway", () => {
    const [own, metrics] = [new ScriptMetrics("calls"), new GatewayMetrics()];
    metrics.collect("sluice_script_calls_total", "Calls.", "counter", () => []);
    expect(() => count(own, metrics, {}, "total")).toThrow(
      "There is a metric sluice_script_calls_total already",
    );
  });

  it.each([
    ['counter("a b").inc()', '"a b" is not a name of a metric'],
    ['counter("1a").inc()', '"1a" is not a name of a metric'],
    ['counter("a".repeat(101)).inc()', "is not a name of a metric"],
    ['counter("a").inc({}, -1)', 'The counter "a" only goes up'],
    ['counter("a").inc({}, NaN)', 'The metric "a" takes a finite number'],
    ['gauge("a").set(Infinity)', 'The metric "a" takes a finite number'],
    ['gauge("a").set("many")', 'The metric "a" takes a finite number'],
    ['gauge("a").set(1, { "b-c": "d" })', '"b-c" is not a name of a label'],
    ['histogram("a").observe(1, { le: "5" })', '"le" is not a name of a label'],
    ['counter("a").inc({ ["__proto__"]: "x" })', '"__proto__" is not a name of a label'],
    [
      'counter("a").inc(Object.fromEntries(Array.from({ length: 11 }, (_, i) => ["l" + i, ""])))',
      "A metric can have 10",
    ],
  ])("refuse %s", async (call, message) => {
    await using refused = await openFunction(`(ctx) => ctx.metrics.${call}`);
    await expect(refused()).rejects.toThrow(message);
  });

  it("refuse labels that take long to look at", async () => {
    await using count = await openFunction(
      `({ metrics }) => metrics.counter("n").inc(Object.fromEntries(Array.from({ length: 1e4 }, (_, i) => ["k" + i, "v"])))`,
    );
    await expect(count()).rejects.toThrow("The labels of a metric are too large");
  });
});
