/** Starts a process from configuration files in a folder of its own. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import type { Server } from "../support/gateways.ts";
import { Subject, untilListening } from "../support/process.ts";
import { renderConfig } from "./render.ts";

const CONFIGS = join(import.meta.dirname, "configs");

export interface Launch {
  command: string;
  /** Arguments, given the folder. */
  args(folder: string): string[];
  port: number;
  /** Writes what must be in the folder. */
  prepare?(folder: string): void;
  cores: readonly number[];
  /** Environment beside this process's own, given the folder. */
  env?(folder: string): Record<string, string>;
}

export interface Launched extends Server {
  readonly folder: string;
}

/** Starts it and waits until it listens. @throws Error with what it said when it ends before */
export async function launch({ command, args, port, prepare, cores, env }: Launch): Promise<Launched> {
  const folder = mkdtempSync(join(tmpdir(), "sluice-peers-"));
  chmodSync(folder, 0o755); // workers of nginx are another user's when root starts it
  prepare?.(folder);
  const subject = new Subject(command, args(folder), { core: cores, env: env?.(folder) ?? {} });
  const stop = async (): Promise<void> => {
    await subject.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  const ended = subject.line(() => undefined);
  ended.catch(() => {}); // it ends some day
  try {
    await Promise.race([untilListening(port), ended]);
  } catch (error) {
    await stop();
    throw error;
  }
  return { url: `http://127.0.0.1:${port}`, subject, folder, stop };
}

/** Writes a configuration file of `configs/`, filled in. What is JSON when it is filled in ends in `.template`. */
export function writeConfig(
  folder: string,
  name: string,
  values: Readonly<Record<string, string | number>>,
  sections: readonly string[] = [],
): void {
  const file = join(folder, basename(name).replace(/\.template$/, ".json"));
  const template = readFileSync(join(CONFIGS, name), "utf8");
  writeFileSync(file, renderConfig(template, { DIR: folder, CONFIGS, ...values }, sections));
}
