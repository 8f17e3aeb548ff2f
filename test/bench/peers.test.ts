import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type Chart, drawChart } from "../../bench/peers/chart.ts";
import { contenders } from "../../bench/peers/contenders/index.ts";
import { renderConfig } from "../../bench/peers/render.ts";
import { scenarios } from "../../bench/peers/scenarios/index.ts";

const PEERS = join(import.meta.dirname, "..", "..", "bench", "peers");

describe("renderConfig", () => {
  it("fills values in", () => {
    expect(renderConfig("listen @HOST@:@PORT@;", { HOST: "127.0.0.1", PORT: 80 })).toBe(
      "listen 127.0.0.1:80;",
    );
  });

  it("refuses a name without a value", () => {
    expect(() => renderConfig("listen @PORT@;", {})).toThrow("@PORT@ has no value");
  });

  it("leaves out lines of sections that are not in use, with their values", () => {
    const template = "a\n  #js| b @WHAT@\n# comment\n  #lua| c";
    expect(renderConfig(template, {}, ["lua"])).toBe("a\n# comment\n  c");
    expect(renderConfig(template, { WHAT: 1 }, ["js"])).toBe("a\n  b 1\n# comment");
  });
});

describe("drawChart", () => {
  const chart = (names: readonly string[]): Chart => ({
    title: "CPU time",
    subtitle: "less is better",
    unit: "µs",
    bars: names.map((name, i) => ({ name, value: 30 - i * 10, isOwn: i === 0 })),
  });

  it("has the shortest bar first, and the longest fill the width", () => {
    const svg = drawChart(chart(["ours", "second", "third"]));
    const widths = [...svg.matchAll(/<rect class="(\w+)"[^>]* width="([\d.]+)"/g)].map(([, kind, width]) => [
      kind,
      Number(width),
    ]);
    expect(widths.map(([kind]) => kind)).toEqual(["peer", "peer", "own"]);
    expect(widths[2]![1]).toBe(510);
    expect(Number(widths[0]![1])).toBeCloseTo(170);
  });

  it("escapes names, and tells the figures to those who cannot see it", () => {
    const svg = drawChart(chart(['<a & "b">']));
    expect(svg).not.toContain("<a &");
    expect(svg).toContain('aria-label="CPU time: &lt;a &amp; &quot;b&quot;&gt; 30.0 µs"');
  });

  it("is readable on dark pages", () => {
    expect(drawChart(chart(["x"]))).toContain("prefers-color-scheme: dark");
  });
});

describe("the line-up", () => {
  it("has names of its own, and Sluice to compare with, bare, with edits, with a script, with a limit and with a cache", () => {
    const names = contenders.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(contenders.filter(({ isOwn }) => isOwn).map(({ variant }) => variant)).toEqual([
      undefined,
      "configured",
      "script",
      "guarded",
      "cached",
    ]);
  });

  it("has all scenarios that there are files of", () => {
    const files = globSync("scenarios/*.ts", { cwd: PEERS }).filter((file) => !file.endsWith("index.ts"));
    expect(scenarios.map(({ name }) => `scenarios/${name}.ts`).toSorted()).toEqual(files.toSorted());
  });

  it("is installed from a lock file that names no host", () => {
    expect(readFileSync(join(PEERS, "package-lock.json"), "utf8")).not.toContain('"resolved"');
  });
});
