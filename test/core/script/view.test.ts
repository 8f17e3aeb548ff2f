import { expect, it } from "vitest";
import { CALL_BUCKETS_MS, ScriptStats } from "../../../core/script/script-stats.ts";
import { mergeScripts, type ScriptReading, showScript } from "../../../core/script/view.ts";
import { mergeCollections } from "../../../core/threads/merge-collections.ts";

const mergeAll = (...all: Record<string, ScriptReading>[]): Record<string, ScriptReading> =>
  mergeCollections(all, mergeScripts) as Record<string, ScriptReading>;

function reading(parts: Partial<ScriptReading> = {}, calls: readonly number[] = []): ScriptReading {
  const stats = new ScriptStats();
  for (const ms of calls) stats.countCall(ms);
  return {
    name: "greet",
    file: "plugins/greet.ts",
    version: "0123456789abcdef",
    routes: ["users"],
    state: "running",
    quarantine: undefined,
    calls: stats.calls,
    buckets: stats.buckets,
    errors: {},
    demotions: 0,
    cpuSeconds: 0,
    heapBytes: 0,
    lastError: undefined,
    ...parts,
  };
}

it("shows a script that nobody has called", () => {
  expect(showScript("greet", reading())).toEqual({
    id: "greet",
    name: "greet",
    file: "plugins/greet.ts",
    version: "0123456789ab",
    state: "running",
    quarantine: null,
    routes: ["users"],
    calls: 0,
    p50Ms: null,
    p99Ms: null,
    errors: {},
    lastError: null,
    demotions: 0,
    cpuSeconds: 0,
    heapBytes: 0,
  });
});

it("makes one of what threads tell: sums, the worst state, the last error", () => {
  const first = reading(
    {
      state: "quarantined",
      quarantine: { reason: "timeouts", leftMs: 12, isProbing: false },
      errors: { SCRIPT_TIMEOUT: 2, SCRIPT_THREW: 1 },
      demotions: 1,
      cpuSeconds: 0.25,
      heapBytes: 1000,
      lastError: { at: 2000, code: "SCRIPT_TIMEOUT", message: "later" },
    },
    [1],
  );
  const second = reading(
    {
      state: "demoted",
      routes: ["users", "orders"],
      errors: { SCRIPT_THREW: 4 },
      cpuSeconds: 0.5,
      heapBytes: 500,
      lastError: { at: 1000, code: "SCRIPT_THREW", message: "earlier" },
    },
    [1, 1],
  );
  const other = reading({ name: "other" });
  const merged = mergeAll({ greet: first }, { greet: second, other });
  expect(Object.keys(merged)).toEqual(["greet", "other"]);
  expect(mergeAll({ greet: second }, { greet: first })["greet"]).toMatchObject({
    state: "quarantined",
    lastError: { message: "later" },
  });
  expect(showScript("greet", merged["greet"]!)).toMatchObject({
    state: "quarantined",
    quarantine: { reason: "timeouts", leftMs: 12 },
    routes: ["users", "orders"],
    calls: 3,
    errors: { SCRIPT_TIMEOUT: 2, SCRIPT_THREW: 5 },
    lastError: { at: "1970-01-01T00:00:02.000Z", code: "SCRIPT_TIMEOUT", message: "later" },
    demotions: 1,
    cpuSeconds: 0.75,
    heapBytes: 1500,
  });
});

it("takes scripts of any name", () => {
  const merged = mergeAll({ constructor: reading({ name: "constructor" }) });
  expect(Object.keys(merged)).toEqual(["constructor"]);
  expect(showScript("constructor", merged["constructor"]!)).toMatchObject({ name: "constructor" });
});

it("tells what half of the calls and nearly all of them took, within their buckets", () => {
  const calls = [...Array<number>(98).fill(0.015), 40, 40];
  const shown = showScript("greet", reading({}, calls)) as { p50Ms: number; p99Ms: number };
  expect(shown.p50Ms).toBeGreaterThan(0.01);
  expect(shown.p50Ms).toBeLessThanOrEqual(0.02);
  expect(shown.p99Ms).toBeGreaterThan(20);
  expect(shown.p99Ms).toBeLessThanOrEqual(50);
  expect(showScript("greet", reading({}, [60_000]))).toMatchObject({ p50Ms: CALL_BUCKETS_MS.at(-1) });
});
