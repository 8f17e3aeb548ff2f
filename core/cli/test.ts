/** `sluice test`: runs the tests beside the plugins, with Node's own test runner. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, statSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { dirname, extname, join, relative, resolve } from "node:path";
import { watchConfig } from "../config/watch.ts";
import type { CommandIo } from "./check.ts";
import { findPlugins, type PluginOptions } from "./plugin.ts";

export interface TestOptions extends PluginOptions {
  /** Files, and folders that have some; the folder of plugins by default. */
  readonly paths: readonly string[];
  /** Runs them again whenever something changes, until the process is told to end. */
  readonly watch: boolean;
}

/** What there is to run. */
interface Tests {
  readonly files: readonly string[];
  /** Folders that were looked through. */
  readonly folders: readonly string[];
}

const TEST = /\.test\.(?:ts|mts|js|mjs)$/;
const RESOLVE = new URL(`../testing/resolve${extname(import.meta.url)}`, import.meta.url).href;

/** @returns the exit status: the runner's, or 1 when there is nothing to run */
export async function test({ paths, watch, ...options }: TestOptions, io: CommandIo): Promise<number> {
  const plugins = await findPlugins(options, io);
  if (plugins === undefined) return 1;
  const { folder, baseDir } = plugins;
  const places = paths.length === 0 ? [folder] : paths.map((path) => resolve(io.cwd, path));
  const missing = paths.find((_, i) => !existsSync(places[i]!));
  if (missing !== undefined) {
    io.writeError(`There is no ${missing}\n`);
    return 1;
  }
  const run = async (stop: AbortSignal): Promise<number> => {
    const { files } = await findTests(places);
    if (files.length > 0) return runNode(files, baseDir, io, stop);
    const where = places.map((place) => relative(io.cwd, place) || ".").join(" and ");
    io.writeError(`No tests found in ${where}. A test is a file such as greet.test.ts; `);
    io.writeError("`sluice plugin new NAME` begins a plugin with one.\n");
    return 1;
  };
  const stopping = new AbortController();
  const stop = (): void => stopping.abort();
  process.once("SIGINT", stop).once("SIGTERM", stop);
  try {
    return watch ? await runAgain(run, [folder, ...places], stopping.signal, io) : await run(stopping.signal);
  } finally {
    process.off("SIGINT", stop).off("SIGTERM", stop);
  }
}

/** Runs tests at once and after each change. Node's own watching does not see what scripts are made of. */
async function runAgain(
  run: (stop: AbortSignal) => Promise<number>,
  places: readonly string[],
  stop: AbortSignal,
  io: CommandIo,
): Promise<number> {
  let change = Promise.withResolvers<void>();
  const stopped = stop.aborted ? Promise.resolve() : once(stop, "abort");
  const watcher = await watchConfig(await sourcesOf(places), () => change.resolve());
  let status = 0;
  while (!stop.aborted) {
    const round = new AbortController();
    const running = run(AbortSignal.any([stop, round.signal]));
    const wasDone = await Promise.race([running.then(() => true), change.promise.then(() => false)]);
    if (!wasDone) round.abort();
    status = await running;
    if (wasDone && !stop.aborted) {
      io.write("\nWaiting for a change…\n");
      await Promise.race([change.promise, stopped]);
    }
    change = Promise.withResolvers();
    watcher.update(await sourcesOf(places));
  }
  await watcher.close();
  return status;
}

async function sourcesOf(places: readonly string[]): Promise<{ files: string[]; folders: string[] }> {
  const { files, folders } = await findTests(places);
  return { files: [...files], folders: [...folders, ...files.map((file) => dirname(file))] };
}

/** The tests in these folders and those below them, sorted; a file is one. */
async function findTests(places: readonly string[]): Promise<Tests> {
  const all = await Promise.all(places.map(findTestsIn));
  return {
    files: [...new Set(all.flatMap(({ files }) => files))].sort(),
    folders: [...new Set(all.flatMap(({ folders }) => folders))],
  };
}

async function findTestsIn(place: string): Promise<Tests> {
  if (!existsSync(place)) return { files: [], folders: [place] };
  if (!statSync(place).isDirectory()) return { files: [place], folders: [] };
  const entries = await readdir(place, { withFileTypes: true });
  const isOpen = (name: string): boolean => name !== "node_modules" && !name.startsWith(".");
  const below = entries.filter((entry) => entry.isDirectory() && isOpen(entry.name));
  const found = await findTests(below.map(({ name }) => join(place, name)));
  const files = entries.filter((entry) => !entry.isDirectory() && TEST.test(entry.name));
  return {
    files: [...files.map(({ name }) => join(place, name)), ...found.files],
    folders: [place, ...found.folders],
  };
}

async function runNode(
  files: readonly string[],
  cwd: string,
  { env }: CommandIo,
  stop: AbortSignal,
): Promise<number> {
  // Whether plain files are modules is of no interest here.
  const args = ["--disable-warning=MODULE_TYPELESS_PACKAGE_JSON", `--import=${RESOLVE}`, "--test", ...files];
  // Within a test the runner would tell that one of its results, and nobody else.
  const { NODE_TEST_CONTEXT: _, ...rest } = env;
  const child: ChildProcess = spawn(process.execPath, args, { cwd, env: rest, stdio: "inherit" });
  const end = (): void => void child.kill();
  stop.addEventListener("abort", end);
  try {
    const [status] = (await once(child, "exit")) as [number | null];
    return status ?? 1;
  } finally {
    stop.removeEventListener("abort", end);
  }
}
