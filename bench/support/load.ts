/** Load on a URL: wrk when it is installed, else a generator of our own in another process. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { canPin, findProgram, LOAD_CORE } from "./process.ts";

/** What a run of load came to. */
export interface LoadResult {
  requests: number;
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
  /** Replies that were not 2xx, and connections that failed. */
  failures: number;
}

const wrk = findProgram("wrk");

/** What makes the load, for the output. */
export const loadKind = wrk === undefined ? "a generator in Node (wrk is not installed)" : "wrk";

/**
 * Sends requests over `connections` connections, each as soon as the last was answered.
 * @param uploadBytes length of the body of each request, which is a POST then; needs wrk
 * @param headers of each request
 */
export async function load(
  url: string,
  connections: number,
  seconds: number,
  uploadBytes = 0,
  headers: Readonly<Record<string, string>> = {},
): Promise<LoadResult> {
  if (wrk === undefined) {
    if (uploadBytes > 0) throw new Error("uploads need wrk");
    const file = join(import.meta.dirname, "generator.ts");
    const numbers = [String(connections), String(seconds)];
    const text = await run([process.execPath, file, url, ...numbers, JSON.stringify(headers)]);
    return JSON.parse(text) as LoadResult;
  }
  const args = ["-t1", `-c${connections}`, `-d${Math.ceil(seconds)}s`, "--latency"];
  for (const [name, value] of Object.entries(headers)) args.push("-H", `${name}: ${value}`);
  if (uploadBytes > 0) args.push("-s", join(import.meta.dirname, "upload.lua"));
  args.push(url);
  if (uploadBytes > 0) args.push("--", String(uploadBytes));
  return parseWrk(await run([wrk, ...args]));
}

function run(command: readonly string[]): Promise<string> {
  const line = canPin ? ["taskset", "-c", String(LOAD_CORE), ...command] : command;
  const child = spawn(line[0]!, line.slice(1), { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status) =>
      status === 0 ? resolve(text) : reject(new Error(`${command[0]} ended with ${status}`)),
    );
  });
}

/** Reads what wrk prints with `--latency`. */
export function parseWrk(text: string): LoadResult {
  const number = (pattern: RegExp): number => Number(pattern.exec(text)?.[1] ?? 0);
  const latency = (percent: number): number => {
    const [, value, unit] = new RegExp(`^\\s+${percent}%\\s+([\\d.]+)(us|ms|s)`, "m").exec(text) ?? [];
    return Number(value) * (unit === "us" ? 0.001 : unit === "ms" ? 1 : 1000);
  };
  const socketErrors =
    /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text) ?? [];
  return {
    requests: number(/(\d+) requests in/),
    perSecond: number(/Requests\/sec:\s+([\d.]+)/),
    p50Ms: latency(50),
    p99Ms: latency(99),
    failures:
      number(/Non-2xx or 3xx responses: (\d+)/) +
      socketErrors.slice(1).reduce((sum, count) => sum + Number(count), 0),
  };
}
