/** Gateway processes that share a store and limit by a header, and what they let through. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { Agent, get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type RunningCli, startCli } from "./cli.ts";

/** A request that was answered. */
export interface Asked {
  readonly status: number;
  /** When it was sent, and when there was an answer: it was decided in between. */
  readonly sentAt: number;
  readonly answeredAt: number;
}

export class LimitedGateway {
  readonly cli: RunningCli;
  readonly #agent = new Agent({ keepAlive: true });

  constructor(cli: RunningCli) {
    this.cli = cli;
  }

  /** @param stage that is to be asked, by its name */
  ask(stage: string, key = "a"): Promise<Asked> {
    const sentAt = performance.now();
    const url = new URL(`/${stage}`, this.cli.url);
    return new Promise((resolve, reject) => {
      const request = get(url, { agent: this.#agent, headers: { "x-key": key } }, (response) => {
        response.on("error", reject).on("end", () => {
          resolve({ status: response.statusCode!, sentAt, answeredAt: performance.now() });
        });
        response.resume();
      });
      request.on("error", reject);
    });
  }

  /** Statuses of so many requests, one after the other. */
  async statuses(stage: string, times: number, key?: string): Promise<number[]> {
    const all: number[] = [];
    for (let i = 0; i < times; i++) all.push((await this.ask(stage, key)).status);
    return all;
  }

  /** The value of a metric of a stage. */
  async metric(name: string, stage: string): Promise<number> {
    const text = await (await fetch(new URL("/metrics", this.cli.adminUrl))).text();
    return Number(new RegExp(`^${name}\\{route="${stage}",stage="limit"\\} (\\S+)$`, "m").exec(text)?.[1]);
  }

  /** What limits logged of their store. */
  get told(): string[] {
    return this.cli.lines
      .map((line) => String(line["msg"]))
      .filter((message) => message.startsWith("limits "));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#agent.destroy();
    await this.cli[Symbol.asyncDispose]();
  }
}

/** @param stages options of `limit` by the name of the route */
export function limiting(store: object, stages: Record<string, object>, threads = 1): object {
  return {
    apiVersion: "sluice/v1",
    listeners: [{ address: "127.0.0.1:0" }],
    admin: { address: "127.0.0.1:0" },
    threads,
    log: { access: false },
    stores: { shared: store },
    routes: Object.entries(stages).map(([name, options]) => ({
      name,
      match: { path: `/${name}` },
      pipeline: [
        { plugin: "limit", by: { header: "x-key" }, store: "shared", headers: [], ...options },
        { plugin: "respond", status: 200 },
      ],
    })),
  };
}

/** Starts processes that have a configuration in common. */
export async function startGateways(count: number, source: object): Promise<LimitedGateway[]> {
  const folder = mkdtempSync(join(tmpdir(), "sluice-limit-"));
  try {
    const file = join(folder, "gateway.json");
    writeFileSync(file, JSON.stringify(source));
    const starting = Array.from({ length: count }, () => startCli(["-c", file, "--no-supervise"]));
    return (await Promise.all(starting)).map((cli) => new LimitedGateway(cli));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/**
 * Asks all gateways at the same time, by so many clients each, for as long as `isOn` says so.
 * @param seen is told of each answer as it comes
 */
export async function hammer(
  gateways: readonly LimitedGateway[],
  stage: string,
  clients: number,
  isOn: () => boolean,
  seen: Asked[] = [],
  key?: string,
): Promise<Asked[]> {
  const client = async (gateway: LimitedGateway): Promise<void> => {
    while (isOn()) seen.push(await gateway.ask(stage, key));
  };
  await Promise.all(gateways.flatMap((gateway) => Array.from({ length: clients }, () => client(gateway))));
  return seen;
}

/** True until so much time has gone by. */
export function lasting(ms: number): () => boolean {
  const end = performance.now() + ms;
  return () => performance.now() < end;
}

/** The most that were surely admitted within any window of this length. */
export function mostWithin(windowMs: number, asked: readonly Asked[]): number {
  const admitted = asked.filter(({ status }) => status === 200).toSorted((a, b) => a.sentAt - b.sentAt);
  let most = 0;
  for (const [i, { sentAt: from }] of admitted.entries()) {
    let count = 0;
    for (let j = i; j < admitted.length && admitted[j]!.sentAt < from + windowMs; j++) {
      if (admitted[j]!.answeredAt <= from + windowMs) count++;
    }
    most = Math.max(most, count);
  }
  return most;
}
