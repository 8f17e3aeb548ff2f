import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OutlierRecord } from "../../../../core/upstream/health/outlier-record.ts";
import { countedMs, OutlierDetector } from "../../../../core/upstream/health/passive.ts";
import { passiveHealth, targetStates } from "./health-options.ts";

const options = fc.record({
  failures: fc.integer({ min: 0, max: 4 }),
  rate: fc.option(fc.integer({ min: 1, max: 100 }), { nil: undefined }),
  minRequests: fc.integer({ min: 1, max: 6 }),
  ejectFor: fc.integer({ min: 1, max: 50 }),
  maxEjectFor: fc.integer({ min: 50, max: 300 }),
  maxEjected: fc.integer({ min: 0, max: 100 }),
});

type Step = { target: number; what: "fail" | "break" | "pass" | "leave" | "ill" | "well" } | { ms: number };

const target = fc.integer({ min: 0, max: 5 });
const steps = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ target, what: fc.constantFrom("fail", "break", "pass", "leave") }),
    },
    { weight: 1, arbitrary: fc.record({ target, what: fc.constantFrom("ill", "well") }) },
    { weight: 2, arbitrary: fc.record({ ms: fc.integer({ min: 1, max: 150 }) }) },
  ),
  { minLength: 1, maxLength: 200 },
) as fc.Arbitrary<Step[]>;

const WITHIN = 100;

/** What an observer from outside knows of a target. */
interface Known {
  /** What ended since it was last ejected: when, and whether it failed. */
  ended: { at: number; failed: boolean }[];
  ejections: number;
  lastMs: number;
  lastEnd: number;
}

describe("passive health, whatever happens", () => {
  it("ejects for enough failures only, then always, never too many, and for a bounded time", () => {
    fc.assert(
      fc.property(options, fc.integer({ min: 1, max: 6 }), steps, (chosen, count, all) => {
        const { failures, rate, minRequests, ejectFor, maxEjectFor, maxEjected } = chosen;
        fc.pre(failures > 0 || rate !== undefined);
        const { states, clock } = targetStates();
        const passive = passiveHealth({
          failures,
          within: `${WITHIN}ms`,
          ...(rate === undefined ? {} : { errorRate: `${rate}%` }),
          minRequests,
          ejectFor: `${ejectFor}ms`,
          maxEjectFor: `${maxEjectFor}ms`,
          maxEjected: `${maxEjected}%`,
        });
        const detector = new OutlierDetector(passive, clock, states.shared);
        const targets = Array.from({ length: count }, (_, i) => states.acquire(`http://t${i}`));
        for (const state of targets) {
          state.outlier = new OutlierRecord(OutlierRecord.create(failures, countedMs(passive), 1), 0);
        }
        detector.setTargets(targets);
        const known = targets.map((): Known => ({ ended: [], ejections: 0, lastMs: 0, lastEnd: -Infinity }));
        const ejected = () => targets.filter(({ ejectedUntil }) => ejectedUntil > clock.time);
        for (const step of all) {
          if ("ms" in step) {
            clock.advance(step.ms);
            continue;
          }
          const i = step.target % count;
          const state = targets[i]!;
          const of = known[i]!;
          const before = ejected();
          const wasOut = before.includes(state);
          const failed = step.what === "fail" || step.what === "break";
          if (step.what === "ill" || step.what === "well") state.setHealthy(step.what === "well");
          else {
            const status = { fail: 503, break: 200, pass: 200, leave: 0 }[step.what];
            detector.observe(state, status, step.what === "break" ? "UPSTREAM_RESET" : undefined);
            if (!wasOut && step.what !== "leave") of.ended.push({ at: clock.time, failed });
          }
          const recent = of.ended.filter(({ at }) => at >= clock.time - WITHIN);
          const inRow = of.ended.length - 1 - of.ended.findLastIndex((each) => !each.failed);
          const isStreak =
            failed && failures > 0 && inRow >= failures && of.ended.at(-failures)!.at >= clock.time - WITHIN;
          const most = Math.floor((maxEjected * count) / 100);
          const isRoom =
            before.length < most &&
            targets.some((each) => each !== state && !before.includes(each) && each.healthy !== false);

          expect(ejected().length).toBeLessThanOrEqual(Math.min(most, count - 1));
          const isNew = !wasOut && ejected().includes(state);
          if (!wasOut && isStreak && isRoom) expect(isNew).toBe(true);
          if (!isNew) continue;
          expect(isRoom).toBe(true);
          expect(failed).toBe(true);
          if (!isStreak) {
            const share = recent.filter((each) => each.failed).length;
            expect(recent.length).toBeGreaterThanOrEqual(minRequests);
            expect(share).toBeGreaterThanOrEqual((minRequests * (rate ?? 101)) / 100);
          }
          const ms = state.ejectedUntil - clock.time;
          expect(ms).toBeGreaterThanOrEqual(ejectFor);
          expect(ms).toBeLessThanOrEqual(maxEjectFor);
          if (of.lastMs === 0) expect(ms).toBe(ejectFor);
          else if (clock.time - of.lastEnd < of.lastMs) {
            expect(ms).toBe(Math.min(2 * of.lastMs, maxEjectFor));
          } else expect(ms).toBeLessThanOrEqual(of.lastMs);
          Object.assign(of, { ended: [], lastMs: ms, lastEnd: state.ejectedUntil });
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe("counts of the last while", () => {
  it("hold all of nine tenths of it, and nothing that is older", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ ms: fc.integer({ min: 0, max: 60 }), failed: fc.boolean() }), {
          maxLength: 100,
        }),
        fc.integer({ min: 0, max: 1e6 }),
        (events, start) => {
          const counts = new OutlierRecord(OutlierRecord.create(1, WITHIN, 1), 0);
          let now = start;
          const seen: { at: number; failed: boolean }[] = [];
          for (const { ms, failed } of events) {
            now += ms;
            counts.count(now, failed ? 1 : 0);
            seen.push({ at: now, failed });
            const since = (age: number) => seen.filter(({ at }) => at > now - age);
            expect(counts.requests(now)).toBeGreaterThanOrEqual(since(WITHIN * 0.9).length);
            expect(counts.requests(now)).toBeLessThanOrEqual(since(WITHIN).length);
            const failures = (age: number) => since(age).filter((each) => each.failed).length;
            expect(counts.failures(now)).toBeGreaterThanOrEqual(failures(WITHIN * 0.9));
            expect(counts.failures(now)).toBeLessThanOrEqual(failures(WITHIN));
          }
        },
      ),
    );
  });
});
