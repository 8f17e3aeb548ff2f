/** Stages to one handler: `when`, `onError` and timing are wrapped around a stage only where they are asked for. */
import type { OnError, StageConfig } from "./config/checked.ts";
import { ConfigError, GatewayError, type Problem } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { compileCondition, type Predicate } from "./match.ts";
import type { Handler, Stage } from "./plugin.ts";
import { type Reply, textReply } from "./reply.ts";

/** A built stage and how it is used. */
export interface PipelineStage {
  readonly name: string;
  readonly stage: Stage;
  readonly when: Predicate | undefined;
  readonly onError: OnError;
}

/** Told how long a stage took by itself, in milliseconds, without the stages below. */
export type TimingListener = (x: Exchange, stage: string, ms: number) => void;

/** The condition of a stage, compiled. Problems have pointers relative to the stage, as a plugin's have. */
export function compileWhen(config: StageConfig): Predicate | undefined {
  return config.when === undefined ? undefined : compileCondition(config.when);
}

/**
 * Composes stages, first on top, into one handler.
 * @param onTiming when given, every stage is timed
 */
export function composePipeline(stages: readonly PipelineStage[], onTiming?: TimingListener): Handler {
  const bottom: Handler = () => {
    throw new GatewayError("INTERNAL", { detail: "The pipeline ended without a reply" });
  };
  return stages.reduceRight<Handler>((next, spec) => {
    const handler = onTiming === undefined ? withOnError(spec, next) : withTiming(spec, next, onTiming);
    const { when } = spec;
    return when === undefined ? handler : (x) => (when(x) ? handler(x) : next(x));
  }, bottom);
}

/** What became of the stages below, for one exchange. */
type Outcome = { reply: Reply } | { error: unknown };

/**
 * `onError` is about failures of the stage itself: those of the stages below pass through unchanged, and they
 * run at most once. A stage that fails before it called `next` is skipped by calling `next`; one that fails
 * after is skipped by giving the reply that `next` gave.
 */
function withOnError(spec: PipelineStage, next: Handler): Handler {
  const { onError, stage, name } = spec;
  if (onError === "fail") return stage(next);
  const outcomes = new WeakMap<Exchange, Promise<Outcome>>();
  const tracked: Handler = async (x) => {
    const outcome = settle(next, x);
    outcomes.set(x, outcome);
    const settled = await outcome;
    if ("error" in settled) throw settled.error;
    return settled.reply;
  };
  const handler = stage(tracked);
  return async (x) => {
    outcomes.delete(x); // a stage above may try again
    try {
      return await handler(x);
    } catch (error) {
      const outcome = await outcomes.get(x);
      if (outcome !== undefined && "error" in outcome) throw outcome.error;
      x.log.warn({ err: error, stage: name, onError }, "stage failed");
      if (onError === "skip") return outcome === undefined ? next(x) : outcome.reply;
      outcome?.reply.body?.cancel();
      return textReply(onError.status, onError.body);
    }
  };
}

async function settle(next: Handler, x: Exchange): Promise<Outcome> {
  try {
    return { reply: await next(x) };
  } catch (error) {
    return { error };
  }
}

function withTiming(spec: PipelineStage, next: Handler, onTiming: TimingListener): Handler {
  const below = new WeakMap<Exchange, number>();
  const handler = withOnError(spec, async (x) => {
    const start = performance.now();
    try {
      return await next(x);
    } finally {
      below.set(x, (below.get(x) ?? 0) + performance.now() - start);
    }
  });
  return async (x) => {
    below.delete(x); // a stage above may try again
    const start = performance.now();
    try {
      return await handler(x);
    } finally {
      onTiming(x, spec.name, performance.now() - start - (below.get(x) ?? 0));
    }
  };
}

/**
 * Moves the problems of a ConfigError thrown by a plugin's build to where the stage stands in the configuration.
 */
export function locateProblems(error: unknown, stage: StageConfig): Problem[] {
  if (error instanceof ConfigError) {
    return error.problems.map((p) => ({ ...p, pointer: `${stage.pointer}${p.pointer}` }));
  }
  const message = `The plugin "${stage.plugin}" could not be built: ${(error as Error)?.message ?? error}`;
  return [{ code: "CONFIG_OPTION_INVALID", message, pointer: stage.pointer }];
}
