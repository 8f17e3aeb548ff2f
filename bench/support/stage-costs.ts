/**
 * What stages add to a request, as CPU time: one gateway has a route with each pipeline and one, `bare`, without, which
 * take turns under load. It answers by itself. Figures are medians over rounds.
 */
import { benchConfig, type SluiceServer, startSluice } from "./gateways.ts";
import { load, loadKind } from "./load.ts";
import { canPin } from "./process.ts";
import { printTable, round, type Verdict } from "./report.ts";
import { median } from "./stats.ts";

const CONNECTIONS = 64;
const WARM_UP_SECONDS = 3;
/** Rounds after which the gateway is started anew. */
const ROUNDS_OF_A_PROCESS = 5;

/** A pipeline to measure. One of them is called `bare`. */
export interface StageCase {
  readonly name: string;
  readonly pipeline: readonly object[];
  /** Most microseconds that it may add. */
  readonly limit?: number | undefined;
}

export interface StageCosts {
  readonly stages: readonly (Pick<StageCase, "name" | "limit"> & { cpuMicros: number; added: number })[];
  /** CPU time per request, in microseconds, by case and round. */
  readonly samples: Readonly<Record<string, readonly number[]>>;
}

/**
 * Measures, prints a table, and adds verdicts.
 * @param config of the gateway beside its routes
 * @param headers of each request
 */
export async function measureStages(
  cases: readonly StageCase[],
  config: object,
  { rounds, seconds }: { readonly rounds: number; readonly seconds: number },
  verdicts: Verdict[],
  headers: Readonly<Record<string, string>> = {},
): Promise<StageCosts> {
  console.log(
    `\nstages: ${rounds} rounds of ${seconds} s, ${CONNECTIONS} connections, ${canPin ? "pinned" : "NOT pinned"}; load: ${loadKind}\n`,
  );
  const whole = benchConfig({
    threads: 1,
    ...config,
    routes: cases.map(({ name, pipeline }) => ({
      name,
      match: { path: `/${name}/*` },
      pipeline: [...pipeline, { plugin: "respond", body: "x".repeat(766) }],
    })),
  });
  const samples = new Map<string, number[]>(cases.map(({ name }) => [name, []]));
  let failures = 0;
  /** CPU time per request of the gateway, in microseconds. */
  const measure = async ({ url, subject }: SluiceServer, name: string, time: number): Promise<number> => {
    const before = subject.cpuMicros();
    const result = await load(`${url}/${name}/17`, CONNECTIONS, time, 0, headers);
    failures += result.failures;
    return (subject.cpuMicros() - before) / result.requests;
  };
  let sluice: SluiceServer | undefined;
  try {
    for (let i = 0; i < rounds; i++) {
      if (i % ROUNDS_OF_A_PROCESS === 0) {
        await sluice?.stop();
        sluice = await startSluice(whole);
        for (const { name } of cases) await measure(sluice, name, WARM_UP_SECONDS);
      }
      for (let at = 0; at < cases.length; at++) {
        const { name } = cases[(i + at) % cases.length]!;
        samples.get(name)!.push(await measure(sluice!, name, seconds));
      }
    }
  } finally {
    await sluice?.stop();
  }
  const bare = samples.get("bare")!;
  const stages = cases.map(({ name, limit }) => ({
    name,
    limit,
    cpuMicros: round(median(samples.get(name)!), 2),
    added: round(median(samples.get(name)!.map((value, i) => value - bare[i]!)), 2),
  }));
  printTable(
    ["", "CPU µs/req", "added µs", "target"],
    stages.map(({ name, limit, cpuMicros, added }) => [
      name,
      cpuMicros.toFixed(2),
      added.toFixed(2),
      limit === undefined ? "" : `<= ${limit}`,
    ]),
  );
  for (const { name, limit, added } of stages) {
    if (limit !== undefined) verdicts.push({ what: `${name}, added`, value: added, limit, unit: " µs" });
  }
  verdicts.push({ what: "failed requests", value: failures, limit: 0 });
  return { stages, samples: Object.fromEntries(samples) };
}
