/**
 * What clients see when targets fail: three targets under steady load; one is killed, one made slow, the slow one
 * gets well, the killed one comes back. Measured after each event: the share of requests that failed, and how long
 * until things are steady again, which is the first second from when on no request failed, latency (p99) is at most
 * three times what it was before anything happened, and each target that is well has its share.
 *
 * `--rounds` is how often the whole is done; `--seconds` is the time after each event.
 */
import { benchConfig, startSluice } from "./support/gateways.ts";
import { Connection } from "./support/keep-alive.ts";
import { canPin, freePort, LOAD_CORE, pinSelf, Subject } from "./support/process.ts";
import { conclude, printTable, readOptions, round, type Verdict } from "./support/report.ts";
import { median, quantile } from "./support/stats.ts";

const CONNECTIONS = 48;
/** Pause of a connection between a reply and its next request: the load does not depend on who is slow. */
const PAUSE_MS = 20;
/** Length of the windows in which things are steady or not. */
const WINDOW_MS = 500;
/** A target that is well gets at least this part of an equal share. */
const FAIR = 0.7;
const NAMES = ["a", "b", "c"] as const;
type Name = (typeof NAMES)[number];

const options = readOptions({ rounds: 5, seconds: 12 });
pinSelf(LOAD_CORE);

interface Sample {
  at: number;
  ms: number;
  /** Who answered; undefined when the request failed. */
  by: string | undefined;
}

class Target {
  readonly name: Name;
  readonly port: number;
  #subject: Subject | undefined;

  constructor(name: Name, port: number) {
    this.name = name;
    this.port = port;
  }

  async start(): Promise<void> {
    const file = `${import.meta.dirname}/support/moody-upstream.ts`;
    const args = [file, String(this.port), this.name];
    this.#subject = new Subject(process.execPath, args, { core: LOAD_CORE });
    await this.#subject.line((line) => (line === "listening" ? true : undefined));
  }

  kill(): void {
    this.#subject!.signal("SIGKILL");
  }

  turn(): void {
    this.#subject!.signal("SIGUSR2");
  }

  async stop(): Promise<void> {
    await this.#subject?.stop();
  }
}

const EVENTS: readonly { name: string; well: readonly Name[]; happen(targets: Target[]): unknown }[] = [
  { name: "nothing", well: ["a", "b", "c"], happen() {} },
  { name: "a is killed", well: ["b", "c"], happen: ([a]) => a!.kill() },
  { name: "b becomes slow", well: ["c"], happen: ([, b]) => b!.turn() },
  { name: "b is quick again", well: ["b", "c"], happen: ([, b]) => b!.turn() },
  { name: "a comes back", well: ["a", "b", "c"], happen: ([a]) => a!.start() },
];

