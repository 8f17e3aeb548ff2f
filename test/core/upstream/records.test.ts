/** Records of targets in the hands of two real threads at once. */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { OutlierRecord } from "../../../core/upstream/health/outlier-record.ts";
import { createTargetRecord, DOUBLE, REASONS, WORD } from "../../../core/upstream/target-record.ts";
import { targetStates } from "./health/health-options.ts";
import type { HammerData, HammerResult } from "./hammer-worker.ts";

/** Has two threads do the same to so many targets at once. */
async function hammer(
  what: HammerData["what"],
  rounds: number,
  targets: number,
  failures = 3,
  withinMs?: number,
) {
  const { states } = targetStates(2);
  const known = Array.from({ length: targets }, (_, i) => states.acquire(`http://t${i}`));
  const outliers = known.map(() => OutlierRecord.create(failures, withinMs, 2));
  const common = {
    what,
    rounds,
    shared: states.shared.memory,
    records: known.map(({ memory }) => memory),
    outliers,
    gate: new SharedArrayBuffer(4),
  };
  const results = await Promise.all(
    [0, 1].map(async (thread) => {
      const workerData: HammerData = { ...common, thread };
      const worker = new Worker(new URL("./hammer-worker.ts", import.meta.url), { workerData });
      const [result] = (await once(worker, "message")) as [HammerResult];
      await worker.terminate();
      return result;
    }),
  );
  const records = outliers.map((memory) => new OutlierRecord(memory, 0));
  return { states, known, records, results };
}

describe("the record of a target", () => {
  it("has room for each of its parts, and no two share any", () => {
    const threads = 3;
    const several: Record<string, number> = {
      ejections: REASONS.length,
      refusals: REASONS.length,
      lanes: threads,
    };
    const parts = [
      ...Object.entries(WORD).map(([name, at]) => [4 * at, 4 * (at + (several[name] ?? 1))]),
      ...Object.values(DOUBLE).map((at) => [8 * at, 8 * (at + 1)]),
    ].sort(([a], [b]) => a! - b!);
    for (const [i, [start]] of parts.entries())
      if (i > 0) expect(start).toBeGreaterThanOrEqual(parts[i - 1]![1]!);
    expect(createTargetRecord(0, threads).byteLength).toBeGreaterThanOrEqual(parts.at(-1)![1]!);
  });
});

describe("two threads at once", () => {
  it("lose no request under way", async () => {
    const { states, known } = await hammer("requests", 2_000_000, 2);
    expect(known.map(({ inFlight }) => inFlight)).toEqual([400_000, 400_000]);
    expect(states.shared.inFlight).toBe(800_000);
    states.forgetThread(0);
    expect([known[0]!.inFlight, known[1]!.inFlight, states.shared.inFlight]).toEqual([
      200_000, 200_000, 400_000,
    ]);
    states.forgetThread(1);
    expect([known[0]!.inFlight, known[1]!.inFlight, states.shared.inFlight]).toEqual([0, 0, 0]);
  });

  it("lose no count of a rate", async () => {
    const { records } = await hammer("counts", 2_000_000, 1, 0, 10_000);
    expect([records[0]!.requests(1_000_000), records[0]!.failures(1_000_000)]).toEqual([
      4_000_000, 1_000_000,
    ]);
  });

  it("lose no failure in a row", async () => {
    const [failures, rounds] = [997, 3_000_000];
    const { records } = await hammer("failures", rounds, 1, failures);
    // From as many as are asked for on it counts in turns.
    expect(records[0]!.streak).toBe(failures + ((2 * rounds) % failures));
  });

  it("never eject too many, nor one that is out already, and count each ejection once", async () => {
    const { known, results } = await hammer("ejections", 300_000, 5);
    const told = results.flatMap(({ ejections }) => ejections);
    expect(told.length).toBeGreaterThan(0);
    expect(Math.max(...results.map(({ most }) => most))).toBeLessThanOrEqual(2);
    for (const [target, state] of known.entries()) {
      const ends = told.flatMap(([of, until]) => (of === target ? [until] : [])).sort((a, b) => a - b);
      const counted = state.ejectionCounts("ejections").map(([, count]) => count);
      expect(counted).toEqual(ends.length === 0 ? [] : [ends.length]);
      const between = ends.slice(1).map((until, i) => until - ends[i]!);
      expect(Math.min(10, ...between)).toBeGreaterThan(8); // each lasts ten milliseconds
    }
  });
});
