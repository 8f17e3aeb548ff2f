/**
 * Loads a configuration: reads it with what it includes, replaces `${…}`, checks it against the schemas, resolves
 * every reference, and gives plain data to build a generation from. Every problem is found at once.
 */
import { createHash } from "node:crypto";
import { dirname, resolve } from "node:path";
import { ConfigError, type Problem } from "../errors.ts";
import type { Catalogue, JsonSchema } from "../plugin.ts";
import type { ScriptLoader } from "../script/load.ts";
import type { ScriptBundle } from "../script/script.ts";
import { parseDuration } from "../units.ts";
import { checkAudit } from "./audit.ts";
import { checkListeners } from "./addresses.ts";
import { asRecord, Checking } from "./checking.ts";
import { checkConsumers } from "./consumers.ts";
import type { ConfigCode } from "./codes.ts";
import { Diagnoser, type Diagnostic } from "./diagnose.ts";
import { showEffective, showWritten } from "./effective.ts";
import { type Reading, readIncludes, readTree } from "./include.ts";
import { checkOverload } from "./overload.ts";
import { Pipelines } from "./pipelines.ts";
import { renderMessage, renderPlace } from "./render.ts";
import { RateLimits } from "./rate-limits.ts";
import { checkRoutes } from "./routes.ts";
import type { CheckedConfig, RouteConfig } from "./checked.ts";
import { gatewaySchema } from "./schema.ts";
import { loadScripts } from "./scripts.ts";
import { Secrets } from "./secrets.ts";
import { checkStores } from "./stores.ts";
import { checkTargets } from "./targets.ts";
import { WhoAsks } from "./who-asks.ts";
import { createMap, type Finding, findNode, fromPlain, type MapNode, toPlain } from "./tree.ts";

export type { Diagnostic };

export interface LoadOptions {
  /** The plugins that stages can be. */
  readonly catalogue: Catalogue;
  /** For `${env:…}`; the process's by default. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /**
   * Builds a configuration and closes it again. Used when there are problems, on the routes that have none, so
   * that what only building finds is told at the same time. Nothing else is built here.
   * @throws ConfigError with pointers into the configuration
   */
  readonly compile?: (config: CheckedConfig) => Promise<unknown>;
  /** Makes scripts, and remembers them for the next time; one is made for this time by default. */
  readonly scripts?: ScriptLoader;
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
  return checkTree(await readTree(file, reading), reading, options, true);
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
  return checkTree(await readIncludes(main, reading), reading, options, false);
}

export function createReading(baseDir: string, { env = process.env }: Pick<LoadOptions, "env">): Reading {
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

async function checkTree(
  tree: MapNode,
  reading: Reading,
  { catalogue, compile, scripts: loader }: LoadOptions,
  isFile: boolean,
): Promise<LoadedConfig> {
  const { findings, sources, baseDir } = reading;
  const isPartial = findings.some(({ code }) => PARTIAL.has(code));
  const plain = toPlain(tree) as Record<string, unknown>;
  const scripts = await loadScripts(tree, plain, reading, catalogue, isFile, loader);
  const bundles = [...scripts.plugins.values(), ...scripts.stages.values()].filter((b) => b !== undefined);
  const schemas: JsonSchema[] = [
    gatewaySchema,
    ...[...catalogue.values()].map(({ schema }) => schema),
    ...bundles.map(({ manifest }) => manifest.schema),
  ];
  const secrets = new Secrets(schemas);
  const read = findings.length;
  const checking = new Checking(tree, catalogue, scripts, secrets, findings, baseDir);
  checking.applySchema(gatewaySchema, plain, "");
  const upstreams = asRecord(plain["upstreams"]);
  checkListeners(checking, plain);
  checkTargets(checking, upstreams);
  checking.stores = checkStores(checking, plain);
  const consumers = checkConsumers(checking, plain);
  checkAudit(checking, plain);
  checkOverload(checking, plain);
  const pipelines = new Pipelines(checking, asRecord(plain["pipelines"]), upstreams);
  const rateLimits = new RateLimits(checking, plain);
  const whoAsks = new WhoAsks(
    checking,
    consumers.map(({ name }) => name),
  );
  const routes = checkRoutes(checking, plain["routes"], pipelines, rateLimits, upstreams, whoAsks);

  const places = { files: [...reading.files], folders: [...reading.folders] };
  const diagnoser = new Diagnoser(tree, secrets, sources);
  if (findings.length > 0) {
    const left = [...findings.slice(0, read), ...reduce(findings.slice(read), tree, isPartial)];
    const sound = soundRoutes(
      routes.map((route) => route.config),
      left,
    );
    const more =
      compile === undefined || isPartial || sound.length === 0
        ? []
        : await problemsOf(() => compile(createConfig(plain, consumers, sound, bundles, baseDir)));
    throw new ConfigLoadError(diagnoser.diagnose([...left, ...more].slice(0, MAX_PROBLEMS)), places);
  }
  const config = createConfig(
    plain,
    consumers,
    routes.map((route) => route.config),
    bundles,
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

/** Routes that can be built although other parts have problems: none while an upstream or a default is in doubt. */
function soundRoutes(routes: readonly RouteConfig[], findings: readonly Finding[]): RouteConfig[] {
  const elsewhere = findings.some(({ pointer }) => !/^\/(routes|pipelines|listeners|admin)\//.test(pointer));
  if (elsewhere) return [];
  const isSound = (at: string): boolean =>
    findings.every(({ pointer }) => pointer !== at && !pointer.startsWith(`${at}/`));
  return routes.filter(({ pointer, stages }) => [pointer, ...stages.map((s) => s.pointer)].every(isSound));
}

async function problemsOf(compile: () => Promise<unknown>): Promise<readonly Problem[]> {
  try {
    await compile();
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
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
  "CONFIG_UNKNOWN_STORE",
  "CONFIG_UNKNOWN_CONSUMER",
  "CONFIG_UNKNOWN_PIPELINE",
  "CONFIG_NOBODY_KNOWN",
  "CONFIG_UNMATCHED_PATH",
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
  consumers: CheckedConfig["consumers"],
  routes: CheckedConfig["routes"],
  bundles: readonly ScriptBundle[],
  baseDir: string,
): CheckedConfig {
  const { listeners, admin, log, threads, audit, overload, drainTimeout, upstreams, stores } =
    plain as unknown as CheckedConfig & {
      drainTimeout: string;
    };
  const used = new Set(routes.flatMap(({ stages }) => stages.map(({ script }) => script?.version)));
  const scripts = bundles.filter(({ version }) => used.has(version));
  const content = {
    listeners,
    admin,
    log,
    threads,
    audit,
    overload,
    drainTimeoutMs: parseDuration(drainTimeout),
    upstreams,
    stores,
    consumers,
    scripts: Object.fromEntries(scripts.map((script) => [script.version, script])),
    routes,
    baseDir,
  };
  // Stages have the versions of their scripts.
  const hash = createHash("sha256")
    .update(JSON.stringify({ ...content, scripts: undefined }))
    .digest("hex");
  return { ...content, hash };
}