interface Phase {
  event: string;
  requests: number;
  failed: number;
  p99Ms: number;
  /** Undefined when it never was. */
  steadyAfterMs: number | undefined;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function drive(url: string, samples: Sample[], isOver: () => boolean): Promise<void> {
  let connection = await Connection.open(url);
  while (!isOver()) {
    const at = performance.now();
    try {
      const { status, body } = await connection.get("/users/17");
      samples.push({ at, ms: performance.now() - at, by: status === 200 ? body.trim() : undefined });
    } catch {
      samples.push({ at, ms: performance.now() - at, by: undefined });
      connection = await Connection.open(url);
    }
    await pause(PAUSE_MS * (0.5 + Math.random()));
  }
  connection.close();
}

/** Milliseconds from `from` until every later window is steady. */
function steadyAfter(
  samples: readonly Sample[],
  from: number,
  until: number,
  well: readonly Name[],
  usualP99Ms: number,
): number | undefined {
  let after: number | undefined;
  for (let start = from; start + WINDOW_MS <= until; start += WINDOW_MS) {
    const window = samples.filter(({ at }) => at >= start && at < start + WINDOW_MS);
    const isSteady =
      window.length > 0 &&
      window.every(({ by }) => by !== undefined) &&
      quantile(
        window.map(({ ms }) => ms),
        0.99,
      ) <=
        usualP99Ms * 3 &&
      well.every((name) => {
        const share = window.filter(({ by }) => by === name).length / window.length;
        return share >= FAIR / well.length;
      });
    if (!isSteady) after = undefined;
    else after ??= start - from;
  }
  return after;
}

async function runOnce(): Promise<Phase[]> {
  const targets: Target[] = [];
  for (const name of NAMES) targets.push(new Target(name, await freePort()));
  for (const target of targets) await target.start();
  const config = benchConfig({
    upstreams: {
      users: {
        targets: targets.map(({ port }) => `http://127.0.0.1:${port}`),
        health: {
          active: { path: "/", interval: "1s", timeout: "500ms" },
          passive: { failures: 5, within: "10s", ejectFor: "2s" },
        },
      },
    },
    routes: [
      {
        name: "users",
        match: { path: "/users/*" },
        pipeline: [{ plugin: "retry", attempts: 3, perTryTimeout: "300ms" }],
        upstream: "users",
      },
    ],
  });
  const gateway = await startSluice(config);
  const samples: Sample[] = [];
  const phases: Phase[] = [];
  let isOver = false;
  const drivers = Array.from({ length: CONNECTIONS }, () => drive(gateway.url, samples, () => isOver));
  try {
    await pause(3000); // compiled by then
    let usualP99Ms = 0;
    for (const { name, well, happen } of EVENTS) {
      const from = performance.now();
      await happen(targets);
      await pause(options.seconds * 1000);
      const until = performance.now();
      const own = samples.filter(({ at }) => at >= from && at < until);
      const p99Ms = quantile(
        own.map(({ ms }) => ms),
        0.99,
      );
      if (usualP99Ms === 0) usualP99Ms = p99Ms;
      phases.push({
        event: name,
        requests: own.length,
        failed: own.filter(({ by }) => by === undefined).length,
        p99Ms,
        steadyAfterMs: steadyAfter(own, from, until, well, usualP99Ms),
      });
    }
  } finally {
    isOver = true;
    await Promise.all(drivers);
    await gateway.stop();
    for (const target of targets) await target.stop();
  }
  return phases;
}

console.log(
  `${options.rounds} rounds; ${options.seconds} s after each event; ${CONNECTIONS} connections, ${Math.round((CONNECTIONS * 1000) / PAUSE_MS)} requests/s at most; ${canPin ? "pinned" : "NOT pinned"}\n`,
);
const rounds: Phase[][] = [];
for (let i = 0; i < options.rounds; i++) rounds.push(await runOnce());

const figures = EVENTS.map(({ name }, i) => {
  const own = rounds.map((phases) => phases[i]!);
  const requests = own.reduce((sum, { requests }) => sum + requests, 0);
  const failed = own.reduce((sum, { failed }) => sum + failed, 0);
  const steady = own.map(({ steadyAfterMs }) => steadyAfterMs ?? Number.POSITIVE_INFINITY);
  return {
    event: name,
    requests,
    failed,
    failedPercent: round((failed / requests) * 100, 4),
    p99Ms: round(median(own.map(({ p99Ms }) => p99Ms)), 1),
    steadySeconds: round(median(steady) / 1000, 1),
    slowestSteadySeconds: round(Math.max(...steady) / 1000, 1),
  };
});
printTable(
  ["after", "requests", "failed", "failed %", "p99 ms", "steady after s", "at worst s"],
  figures.map((f) => [
    f.event,
    String(f.requests),
    String(f.failed),
    f.failedPercent.toFixed(4),
    f.p99Ms.toFixed(1),
    f.steadySeconds.toFixed(1),
    f.slowestSteadySeconds.toFixed(1),
  ]),
);
const requests = figures.reduce((sum, f) => sum + f.requests, 0);
const failed = figures.reduce((sum, f) => sum + f.failed, 0);
const verdicts: Verdict[] = [
  { what: "requests that failed", value: (failed / requests) * 100, limit: 0.1, unit: " %" },
  ...figures.slice(1).map(({ event, steadySeconds }) => ({
    what: `steady after "${event}"`,
    value: steadySeconds,
    limit: 10,
    unit: " s",
  })),
];
conclude("failure", verdicts, { events: figures, rounds }, options);
