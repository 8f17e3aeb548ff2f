/**
 * `import { createGateway } from "sluice"`: a gateway inside another program, in its own thread. Two can live
 * side by side; nothing is global.
 */
import { resolve } from "node:path";
import { catalogue as builtIn } from "../plugins/index.ts";
import {
  ConfigLoadError,
  type LoadedConfig,
  type LoadOptions,
  loadConfig,
  loadConfigObject,
} from "./config/load.ts";
import { assertSchema } from "./config/validate.ts";
import type { ReloadResult } from "./control.ts";
import type { Plugin } from "./plugin.ts";
import { compileOnce, startRuntime } from "./runtime.ts";
import { ScriptLoader } from "./script/load.ts";

export { ConfigLoadError, type ReloadResult };

export interface GatewayOptions {
  /** Reload when a file of the configuration changes; only for a configuration in a file. Default false. */
  watch?: boolean;
  /** Plugins beside the built-in ones. */
  plugins?: readonly Plugin[];
  /** Where `${env:NAME}` looks; `process.env` by default. */
  env?: Readonly<Record<string, string | undefined>>;
  /** Where log lines go, as JSON text; standard output by default. */
  logTo?: { write(line: string): void };
  /** Folder that relative paths start from, for a configuration given as an object; the current one by default. */
  baseDir?: string;
}

/** A gateway in this process. */
export interface Gateway {
  /** Data listeners, such as `http://127.0.0.1:8080`, in the order of the configuration. */
  readonly urls: string[];
  /** The admin listener, if there is one. */
  readonly adminUrl: string | undefined;
  /** Number of the generation that serves. */
  readonly generation: number;
  /**
   * Reads the configuration again and swaps it in; a bad one is refused and the old one goes on.
   * @param config a new configuration; the same file or object by default
   */
  reload(config?: string | object): Promise<ReloadResult>;
  /** Lets requests under way end, up to `drainTimeout`, and closes everything. */
  stop(): Promise<void>;
}

/**
 * Starts a gateway.
 * @param config path of a configuration file, or the configuration as an object
 * @throws ConfigLoadError listing every problem, when it cannot be used
 */
export async function createGateway(config: string | object, options: GatewayOptions = {}): Promise<Gateway> {
  const catalogue = new Map(builtIn);
  for (const plugin of options.plugins ?? []) {
    if (catalogue.has(plugin.name)) throw new TypeError(`The plugin "${plugin.name}" is built in`);
    assertSchema(plugin.schema);
    catalogue.set(plugin.name, plugin);
  }
  let source = config;
  const scripts = new ScriptLoader();
  const loadOptions: LoadOptions & { baseDir?: string } = {
    catalogue,
    compile: compileOnce(catalogue),
    scripts,
  };
  if (options.env !== undefined) Object.assign(loadOptions, { env: options.env });
  if (options.baseDir !== undefined) loadOptions.baseDir = options.baseDir;
  const load = (): Promise<LoadedConfig> =>
    typeof source === "string"
      ? loadConfig(resolve(source), loadOptions)
      : loadConfigObject(source, loadOptions);
  const { control, log } = await startRuntime(load, catalogue, options.logTo && { logTo: options.logTo });
  if (options.watch === true && typeof config === "string") await control.watch();
  return {
    get urls() {
      return control.urls;
    },
    get adminUrl() {
      return control.adminUrl;
    },
    get generation() {
      return control.generation;
    },
    async reload(next) {
      const before = source;
      if (next !== undefined) source = next;
      const result = await control.reload();
      if (result.result === "refused") source = before;
      return result;
    },
    async stop() {
      await control.stop();
      await scripts.close();
      await log.drain();
    },
  };
}
