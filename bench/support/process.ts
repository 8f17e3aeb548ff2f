/** Processes under test: started on a core of their own, and what the kernel says of their time and memory. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { availableParallelism } from "node:os";
import { createInterface } from "node:readline";
import { treeCpuMicros } from "./process-tree.ts";

/** The process under test has this core to itself; load and upstream share the other. */
export const SUBJECT_CORE = 0;
export const LOAD_CORE = 1;

/** True when processes can be bound to cores: figures of a run without it scatter more. */
export const canPin: boolean =
  availableParallelism() > 1 && spawnSync("taskset", ["--version"], { stdio: "ignore" }).status === 0;

/** Binds this process, and what it starts from now on, to a core. */
export function pinSelf(core: number): void {
  if (canPin) spawnSync("taskset", ["-cp", String(core), String(process.pid)], { stdio: "ignore" });
}

/** Ended with this process, however it ends. */
const RUNNING = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of RUNNING) child.kill("SIGKILL");
});
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(1));

export interface StartOptions {
  /** The core, or the cores, that it may use. */
  core: number | readonly number[];
  /** Environment beside this process's own. */
  env?: Record<string, string>;
  /** Told every line of standard output and error. */
  onLine?: (line: string) => void;
}

/** A process that this one started. */
export class Subject {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #exit: Promise<unknown>;
  /** The last lines it printed, for the message when it ends too soon. */
  readonly #tail: string[] = [];
  readonly #listeners = new Set<(line: string | undefined) => void>();

  constructor(command: string, args: readonly string[], options: StartOptions) {
    const line = [command, ...args];
    if (canPin) line.unshift("taskset", "-c", String(options.core));
    const child = spawn(line[0]!, line.slice(1), {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...options.env },
    });
    if (child.pid === undefined) throw new Error(`could not start ${command}`);
    this.pid = child.pid;
    this.#child = child;
    this.#exit = once(child, "exit");
    for (const stream of [child.stdout!, child.stderr!]) {
      createInterface({ input: stream }).on("line", (text) => {
        this.#tail.push(text);
        if (this.#tail.length > 20) this.#tail.shift();
        options.onLine?.(text);
        for (const listener of this.#listeners) listener(text);
      });
    }
    child.on("exit", () => {
      for (const listener of this.#listeners) listener(undefined);
    });
    RUNNING.add(child);
    child.on("exit", () => RUNNING.delete(child));
  }

  /** The first of the lines to come for which `pick` gives something. */
  line<T>(pick: (line: string) => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const settle = (done: () => void): void => {
        this.#listeners.delete(listener);
        done();
      };
      const listener = (text: string | undefined): void => {
        if (text === undefined) settle(() => reject(new Error(`ended too soon:\n${this.#tail.join("\n")}`)));
        else {
          const picked = pick(text);
          if (picked !== undefined) settle(() => resolve(picked));
        }
      };
      this.#listeners.add(listener);
    });
  }

  /** CPU time so far, user and system, of all its threads and of all processes that it started, in microseconds. */
  cpuMicros(): number {
    return treeCpuMicros(this.pid);
  }

  /** Resident memory, in bytes. */
  rss(): number {
    return this.#status("VmRSS");
  }

  /** Most resident memory since the start or the last {@link resetPeak}, in bytes. */
  peakRss(): number {
    return this.#status("VmHWM");
  }

  resetPeak(): void {
    writeFileSync(`/proc/${this.pid}/clear_refs`, "5");
  }

  /** How it ended and what it said last; undefined while it runs. */
  get ended(): string | undefined {
    const { exitCode, signalCode } = this.#child;
    if (exitCode === null && signalCode === null) return undefined;
    return `the process under test ended with ${signalCode ?? exitCode}: ${this.#tail.join("\n")}`;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill("SIGTERM");
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), 5000);
    await this.#exit;
    clearTimeout(timer);
  }

  #status(field: string): number {
    if (this.ended !== undefined) throw new Error(this.ended);
    const status = readFileSync(`/proc/${this.pid}/status`, "utf8");
    return Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(status)?.[1]) * 1024;
  }
}

/** Resolves once something listens there. */
export async function untilListening(port: number, limitMs = 10_000): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!(await accepts(port))) {
    if (performance.now() > deadline) throw new Error(`nothing listens on port ${port}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}

/** A port that is free now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

/** The path of a program, or undefined when it is not installed. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(":"), "/usr/sbin", "/usr/local/sbin", "/usr/bin"];
  return folders.map((folder) => `${folder}/${name}`).find((path) => existsSync(path));
}
