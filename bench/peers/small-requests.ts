/** Small requests: 64 keep-alive connections, replies of 766 bytes. Scenarios choose who takes part and what is wanted. */
import { megabytes, round, type Verdict } from "../support/report.ts";
import type { Contender } from "./contender.ts";
import { Field } from "./field.ts";
import { measure, ratioOf, type Sample, summarize } from "./measure.ts";
import type { Bench, Outcome } from "./scenario.ts";

const CONNECTIONS = 64;
const PATH = "/users/17?verbose=1";
/** Rounds after which all are started anew: two runs of one program are not compiled the same. */
const ROUNDS_OF_A_PROCESS = 3;
/** Until V8 has compiled what is hot: after 3 s the first rounds of the slower ones were up to twice their last. */
const WARM_UP_SECONDS = 6;

/** Largest CPU time of Sluice per request, in that of a contender, by its name. */
export type Limits = Readonly<Record<string, number>>;

async function collect(
  bench: Bench,
  path: string,
): Promise<{ samples: Map<string, Sample[]>; failed: Map<string, string> }> {
  const load = { path, connections: CONNECTIONS };
  const samples = new Map<string, Sample[]>();
  const failed = new Map<string, string>();
  for (let i = 0; i < bench.rounds; i += ROUNDS_OF_A_PROCESS) {
    const field = await Field.start(bench.contenders, { upstream: bench.upstream.url }, failed);
    try {
      await field.takeTurns(0, async ({ server }) => {
        await measure(server, { ...load, seconds: WARM_UP_SECONDS });
      });
      for (let turn = i; turn < Math.min(bench.rounds, i + ROUNDS_OF_A_PROCESS); turn++) {
        await field.takeTurns(turn, async ({ contender: { name }, server }) => {
          const sample = await measure(server, { ...load, seconds: bench.seconds });
          samples.set(name, [...(samples.get(name) ?? []), sample]);
        });
      }
    } finally {
      await field.stop();
    }
  }
  return { samples, failed };
}

function describe(
  contender: Contender,
  all: ReadonlyMap<string, Sample[]>,
  contenders: readonly Contender[],
) {
  const own = contenders.find((other) => other.isOwn && other.variant === contender.variant);
  const samples = all.get(contender.name)!;
  const ownSamples = own && all.get(own.name);
  return {
    name: contender.name,
    isOwn: contender.isOwn === true,
    variant: contender.variant,
    ...summarize(samples),
    /** CPU time of Sluice in that of this contender. */
    ratio: ownSamples && !contender.isOwn ? round(ratioOf(ownSamples, samples)) : undefined,
  };
}

function judge(
  figures: readonly ReturnType<typeof describe>[],
  limits: Limits,
): { verdicts: Verdict[]; open: string[] } {
  const verdicts: Verdict[] = [];
  const open: string[] = [];
  for (const [name, limit] of Object.entries(limits)) {
    const ratio = figures.find((each) => each.name === name)?.ratio;
    if (ratio === undefined) open.push(`CPU time, Sluice / ${name} (target: at most ${limit})`);
    else verdicts.push({ what: `CPU time, Sluice / ${name}`, value: ratio, limit });
  }
  for (const { name, isOwn, failures } of figures)
    if (isOwn) verdicts.push({ what: `failed requests of ${name}`, value: failures, limit: 0 });
  return { verdicts, open };
}

/** Measures all contenders of `bench`. */
export async function measureSmall(
  bench: Bench,
  what: string,
  limits: Limits,
  path = PATH,
): Promise<Outcome> {
  const { samples, failed } = await collect(bench, path);
  const measured = bench.contenders.filter(({ name }) => samples.has(name));
  const figures = measured.map((contender) => describe(contender, samples, measured));
  return {
    title: `${what}: a reply of 766 bytes, ${CONNECTIONS} connections`,
    head: ["", "CPU µs/req", "Sluice / it", "req/s", "p50 ms", "p99 ms", "RSS", "PSS", "failed"],
    rows: figures.map((each) => [
      each.name,
      each.cpuMicros.toFixed(1),
      each.ratio === undefined ? "" : each.ratio.toFixed(2),
      each.perSecond.toFixed(0),
      each.p50Ms.toFixed(2),
      each.p99Ms.toFixed(2),
      megabytes(each.rss),
      megabytes(each.pss),
      String(each.failures),
    ]),
    notes: [
      "CPU time is that of all processes and threads of a contender. Requests per second and latencies are what 64",
      "connections without a pause get while load and upstream share the other core: the quickest wait for those.",
    ],
    ...judge(figures, limits),
    failed,
    figures: { contenders: figures, samples: Object.fromEntries(samples) },
    bars: figures.map(({ name, cpuMicros, isOwn }) => ({ name, value: cpuMicros, isOwn })),
  };
}
