/** A script of one generation on one thread, as operators look at it and set it back. */
import { monotonicMs } from "../clock.ts";
import { ConfigError } from "../errors.ts";
import type { ExposedThings } from "../generation.ts";
import type { Log } from "../log.ts";
import type { Exposed } from "../plugin.ts";
import type { ScriptRunner } from "./runner.ts";
import { mergeReadings, type ScriptReading } from "./view.ts";

/** Shows the script that a route uses, once however many stages it is. */
export function exposeScript(exposed: ExposedThings, runner: ScriptRunner, route: string, log: Log): void {
  let all = exposed.get("scripts") as Map<string, ExposedScript> | undefined;
  if (all === undefined) exposed.set("scripts", (all = new Map()));
  const { name, version } = runner.bundle;
  // Scripts that are written into the configuration may have a name in common.
  const id = (all.get(name)?.version ?? version) === version ? name : `${name}@${version.slice(0, 12)}`;
  let script = all.get(id);
  if (script === undefined) all.set(id, (script = new ExposedScript(version, log)));
  script.add(runner, route);
}

class ExposedScript implements Exposed {
  readonly version: string;
  readonly #log: Log;
  /** One for each `limits.memory` that stages give it. */
  readonly #runners = new Map<ScriptRunner, Set<string>>();

  constructor(version: string, log: Log) {
    this.version = version;
    this.#log = log;
  }

  add(runner: ScriptRunner, route: string): void {
    const routes = this.#runners.get(runner);
    if (routes === undefined) this.#runners.set(runner, new Set([route]));
    else routes.add(route);
  }

  describe(): ScriptReading {
    const readings = Array.from(this.#runners, ([runner, routes]) => readRunner(runner, [...routes]));
    return mergeReadings(readings as [ScriptReading, ...ScriptReading[]]);
  }

  /** Lets it run as if nothing had been wrong with it. */
  change(patch: unknown): void {
    const { state, ...others } = Object(patch) as Record<string, unknown>;
    if (state !== "running") throw new ConfigError('It can only be set to "running"', "/state");
    const [unknown] = Object.keys(others);
    if (unknown !== undefined) throw new ConfigError("Only `state` can be set", `/${unknown}`);
    for (const { ladder, quarantine, bundle } of this.#runners.keys()) {
      ladder.reset();
      quarantine.lift(monotonicMs());
      this.#log.info(
        { script: bundle.name, version: bundle.version.slice(0, 12) },
        "the script was set back",
      );
    }
  }
}

function readRunner(runner: ScriptRunner, routes: string[]): ScriptReading {
  const { bundle, stats, cpuSeconds, heapBytes } = runner;
  const { name, file, version } = bundle;
  const { calls, demotions, lastError } = stats;
  const quarantine = runner.quarantine.describe(monotonicMs());
  const errors = Object.fromEntries(stats.errors);
  const state = stateOf(runner);
  return {
    name,
    file,
    version,
    routes,
    state,
    quarantine,
    calls,
    buckets: [...stats.buckets],
    errors,
    demotions,
    cpuSeconds,
    heapBytes,
    lastError,
  };
}

/** How a script is treated on this thread. */
export function stateOf({ quarantine, ladder }: ScriptRunner): ScriptReading["state"] {
  if (quarantine.describe(monotonicMs()) !== undefined) return "quarantined";
  return ladder.isDemoted ? "demoted" : "running";
}
