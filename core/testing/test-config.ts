/** Loads the configuration of a test: as `sluice check` does, save that nothing of it is on the network. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { diagnosticsOf, renderAll } from "../cli/check.ts";
import type { CheckedConfig, UpstreamConfig } from "../config/checked.ts";
import { type LoadedConfig, type LoadOptions, loadConfig, loadConfigObject } from "../config/load.ts";

/**
 * @param config path, or plain data
 * @throws Error with every problem and where it is
 */
export async function loadTestConfig(config: string | object, options: LoadOptions): Promise<LoadedConfig> {
  try {
    return typeof config === "string"
      ? await loadConfig(resolve(config), options)
      : await loadConfigObject(complete(config), options);
  } catch (error) {
    throw toReadable(error, undefined);
  }
}

/** The problems of a configuration as one error, as `sluice check` shows them. */
export function toReadable(error: unknown, loaded: LoadedConfig | undefined): Error {
  const io = { cwd: process.cwd(), env: {}, isTty: false, write() {}, writeError() {} };
  const readable = new Error(
    `The configuration cannot be used.\n\n${renderAll(diagnosticsOf(error, loaded), io)}`,
  );
  // Where in the gateway that was found helps nobody.
  readable.stack = readable.message;
  return readable;
}

/** What of a configuration makes sense in memory: upstreams are fakes that are always well, and nothing is shed. */
export function withoutNetwork(config: CheckedConfig): CheckedConfig {
  const upstreams = Object.entries(config.upstreams).map(([name, upstream]) => {
    const { tls: _, targets, ...rest } = upstream;
    const list = Array.isArray(targets) ? targets : [`http://${name}.test`];
    return [name, { ...rest, targets: list, health: {} } as UpstreamConfig] as const;
  });
  return { ...config, upstreams: Object.fromEntries(upstreams), overload: undefined };
}

/** Fills in what a test need not write. */
function complete(config: object): object {
  const given = config as Record<string, unknown>;
  const names = new Set<string>();
  if (given["upstreams"] === undefined) findUpstreams([given["routes"], given["pipelines"]], names);
  const upstreams = Object.fromEntries(
    [...names].map((name) => [name, { targets: [`http://${name}.test`] }]),
  );
  return {
    apiVersion: "sluice/v1",
    listeners: [{ address: "127.0.0.1:0" }],
    ...(names.size > 0 ? { upstreams } : {}),
    ...(existsSync("plugins") ? { pluginsDir: "plugins" } : {}),
    ...given,
  };
}

/** Names under `upstream`, at any depth. */
function findUpstreams(value: unknown, names: Set<string>): void {
  if (typeof value !== "object" || value === null) return;
  for (const [key, below] of Object.entries(value)) {
    if (key === "upstream" && typeof below === "string") names.add(below);
    else findUpstreams(below, names);
  }
}
