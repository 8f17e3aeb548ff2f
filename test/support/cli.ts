/** Runs the real command line in a child process. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

export const MAIN = new URL("../../core/main.ts", import.meta.url).pathname;

type Line = Record<string, unknown>;

/** `sluice start` that is serving. */
export interface RunningCli {
  /** The supervisor, or the gateway itself when there is none. */
  readonly process: ChildProcess;
  /** The process that serves now. */
  readonly gatewayPid: number;
  /** What came on standard error so far. */
  readonly complaint: string;
  /** Waits until standard error has something like it. */
  complained(pattern: RegExp): Promise<void>;
  /** URL of the first listener. */
  readonly url: string;
  /** URLs of all listeners. */
  readonly urls: string[];
  readonly adminUrl: string;
  /** Log lines so far. */
  readonly lines: Line[];
  /** The first log line, past or to come, that meets `test`. */
  logged(test: (line: Line) => boolean): Promise<Line>;
  /** The exit status, once all processes have ended. */
  readonly ended: Promise<number | null>;
  /** Sends SIGTERM (or another) and gives the exit status. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Runs a command to its end. */
export async function runCli(
  args: string[],
  options: { cwd?: string; env?: Record<string, string>; input?: string } = {},
): Promise<{ status: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd: options.cwd,
    env: { ...process.env, NO_COLOR: "1", ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  child.stdin.on("error", () => {}); // it may end without having read
  child.stdin.end(options.input);
  const text = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (chunk: string) => {
      text[name] += chunk;
    });
  }
  const [status] = (await once(child, "close")) as [number | null];
  return { status, ...text };
}

/**
 * Starts `sluice start` and waits until it serves.
 * @param options `isGroup`: as the leader of a process group, as a terminal would; `main`: another path of the program
 */
export async function startCli(
  args: string[],
  env: Record<string, string> = {},
  options: { isGroup?: boolean; main?: string } = {},
): Promise<RunningCli> {
  const child = spawn(process.execPath, [options.main ?? MAIN, "start", ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    detached: options.isGroup === true,
  });
  const exited = once(child, "close") as Promise<[number | null]>;
  let complaint = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    complaint += chunk;
  });
  const lines: Line[] = [];
  const waiting: { test: (line: Line) => boolean; resolve: (line: Line) => void }[] = [];
  createInterface({ input: child.stdout }).on("line", (text) => {
    const line = JSON.parse(text) as Line;
    lines.push(line);
    for (const waiter of waiting.slice()) {
      if (!waiter.test(line)) continue;
      waiting.splice(waiting.indexOf(waiter), 1);
      waiter.resolve(line);
    }
  });
  const logged = (test: (line: Line) => boolean): Promise<Line> =>
    new Promise((resolve, reject) => {
      const found = lines.find(test);
      if (found !== undefined) return resolve(found);
      waiting.push({ test, resolve });
      void exited.then(() => reject(new Error(`sluice ended: ${complaint}`)));
    });
  const serving = await logged((line) => line["msg"] === "sluice is serving");
  const gatewayPids = (): number[] =>
    lines.filter((line) => line["msg"] === "sluice is serving").map((line) => line["pid"] as number);
  const stop = async (signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> => {
    child.kill(signal);
    return (await exited)[0];
  };
  return {
    process: child,
    get gatewayPid() {
      return gatewayPids().at(-1)!;
    },
    get complaint() {
      return complaint;
    },
    url: (serving["listeners"] as string[])[0]!,
    urls: serving["listeners"] as string[],
    adminUrl: serving["admin"] as string,
    async complained(pattern) {
      while (!pattern.test(complaint)) await once(child.stderr, "data");
    },
    lines,
    logged,
    ended: exited.then(([status]) => status),
    stop,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null) return;
      child.kill("SIGKILL");
      // They would drain, and the test would wait for them.
      for (const pid of gatewayPids()) killIfThere(pid);
      await exited;
    },
  };
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}
