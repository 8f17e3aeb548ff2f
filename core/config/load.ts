/**
 * Loads a configuration: reads it with what it includes, replaces `${…}`, checks it against the schemas, resolves
 * every reference, and gives plain data to build a generation from. Every problem is found at once.
 */
import { createHash } from "node:crypto";
import { dirname, resolve } from "node:path";
import { ConfigError, type Problem } from "../errors.ts";
import type { Catalogue, JsonSchema } from "../plugin.ts";
import { parseDuration } from "../units.ts";
import { checkListeners, checkTargets } from "./addresses.ts";
import { asRecord, Checking } from "./checking.ts";
import type { ConfigCode } from "./codes.ts";
import { Diagnoser, type Diagnostic } from "./diagnose.ts";
import { showEffective, showWritten } from "./effective.ts";
import { type Reading, readIncludes, readTree } from "./include.ts";
import { Pipelines } from "./pipelines.ts";
import { renderMessage, renderPlace } from "./render.ts";
import { checkRoutes } from "./routes.ts";
import type { CheckedConfig } from "./checked.ts";
import { gatewaySchema } from "./schema.ts";
import { Secrets } from "./secrets.ts";
import { createMap, type Finding, findNode, fromPlain, type MapNode, toPlain } from "./tree.ts";

export type { Diagnostic };

export interface LoadOptions {
  /** The plugins that stages can be. */
  readonly catalogue: Catalogue;
  /** For `${env:…}`; the process's by default. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** Files and folders that a configuration depends on, all absolute. */
export interface ConfigSources {
  /** Files that were read or looked for: the main one, included ones, those of `${file:…}`. */
  readonly files: readonly string[];
  /** Folders in which a new file would be included. */
  readonly folders: readonly string[];
}

/** A configuration without problems. */
export interface LoadedConfig extends ConfigSources {
  readonly config: CheckedConfig;
  /** With defaults, routes flat, secrets masked: for people. */
  effective(): Record<string, unknown>;
  /** As written, all files joined, secrets masked: for people. */
  written(): Record<string, unknown>;
  /** Finds the places of problems that building the configuration raised. */
  locate(problems: readonly Problem[]): Diagnostic[];
}

/** A configuration that cannot be used, with every problem in it. */
export class ConfigLoadError extends ConfigError implements ConfigSources {
  override readonly name = "ConfigLoadError";
  readonly diagnostics: readonly Diagnostic[];
  readonly files: readonly string[];
  readonly folders: readonly string[];

