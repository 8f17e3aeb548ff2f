/**
 * A gateway process that is killed, and one that is upgraded, under load: half of the clients keep their connections,
 * half make one for each request. Measured, on what a build made: how long after the kill the first request sent since
 * is answered, how many requests failed and how, how long an upgrade takes, and that none fails in it.
 *
 * `--rounds` is the number of kills, each of a gateway started anew, and of upgrades of another, for each number of
 * threads; `--seconds` is the load before each.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { benchConfig, startSluice } from "./support/gateways.ts";
import { Connection } from "./support/keep-alive.ts";
import { conclude, printTable, readOptions, round, type Verdict } from "./support/report.ts";
import { median } from "./support/stats.ts";

const CLIENTS = 32;
const ROOT = join(import.meta.dirname, "..");

const options = readOptions({ rounds: 5, seconds: 1 });

/** Clients that send one request after the other. */
class Load {
  answered = 0;
  /** Could not connect. */
  refused = 0;
  /** Connected, and got no reply. */
  lost = 0;
  #isOver = false;
  readonly #url: string;
  readonly #clients: Promise<unknown>;
  #onReply: (sentAt: number) => void = () => {};

  constructor(url: string) {
    this.#url = url;
    this.#clients = Promise.all(Array.from({ length: CLIENTS }, (_, i) => this.#keepAsking(i % 2 === 0)));
  }

  /** Waits for the reply to a request that is sent from now on; gives the milliseconds until then. */
  answer(): Promise<number> {
    const from = performance.now();
    return new Promise((resolve) => {
      this.#onReply = (sentAt) => {
        if (sentAt >= from) resolve(performance.now() - from);
      };
    });
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#clients;
  }

  async #keepAsking(keepsConnection: boolean): Promise<void> {
    let connection: Connection | undefined;
    while (!this.#isOver) {
      const sentAt = performance.now();
      try {
        connection ??= await Connection.open(this.#url);
      } catch {
        this.refused++;
        continue;
      }
      try {
        const { status, head } = await connection.get("/");
        if (status !== 200) throw new Error(`status ${status}`);
        this.answered++;
        this.#onReply(sentAt);
        if (keepsConnection && !/\r\nconnection: close/i.test(head)) continue;
      } catch {
        this.lost++;
      }
      connection.close();
      connection = undefined;
    }
    connection?.close();
  }
}

/** A supervised gateway under load. */
async function start(threads: number) {
  const pids: number[] = [];
  let onServing: () => void = () => {};
  const sluice = await startSluice(
    benchConfig({
      threads,
      log: { access: false, format: "json", level: "info" },
      routes: [{ name: "all", match: { path: "/*" }, pipeline: [{ plugin: "respond", body: "hello" }] }],
    }),
    {
      main: join(ROOT, "dist", "core", "main.js"),
      supervise: true,
      core: [0, 1],
      onLine(line) {
        const { msg, pid } = line.startsWith("{") ? (JSON.parse(line) as { msg: string; pid: number }) : {};
        if (msg === "sluice is serving") pids.push(pid!);
        if (msg === "sluice is serving" || msg?.startsWith("upgrade: the new")) onServing();
      },
    },
  );
  const load = new Load(sluice.url);
  await pause();
  return {
    sluice,
    load,
    pids,
    serves: () => new Promise<void>((resolve) => (onServing = resolve)),
    async stop() {
      await load.stop();
      await sluice.stop();
    },
  };
}

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, options.seconds * 1000));

interface Figures {
  threads: number;
  /** From the kill to the first reply, each. */
  restartMs: number[];
  lostPerKill: number[];
  refused: number;
  upgradeMs: number[];
  failedInUpgrades: number;
  answeredInUpgrades: number;
}

async function measure(threads: number): Promise<Figures> {
  const figures: Figures = {
    threads,
    restartMs: [],
    lostPerKill: [],
    refused: 0,
    upgradeMs: [],
    failedInUpgrades: 0,
    answeredInUpgrades: 0,
  };
  for (let i = 0; i < options.rounds; i++) {
    const { load, pids, stop } = await start(threads);
    process.kill(pids[0]!, "SIGKILL");
    figures.restartMs.push(await load.answer());
    await pause();
    await stop();
    figures.lostPerKill.push(load.lost);
    figures.refused += load.refused;
  }
  const { sluice, load, serves, stop } = await start(threads);
  for (let i = 0; i < options.rounds; i++) {
    const from = performance.now();
    const served = serves();
    sluice.subject.signal("SIGUSR2");
    await served;
    figures.upgradeMs.push(performance.now() - from);
    await pause();
  }
  await stop();
  figures.failedInUpgrades = load.lost + load.refused;
  figures.answeredInUpgrades = load.answered;
  return figures;
}

if (spawnSync("npm", ["run", "--silent", "build"], { cwd: ROOT, stdio: "inherit" }).status !== 0) {
  throw new Error("Sluice could not be built");
}
console.log(`${options.rounds} kills and upgrades, ${CLIENTS} clients\n`);
const all = [await measure(1), await measure(2)];
printTable(
  [
    "threads",
    "kill to reply ms",
    "most ms",
    "lost a kill",
    "refused",
    "upgrade ms",
    "failed in upgrades",
    "of",
  ],
  all.map((each) => [
    String(each.threads),
    median(each.restartMs).toFixed(0),
    Math.max(...each.restartMs).toFixed(0),
    String(median(each.lostPerKill)),
    String(each.refused),
    median(each.upgradeMs).toFixed(0),
    String(each.failedInUpgrades),
    String(each.answeredInUpgrades),
  ]),
);
const verdicts = all.flatMap(({ threads, restartMs, lostPerKill, refused, failedInUpgrades }): Verdict[] => [
  { what: `${threads} threads: kill to reply`, value: round(median(restartMs), 0), limit: 500, unit: " ms" },
  {
    what: `${threads} threads: most requests lost by a kill`,
    value: Math.max(...lostPerKill),
    limit: CLIENTS,
  },
  { what: `${threads} threads: connections refused`, value: refused, limit: 0 },
  { what: `${threads} threads: requests failed in upgrades`, value: failedInUpgrades, limit: 0 },
]);
conclude("restart", verdicts, { all }, options);
