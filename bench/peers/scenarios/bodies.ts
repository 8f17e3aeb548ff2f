/** What bodies of 100 KB and 10 MB cost, down and up. */
import { megabytes, round } from "../../support/report.ts";
import { Field } from "../field.ts";
import { measure, type Sample, summarize } from "../measure.ts";
import type { Bench, Outcome, Scenario } from "../scenario.ts";
import { LARGE_BODIES } from "../upstream.ts";

/** Rounds, when more are asked for: there are four cases. */
const MOST_ROUNDS = 5;

/** Few connections for large bodies: what is under way when a round ends has cost CPU time and is not counted. */
const SIZES = [
  { size: "100 KB", connections: 16 },
  { size: "10 MB", connections: 2 },
] as const;

const CASES = SIZES.flatMap(({ size, connections }) => {
  const bytes = LARGE_BODIES[size];
  return [
    { name: `${size} down`, bytes, connections, path: `/bytes/${bytes}`, uploadBytes: 0 },
    { name: `${size} up`, bytes, connections, path: "/upload", uploadBytes: bytes },
  ];
});

async function run(bench: Bench): Promise<Outcome> {
  const contenders = bench.contenders.filter(({ variant }) => !variant);
  const samples = new Map<string, Sample[]>();
  const rounds = Math.min(bench.rounds, MOST_ROUNDS);
  const field = await Field.start(contenders, { upstream: bench.upstream.url });
  try {
    // The first turn warms up.
    for (let turn = 0; turn <= rounds; turn++) {
      for (const { name, bytes: _bytes, ...load } of CASES) {
        await field.takeTurns(turn, async ({ contender, server }) => {
          const sample = await measure(server, { ...load, seconds: 1 });
          const key = `${contender.name}: ${name}`;
          if (turn > 0) samples.set(key, [...(samples.get(key) ?? []), sample]);
        });
      }
    }
  } finally {
    await field.stop();
  }
  const figures = contenders
    .filter(({ name }) => !field.failed.has(name))
    .map(({ name, isOwn }) => ({
      name,
      isOwn: isOwn === true,
      cases: CASES.map((each) => {
        const { cpuMicros, perSecond, rss, failures } = summarize(samples.get(`${name}: ${each.name}`)!);
        const mbPerSecond = round((perSecond * each.bytes) / 2 ** 20, 0);
        return { name: each.name, cpuMicros, mbPerSecond, rss, failures };
      }),
    }));
  const failures = (own: boolean): number =>
    figures
      .filter(({ isOwn }) => isOwn === own)
      .flatMap(({ cases }) => cases)
      .reduce((sum, each) => sum + each.failures, 0);
  return {
    title: "large bodies: CPU ms a body, and MB/s",
    head: ["", ...CASES.map(({ name }) => name), "RSS at the end"],
    rows: figures.map(({ name, cases }) => [
      name,
      ...cases.map((each) => `${(each.cpuMicros / 1000).toFixed(2)} (${each.mbPerSecond})`),
      megabytes(cases.at(-1)!.rss),
    ]),
    notes: [`Failed requests of peers: ${failures(false)}.`],
    verdicts: figures.some(({ isOwn }) => isOwn)
      ? [{ what: "large bodies: failed requests of Sluice", value: failures(true), limit: 0 }]
      : [],
    failed: field.failed,
    figures: { contenders: figures, samples: Object.fromEntries(samples) },
  };
}

export const bodies: Scenario = { name: "bodies", run };
