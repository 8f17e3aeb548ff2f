/** Starts what is measured: Sluice as its users run it, and the yardstick. */
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type StartOptions, SUBJECT_CORE, Subject } from "./process.ts";

const MAIN = join(import.meta.dirname, "..", "..", "core", "main.ts");

/** A process that answers HTTP. */
export interface Server {
  readonly url: string;
  readonly subject: Subject;
  stop(): Promise<void>;
}

export interface SluiceServer extends Server {
  /** Its configuration file, for rewriting. */
  readonly file: string;
}

export interface SluiceOptions {
  /** With the process that looks after it, as users run it; without, the process under test is the one that serves. */
  supervise?: boolean;
  /** The program: its source, or what a build made of it. */
  main?: string;
  /** The core, or the cores, that it may use. */
  core?: number | readonly number[];
  /** Reload when the file changes. */
  watch?: boolean;
  /** More files in the folder of the configuration, by path. */
  files?: Readonly<Record<string, string>>;
  /** Arguments for Node. */
  nodeArgs?: readonly string[];
  onLine?: (line: string) => void;
}

/** Runs `sluice start` on a configuration in a folder of its own. */
export async function startSluice(config: object, options: SluiceOptions = {}): Promise<SluiceServer> {
  const folder = mkdtempSync(join(tmpdir(), "sluice-bench-"));
  const file = join(folder, "gateway.json");
  writeFileSync(file, JSON.stringify(config));
  for (const [path, text] of Object.entries(options.files ?? {})) {
    mkdirSync(join(folder, dirname(path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  const args = [...(options.nodeArgs ?? []), options.main ?? MAIN, "start", "-c", file];
  if (options.supervise !== true) args.push("--no-supervise");
  if (options.watch !== true) args.push("--no-watch");
  const start: StartOptions = { core: options.core ?? SUBJECT_CORE };
  if (options.onLine !== undefined) start.onLine = options.onLine;
  const subject = new Subject(process.execPath, args, start);
  const url = await subject.line((line) => {
    if (!line.includes("sluice is serving")) return undefined;
    return (JSON.parse(line) as { listeners: string[] }).listeners[0];
  });
  return {
    url,
    file,
    subject,
    async stop() {
      await subject.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Replaces a file as editors do: written beside it and renamed. */
export function saveFile(file: string, text: string): void {
  writeFileSync(`${file}.next`, text);
  renameSync(`${file}.next`, file);
}

/** As {@link saveFile}, for a configuration. */
export function saveConfig(file: string, config: object): void {
  saveFile(file, JSON.stringify(config));
}

/** Runs the yardstick in front of an upstream. */
export async function startFloor(upstream: string): Promise<Server> {
  const file = join(import.meta.dirname, "floor-proxy.ts");
  const subject = new Subject(process.execPath, [file, upstream], { core: SUBJECT_CORE });
  const url = await subject.line((line) => /^listening on (\S+)$/.exec(line)?.[1]);
  return { url, subject, stop: () => subject.stop() };
}

/** A configuration with one listener on a free port, no admin listener and no access log. */
export function benchConfig(parts: object): object {
  return {
    apiVersion: "sluice/v1",
    listeners: [{ address: "127.0.0.1:0" }],
    log: { access: false, format: "json" },
    ...parts,
  };
}
