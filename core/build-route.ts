/** Builds the routes of a generation, each with its pipeline. */
import type { CheckedConfig, RouteConfig, StageConfig } from "./config/checked.ts";
import { ConfigError, GatewayError, type Problem } from "./errors.ts";
import type { Exchange, RouteInfo } from "./exchange.ts";
import type { GenerationSurroundings } from "./generation.ts";
import type { Predicate } from "./match.ts";
import type { GatewayMetrics } from "./observe/metrics.ts";
import type { OverloadMonitor } from "./overload/monitor.ts";
import {
  compileWhen,
  composePipeline,
  locateProblems,
  type PipelineStage,
  type TimingListener,
} from "./pipeline.ts";
import type { Handler, Host, Plugin, Stage } from "./plugin.ts";
import { compileRewrite } from "./rewrite.ts";
import type { Routable } from "./router.ts";
import { parseSize } from "./units.ts";

/** A route that is ready to serve. */
export interface Route extends RouteInfo, Routable {
  /** Its place in the configuration. */
  readonly index: number;
  readonly config: RouteConfig;
  readonly handler: Handler;
  /** What it makes of the path before the first stage. */
  readonly rewrite: ((x: Exchange) => void) | undefined;
}

/** Stands for what could not be built; a generation that has one never serves. */
const UNBUILT: Handler = () => {
  throw new GatewayError("INTERNAL");
};

/** Builds a route as far as it can be built; what is wrong with it is added to `problems`. */
export async function buildRoute(
  config: RouteConfig,
  index: number,
  { scripts }: CheckedConfig,
  hostFor: (route: string, stage: string) => Host,
  around: GenerationSurroundings,
  overload: OverloadMonitor | undefined,
  onTiming: TimingListener | undefined,
  problems: Problem[],
): Promise<Route> {
  const stages: PipelineStage[] = [];
  let answersPreflight = false;
  let shed = overload?.stage;
  const names = new Map<string, number>();
  for (const stage of config.stages) {
    const { name, onError } = stage;
    const plugin = around.catalogue.get(stage.plugin);
    answersPreflight ||= plugin?.answersPreflight === true;
    if (plugin?.terminal === true && shed !== undefined) {
      stages.push({ name: "overload", stage: shed, when: undefined, onError: "fail" });
      shed = undefined;
    }
    let when: Predicate | undefined;
    try {
      when = compileWhen(stage);
    } catch (error) {
      problems.push(...locateProblems(error, stage));
    }
    try {
      const nth = (names.get(name) ?? 0) + 1;
      names.set(name, nth);
      const host = hostFor(config.name, nth === 1 ? name : `${name}#${nth}`);
      const built = await buildStage(stage, plugin, scripts, host, around);
      stages.push({ name, stage: built, when, onError });
    } catch (error) {
      problems.push(...locateProblems(error, stage));
    }
  }
  let rewrite: ((x: Exchange) => void) | undefined;
  try {
    rewrite = compileRewrite(config);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    problems.push(...error.problems.map((p) => ({ ...p, pointer: `${config.pointer}${p.pointer}` })));
  }
  let pipeline: Handler = UNBUILT;
  try {
    pipeline = composePipeline(stages, onTiming);
  } catch (error) {
    const message = `The stages could not be composed: ${(error as Error)?.message ?? error}`;
    problems.push({ code: "CONFIG_OPTION_INVALID", message, pointer: `${config.pointer}/pipeline` });
  }
  const limit = config.limits?.bodySize;
  return {
    index,
    name: config.name,
    preserveHost: config.preserveHost,
    stats: around.metrics.route(config.name),
    config,
    answersPreflight,
    handler: rewrite === undefined ? pipeline : withRewrite(rewrite, pipeline),
    rewrite,
    maxBodyBytes: limit === undefined ? undefined : parseSize(limit),
  };
}

async function buildStage(
  { script, options }: StageConfig,
  plugin: Plugin | undefined,
  scripts: CheckedConfig["scripts"],
  host: Host,
  around: GenerationSurroundings,
): Promise<Stage> {
  if (script === undefined) return plugin!.build(options as never, host);
  const { buildScriptStage } = await import("./script/stage.ts");
  return buildScriptStage(scripts[script.version]!, script, options, host, around);
}

function withRewrite(rewrite: (x: Exchange) => void, pipeline: Handler): Handler {
  return (x) => {
    rewrite(x);
    return pipeline(x);
  };
}

export function stageTimings(metrics: GatewayMetrics): TimingListener {
  const histogram = metrics.histogram(
    "sluice_stage_duration_seconds",
    "Time in a stage itself, without the stages below.",
    ["route", "stage"],
  );
  return (x, stage, ms) => {
    x.timings ??= new Map();
    x.timings.set(stage, (x.timings.get(stage) ?? 0) + ms);
    histogram.observe(ms / 1000, { route: x.route.name, stage });
  };
}
