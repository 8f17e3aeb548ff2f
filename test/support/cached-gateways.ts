/** Gateway processes with a cache, the origin below them, and clients that know what every reply has to be. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { Agent, get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type RunningCli, startCli } from "./cli.ts";
import { proxyTo } from "./gateway.ts";
import { startUpstream } from "./upstream.ts";

/** What there is under a path: some hundred bytes to some thousand. */
export function bodyOf(path: string): string {
  return `${path} `.repeat(50 + ((path.length * 37) % 400));
}

export interface Origin {
  readonly url: string;
  /** Requests by path. */
  readonly asked: Map<string, number>;
  /** Of all of them. */
  readonly total: number;
  /** Cache-Control of its replies. */
  control: string;
  /** Its replies wait for this, between the first half of the body and the rest. */
  gate: Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** An origin that has something under every path, and validates it. */
export async function startOrigin(control = "max-age=60"): Promise<Origin> {
  const asked = new Map<string, number>();
  const upstream = await startUpstream(async (message, response) => {
    const path = message.url!;
    asked.set(path, (asked.get(path) ?? 0) + 1);
    const etag = `"${path}"`;
    const headers = { "cache-control": origin.control, etag };
    if (message.headers["if-none-match"] === etag) {
      await origin.gate;
      response.writeHead(304, headers).end();
      return;
    }
    const body = bodyOf(path);
    response.writeHead(200, { ...headers, "content-type": "text/plain" });
    response.write(body.slice(0, body.length / 2));
    await origin.gate;
    response.end(body.slice(body.length / 2));
  });
  const origin: Origin = {
    url: upstream.url,
    asked,
    get total() {
      return [...asked.values()].reduce((sum, count) => sum + count, 0);
    },
    control,
    gate: Promise.resolve(),
    [Symbol.asyncDispose]: upstream.close,
  };
  return origin;
}

export interface Got {
  readonly status: number;
  readonly text: string;
  /** The line of this cache. */
  readonly cache: string;
}

/** One cache on a route for everything. */
export function caching(url: string, options: object, parts: Record<string, unknown> = {}): object {
  const log = { access: false };
  const pipeline = [{ plugin: "cache", key: { host: false }, ...options }];
  return proxyTo(url, { pipeline }, { admin: { address: "127.0.0.1:0" }, log, ...parts });
}

export class CachedGateway {
  readonly cli: RunningCli;
  readonly #agent = new Agent({ keepAlive: true });

  constructor(cli: RunningCli) {
    this.cli = cli;
  }

  /** @param isNew on a connection of its own, so that any thread may get it */
  ask(path: string, isNew = false): Promise<Got> {
    return new Promise((resolve, reject) => {
      const agent = isNew ? false : this.#agent;
      const request = get(new URL(path, this.cli.url), { agent }, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => {
          text += chunk;
        });
        response.on("error", reject);
        response.on("end", () => {
          const cache = String(response.headers["cache-status"]);
          resolve({ status: response.statusCode!, text, cache });
        });
      });
      request.on("error", reject);
    });
  }

  /** A metric of its cache, summed over what `labels` leaves open. */
  async metric(name: string, labels = ""): Promise<number> {
    const text = await (await fetch(new URL("/metrics", this.cli.adminUrl))).text();
    const lines = text.matchAll(new RegExp(`^sluice_cache_${name}\\{([^}]*)\\} (\\S+)$`, "gm"));
    let sum = 0;
    for (const [, found, value] of lines) if (found!.includes(labels)) sum += Number(value);
    return sum;
  }

  /** What caches logged of their store. */
  get told(): string[] {
    return this.cli.lines.map((line) => String(line["msg"])).filter((text) => text.startsWith("caches "));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#agent.destroy();
    await this.cli[Symbol.asyncDispose]();
  }
}

/** Starts processes that have a configuration in common. */
export async function startCaches(count: number, source: object): Promise<CachedGateway[]> {
  const folder = mkdtempSync(join(tmpdir(), "sluice-cache-"));
  try {
    const file = join(folder, "gateway.json");
    writeFileSync(file, JSON.stringify(source));
    const starting = Array.from({ length: count }, () => startCli(["-c", file, "--no-supervise"]));
    return (await Promise.all(starting)).map((cli) => new CachedGateway(cli));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Clients that ask gateways for one of some paths after the other, and look at every reply. */
export class CacheLoad {
  /** What went wrong. */
  readonly failures: string[] = [];
  answered = 0;
  /** Replies by what the cache said, without numbers. */
  readonly said = new Map<string, number>();
  #isOn = true;
  readonly #clients: Promise<unknown>;

  constructor(gateways: readonly CachedGateway[], paths: readonly string[], clients = 2) {
    const run = async (gateway: CachedGateway, first: number): Promise<void> => {
      for (let i = first; this.#isOn; i++) await this.#ask(gateway, paths[i % paths.length]!);
    };
    this.#clients = Promise.all(
      gateways.flatMap((gateway, g) =>
        Array.from({ length: clients }, (_, i) => run(gateway, 7 * (g + 2 * i))),
      ),
    );
  }

  async #ask(gateway: CachedGateway, path: string): Promise<void> {
    try {
      const { status, text, cache } = await gateway.ask(path);
      const said = cache.replaceAll(/-?\d+/g, "N");
      this.said.set(said, (this.said.get(said) ?? 0) + 1);
      if (status !== 200 || text !== bodyOf(path)) {
        this.failures.push(`${path}: ${status} ${cache} ${text.slice(0, 100)}`);
      }
    } catch (error) {
      this.failures.push(`${path}: ${(error as Error).message}`);
    }
    this.answered++;
  }

  async stop(): Promise<void> {
    this.#isOn = false;
    await this.#clients;
  }
}
