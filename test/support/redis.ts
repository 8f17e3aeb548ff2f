/** Real Redis servers, alone or as a cluster, on free ports and in folders of their own. */
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { freePort } from "./ports.ts";
import { requireProgram } from "./programs.ts";

const run = promisify(execFile);

export class RedisServer {
  readonly port: number;
  readonly #options: readonly string[];
  readonly #folder = mkdtempSync(join(tmpdir(), "sluice-redis-"));
  #process: ChildProcess | undefined;

  constructor(port: number, options: readonly string[]) {
    this.port = port;
    this.#options = options;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Starts it, also again after it was killed; what it held is gone then. */
  async start(): Promise<void> {
    const fixed = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
    const args = ["--port", String(this.port), "--dir", this.#folder, ...fixed, ...this.#options];
    const child = spawn(requireProgram("redis-server", "redis-server"), args, {
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#process = child;
    const said: string[] = [];
    for await (const line of createInterface({ input: child.stdout })) {
      said.push(line);
      if (!line.includes("Ready to accept connections")) continue;
      child.stdout.resume();
      return;
    }
    throw new Error(`redis-server ended:\n${said.join("\n")}`);
  }

  /** Asks it by redis-cli. */
  async ask(...command: string[]): Promise<string> {
    const cli = requireProgram("redis-cli", "redis-tools");
    return (await run(cli, ["-p", String(this.port), ...command])).stdout.trim();
  }

  /** Keeps this thread busy until it has answered what it was asked before. */
  waitUntilAnswered(): void {
    execFileSync(requireProgram("redis-cli", "redis-tools"), ["-p", String(this.port), "ping"]);
  }

  /** Stops it, as a machine that hangs: its connections stay. */
  freeze(): void {
    this.#process?.kill("SIGSTOP");
  }

  thaw(): void {
    this.#process?.kill("SIGCONT");
  }

  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** A server, as such or with options of redis-server. */
export async function startRedis(...options: string[]): Promise<RedisServer> {
  const server = new RedisServer(await freePort(), options);
  await server.start();
  return server;
}

export interface RedisCluster {
  readonly servers: readonly RedisServer[];
  /** As a configuration has them. */
  readonly nodes: string[];
  /** Resolves when all of its nodes say that it is well. */
  well(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A cluster of three primaries, each with so many replicas. */
export async function startRedisCluster(replicas: 0 | 1 = 0): Promise<RedisCluster> {
  const servers: RedisServer[] = [];
  const options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "500"];
  if (replicas > 0) options.push("--repl-diskless-sync-delay", "0");
  for (let i = 0; i < 3 + 3 * replicas; i++) servers.push(await startRedis(...options));
  const nodes = servers.map(({ port }) => `127.0.0.1:${port}`);
  const create = ["--cluster", "create", ...nodes, "--cluster-replicas", String(replicas), "--cluster-yes"];
  await run(requireProgram("redis-cli", "redis-tools"), create);
  const cluster = {
    servers,
    nodes,
    async well() {
      for (const server of servers) {
        while (!(await server.ask("cluster", "info")).includes("cluster_state:ok"));
      }
      let linked = 0;
      while (linked < 3 * replicas) {
        const roles = await Promise.all(servers.map((server) => server.ask("role")));
        linked = roles.filter((role) => /^slave\b.*\bconnected\b/s.test(role)).length;
      }
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
    },
  };
  await cluster.well();
  return cluster;
}
