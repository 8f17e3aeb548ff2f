/** Peers that are programs with a configuration file. */
import { spawnSync } from "node:child_process";
import { findProgram, freePort, SUBJECT_CORE } from "../../support/process.ts";
import type { Contender, Variant, Found } from "../contender.ts";
import { type Launched, launch, writeConfig } from "../launch.ts";

export interface Program {
  name: string;
  /** As it is called on the command line. */
  command: string;
  /** Makes it say its version, which the pattern finds. */
  version: { args: readonly string[]; pattern: RegExp };
  /** How to get it. */
  how: string;
  /** Why it cannot run although it is there; undefined when it can. */
  lacks?(path: string): string | undefined;
  /** File in `configs/`. */
  config: string;
  /** Lines of the configuration that are in use. */
  sections?: readonly string[];
  /** Values in the configuration beside those that all have. */
  values?(path: string): Record<string, string>;
  /** Arguments, given where the configuration is and which port to listen on. */
  args(folder: string, port: number): string[];
  /** Environment beside this process's own, given the folder. */
  env?(folder: string): Record<string, string>;
  variant?: Variant;
  reloadedBy: string;
  /** Tells it that the file has changed; undefined when only a restart helps. */
  reload?(server: Launched, path: string): Promise<void> | void;
}

/** Makes a contender of a program. */
export function fromProgram(program: Program): Contender {
  const { name, command, version, how, config, sections = [], reload, variant, reloadedBy, env } = program;
  return {
    name,
    ...(variant === undefined ? {} : { variant }),
    reloadedBy,
    find(): Found {
      const path = findProgram(command);
      if (path === undefined) return { missing: how };
      const missing = program.lacks?.(path);
      if (missing !== undefined) return { missing };
      const { stdout, stderr } = spawnSync(path, version.args, { encoding: "utf8" });
      return { version: version.pattern.exec(stdout + stderr)?.[1] ?? "unknown" };
    },
    async start({ upstream, revision, port: wanted, cores = [SUBJECT_CORE] }) {
      const path = findProgram(command)!;
      const port = wanted ?? (await freePort());
      const values = { PORT: port, UPSTREAM: new URL(upstream).host, ...program.values?.(path) };
      const write = (folder: string, number: number | undefined): void =>
        number === undefined
          ? writeConfig(folder, config, values, sections)
          : writeConfig(folder, config, { ...values, REVISION: number }, [...sections, "revision"]);
      const server = await launch({
        command: path,
        args: (folder) => program.args(folder, port),
        port,
        prepare: (folder) => write(folder, revision),
        cores,
        ...(env === undefined ? {} : { env }),
      });
      if (reload === undefined) return server;
      return {
        ...server,
        reload(number) {
          write(server.folder, number);
          return reload(server, path);
        },
      };
    },
  };
}