  constructor(diagnostics: readonly Diagnostic[], sources: ConfigSources) {
    super(diagnostics);
    this.message = diagnostics
      .map((d) => `${renderPlace(d, process.cwd())} ${d.code} ${renderMessage(d)}`.trim())
      .join("\n");
    this.diagnostics = diagnostics;
    this.files = sources.files;
    this.folders = sources.folders;
  }
}

/**
 * Loads a configuration file.
 * @throws ConfigLoadError with every problem
 */
export async function loadConfig(path: string, options: LoadOptions): Promise<LoadedConfig> {
  const file = resolve(path);
  const reading = createReading(dirname(file), options);
  return checkTree(await readTree(file, reading), reading, options.catalogue);
}

/**
 * Loads a configuration that is given as plain data, for embedding. Problems have pointers and no places.
 * @param baseDir where relative paths start; the current folder by default
 * @throws ConfigLoadError with every problem
 */
export async function loadConfigObject(
  value: unknown,
  options: LoadOptions & { readonly baseDir?: string },
): Promise<LoadedConfig> {
  const reading = createReading(resolve(options.baseDir ?? "."), options);
  let main = fromPlain(value, reading.findings);
  if (main.kind !== "map") {
    reading.findings.push({
      code: "CONFIG_TYPE",
      message: "A configuration is a map of keys such as `routes`",
      pointer: "",
    });
    main = createMap();
  }
  return checkTree(await readIncludes(main, reading), reading, options.catalogue);
}

function createReading(baseDir: string, { env = process.env }: LoadOptions): Reading {
  return {
    env,
    baseDir,
    findings: [],
    files: new Set(),
    included: new Set(),
    sources: [],
    folders: new Set(),
  };
}

function checkTree(tree: MapNode, reading: Reading, catalogue: Catalogue): LoadedConfig {
  const { findings, sources, baseDir } = reading;
  const schemas: JsonSchema[] = [gatewaySchema, ...[...catalogue.values()].map(({ schema }) => schema)];
  const secrets = new Secrets(schemas);
  const isPartial = findings.some(({ code }) => PARTIAL.has(code));
  const read = findings.length;
  const checking = new Checking(tree, catalogue, secrets, findings, baseDir);
  const plain = toPlain(tree) as Record<string, unknown>;
  checking.applySchema(gatewaySchema, plain, "");
  const upstreams = asRecord(plain["upstreams"]);
  checkListeners(checking, plain);
  checkTargets(checking, upstreams);
  const pipelines = new Pipelines(checking, asRecord(plain["pipelines"]), upstreams);
  const routes = checkRoutes(checking, plain["routes"], pipelines, upstreams);

  const places = { files: [...reading.files], folders: [...reading.folders] };
  const diagnoser = new Diagnoser(tree, secrets, sources);
  if (findings.length > 0) {
    const left = [...findings.slice(0, read), ...reduce(findings.slice(read), tree, isPartial)];
    throw new ConfigLoadError(diagnoser.diagnose(left.slice(0, MAX_PROBLEMS)), places);
  }
  const config = createConfig(
    plain,
    routes.map((route) => route.config),
    baseDir,
  );
  return {
    ...places,
    config,
    effective: () => showEffective(plain, routes, pipelines, tree, secrets),
    written: () => showWritten(tree, secrets),
    locate: (problems) => diagnoser.diagnose(problems),
  };
}

/** Most problems that are told at once. */
const MAX_PROBLEMS = 1000;

/** Problems of reading that leave parts of the configuration unknown. */
const PARTIAL: ReadonlySet<ConfigCode> = new Set<ConfigCode>([
  "CONFIG_NOT_FOUND",
  "CONFIG_UNREADABLE",
  "CONFIG_SYNTAX",
  "CONFIG_INCLUDE",
]);

/** Problems that may only be there because a part is unknown. */
const DOUBTFUL: ReadonlySet<ConfigCode> = new Set<ConfigCode>([
  "CONFIG_UNKNOWN_UPSTREAM",
  "CONFIG_UNKNOWN_PIPELINE",
  "CONFIG_NO_TERMINAL",
]);

/** Leaves one problem for each mistake. */
function reduce(findings: readonly Finding[], tree: MapNode, isPartial: boolean): Finding[] {
  const seen = new Set<string>();
  return findings.filter(({ code, pointer, atKey = false, missing }) => {
    if (isPartial && (DOUBTFUL.has(code) || (pointer === "" && missing !== undefined))) return false;
    const { node, exact } = findNode(tree, pointer);
    if (!atKey && exact && node.kind === "scalar" && node.unresolved) return false;
    const key = JSON.stringify([pointer, atKey, missing]);
    return !seen.has(key) && seen.add(key);
  });
}

function createConfig(
  plain: Record<string, unknown>,
  routes: CheckedConfig["routes"],
  baseDir: string,
): CheckedConfig {
  const { listeners, admin, log, drainTimeout, upstreams } = plain as unknown as CheckedConfig & {
    drainTimeout: string;
  };
  const content = {
    listeners,
    admin,
    log,
    drainTimeoutMs: parseDuration(drainTimeout),
    upstreams,
    routes,
    baseDir,
  };
  const hash = createHash("sha256").update(JSON.stringify(content)).digest("hex");
  return { ...content, hash };
}
