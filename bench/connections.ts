/**
 * 8,000 keep-alive connections at once, one in eight busy all the time and the rest asking now and then: no
 * errors and bounded memory. `--seconds` is how long they are held; `--rounds` repeats the whole.
 */
import { spawnSync } from "node:child_process";
import { benchConfig, startSluice } from "./support/gateways.ts";
import { Connection } from "./support/keep-alive.ts";
import { canPin, LOAD_CORE, pinSelf } from "./support/process.ts";
import { conclude, megabytes, printTable, readOptions } from "./support/report.ts";
import { BODY_BYTES, startUpstream } from "./support/upstream.ts";

const CONNECTIONS = 8_000;
/** Connections that are never idle. */
const BUSY = 1_000;
/** Connections opened at a time: a burst of all would overflow the accept queue. */
const BATCH = 200;
const LIMIT_MB = 400;

const options = readOptions({ rounds: 1, seconds: 15 });
needFiles(CONNECTIONS * 2 + 1000);
pinSelf(LOAD_CORE);

/** Starts this bench again with as many open files as it needs, if a shell may allow them. */
function needFiles(count: number): void {
  const soft = spawnSync("sh", ["-c", "ulimit -n"], { encoding: "utf8" }).stdout.trim();
  if (soft === "unlimited" || Number(soft) >= count) return;
  if (process.env["BENCH_RAISED"] !== undefined) {
    console.log(`connections: this bench needs ${count} open files, and only ${soft} are allowed`);
    process.exit(1);
  }
  const script = `ulimit -n ${count} 2>/dev/null || ulimit -n $(ulimit -Hn); exec "$@"`;
  const command = [process.execPath, ...process.argv.slice(1)];
  const { status } = spawnSync("sh", ["-c", script, "sh", ...command], {
    stdio: "inherit",
    env: { ...process.env, BENCH_RAISED: "1" },
  });
  process.exit(status ?? 1);
}

const upstream = await startUpstream();
const peaks: number[] = [];
const errors: string[] = [];
let replies = 0;
let cpuSeconds = 0;

async function ask(connection: Connection): Promise<void> {
  const { status, body } = await connection.get("/users/17");
  if (status !== 200 || body.length !== BODY_BYTES)
    throw new Error(`status ${status}: ${body.slice(0, 100)}`);
  replies++;
}

async function round(): Promise<void> {
  const sluice = await startSluice(
    benchConfig({
      upstreams: { users: { targets: [upstream.url] } },
      routes: [{ name: "users", match: { path: "/users/*" }, upstream: "users" }],
    }),
  );
  const connections: Connection[] = [];
  try {
    while (connections.length < CONNECTIONS) {
      const batch = await Promise.all(Array.from({ length: BATCH }, () => Connection.open(sluice.url)));
      await Promise.all(batch.map(ask));
      connections.push(...batch);
    }
    const end = performance.now() + options.seconds * 1000;
    const note = (error: unknown): void => void errors.push((error as Error).message);
    const busy = connections.slice(0, BUSY).map(async (connection) => {
      while (performance.now() < end) await ask(connection);
    });
    const idle = connections.slice(BUSY);
    const seldom = (async () => {
      for (let i = 0; performance.now() < end; i = (i + BATCH) % idle.length) {
        await Promise.all(idle.slice(i, i + BATCH).map(ask));
      }
    })();
    await Promise.all([...busy, seldom].map((work) => work.catch(note)));
    // Every connection is still good at the end.
    for (let i = 0; i < CONNECTIONS; i += BATCH) {
      await Promise.all(connections.slice(i, i + BATCH).map((connection) => ask(connection).catch(note)));
    }
    peaks.push(sluice.subject.peakRss());
    cpuSeconds += sluice.subject.cpuMicros() / 1e6;
  } catch (error) {
    errors.unshift(sluice.subject.ended ?? (error as Error).message);
  } finally {
    for (const connection of connections) connection.close();
    await sluice.stop();
  }
}

console.log(
  `${CONNECTIONS} connections, ${BUSY} of them busy, ${options.seconds} s, ${canPin ? "pinned" : "NOT pinned"}; upstream: ${upstream.kind}\n`,
);
try {
  for (let i = 0; i < options.rounds; i++) await round();
} finally {
  await upstream.stop();
}

const peak = Math.max(...peaks);
printTable(
  ["", "figure"],
  [
    ["replies checked", replies.toLocaleString("en")],
    ["errors", String(errors.length)],
    ["peak RSS", megabytes(peak)],
    ["CPU s", cpuSeconds.toFixed(1)],
  ],
);
for (const error of errors.slice(0, 5)) console.log(`failed: ${error}`);
conclude(
  "connections",
  [
    { what: "errors", value: errors.length, limit: 0 },
    { what: "peak RSS", value: Math.round(peak / 2 ** 20), limit: LIMIT_MB, unit: " MB" },
  ],
  { peaks, errors: errors.length, replies },
  options,
);
