/** A script as a stage of a pipeline. Loaded only where a configuration has scripts. */
import type { GatewayError } from "../errors.ts";
import { keyOf } from "../keep.ts";
import type { StageScript } from "./script.ts";
import type { Exchange } from "../exchange.ts";
import type { Handler, Host, Stage } from "../plugin.ts";
import type { Reply } from "../reply.ts";
import type { GenerationSurroundings } from "../generation.ts";
import { exposeScript } from "./exposed-script.ts";
import { applyToReply, applyToRequest, EditReader } from "./edits.ts";
import { HookRun } from "./hook-run.ts";
import { Quarantine } from "./quarantine.ts";
import { ScriptRegistry } from "./registry.ts";
import { ScriptRunner } from "./runner.ts";
import type { ScriptBundle } from "./script.ts";
import { joinTimers } from "./timer-slack.ts";
import { createScriptStage, type ScriptStage } from "./script-stage.ts";

/**
 * @param bundle the script
 * @param script limits and grants of the stage
 * @param options what the stage's options are, checked
 */
export async function buildScriptStage(
  bundle: ScriptBundle,
  script: StageScript,
  options: unknown,
  host: Host,
  around: GenerationSurroundings,
): Promise<Stage> {
  const { limits, grants } = script;
  const key = keyOf(`script ${bundle.name}`, [bundle.version, limits.memoryBytes]);
  const registry = host.keep("scripts", () => new ScriptRegistry(around.metrics));
  const runner = host.keep(key, () => {
    joinTimers();
    const quarantine = new Quarantine(around.shared, bundle.version);
    return registry.add(new ScriptRunner(bundle, limits.memoryBytes, { ...around, quarantine, registry }));
  });
  const stage = createScriptStage(bundle, limits, grants, options, host, around.openFetch);
  await runner.addStage(stage);
  host.onClose(() => runner.removeStage(stage));
  exposeScript(around.exposed, runner, host.route, around.log);
  const { request, response } = bundle.manifest.hooks;
  const hooks = new Hooks(runner, stage);
  if (!response)
    return (next) => (x) => {
      const reply = hooks.request(x);
      if (reply === undefined) return next(x);
      return reply instanceof Promise ? reply.then((early) => early ?? next(x)) : reply;
    };
  // No async functions: each costs a frame that lives as long as the request.
  const proceed = (x: Exchange, next: Handler): Reply | Promise<Reply> => {
    const reply = next(x);
    return reply instanceof Promise
      ? reply.then((late) => hooks.response(x, late))
      : hooks.response(x, reply);
  };
  if (!request) {
    return (next) => (x) => {
      hooks.askForWhole(x);
      return proceed(x, next);
    };
  }
  return (next) => (x) => {
    hooks.askForWhole(x);
    const reply = hooks.request(x);
    if (reply === undefined) return proceed(x, next);
    return reply instanceof Promise ? reply.then((early) => early ?? proceed(x, next)) : reply;
  };
}

class Hooks {
  readonly #runner: ScriptRunner;
  readonly #stage: ScriptStage;
  readonly #name: string;
  readonly #requestEdits = new EditReader();
  readonly #replyEdits = new EditReader();

  constructor(runner: ScriptRunner, stage: ScriptStage) {
    this.#runner = runner;
    this.#stage = stage;
    this.#name = stage.bundle.name;
  }

  /** A part of a body cannot be edited. */
  askForWhole(x: Exchange): void {
    if (this.#stage.bundle.manifest.body.response === undefined) return;
    x.headers.delete("range");
    x.headers.delete("if-range");
  }

  /** Gives the reply, if the script answered itself. */
  request(x: Exchange): Reply | undefined | Promise<Reply | undefined> {
    const { body } = this.#stage.bundle.manifest;
    if (body.request === undefined) return this.#request(x, undefined);
    if (x.body === null) return this.#request(x, "");
    return x.readBody(body.maxBytes).then((bytes) => this.#request(x, textOf(bytes, body.request)));
  }

  #request(x: Exchange, body: string | undefined): Reply | undefined | Promise<Reply | undefined> {
    const run = new HookRun(this.#runner.nextRun(), x, this.#stage);
    const text = addHeaders(`${x.method} ${x.path}${x.search}`, x.headers.raw);
    const edits = this.#runner.call(run, 0, text, body, statesOf(x));
    if (edits === undefined) return undefined;
    if (typeof edits === "string") return this.#applyToRequest(x, edits);
    return edits.then((late) => (late === undefined ? undefined : this.#applyToRequest(x, late)));
  }

  #applyToRequest(x: Exchange, edits: string): Reply | undefined {
    try {
      return applyToRequest(x, this.#requestEdits.read(edits), this.#name);
    } catch (error) {
      throw this.#runner.count(error as GatewayError);
    }
  }

  response(x: Exchange, reply: Reply): Reply | Promise<Reply> {
    const { body } = this.#stage.bundle.manifest;
    if (body.response === undefined) return this.#response(x, reply, undefined);
    if (reply.body === null) return this.#response(x, reply, "");
    return reply
      .readBody(body.maxBytes)
      .then((bytes) => this.#response(x, reply, textOf(bytes, body.response)));
  }

  #response(x: Exchange, reply: Reply, body: string | undefined): Reply | Promise<Reply> {
    const run = new HookRun(this.#runner.nextRun(), x, this.#stage);
    const text = addHeaders(String(reply.status), reply.headers.raw);
    const edits = this.#runner.call(run, 1, text, body, statesOf(x));
    if (edits === undefined) return reply;
    if (typeof edits !== "string") return edits.then((late) => this.#edited(x, reply, late));
    return this.#edited(x, reply, edits);
  }

  #edited(x: Exchange, reply: Reply, edits: string | undefined): Reply {
    if (edits === undefined) return reply;
    try {
      applyToReply(x, reply, this.#replyEdits.read(edits), this.#name);
      return reply;
    } catch (error) {
      throw this.#runner.count(error as GatewayError);
    }
  }
}

/** A message as a script is given it: its first line, and `\nname:value` for each header, names in lower case. */
function addHeaders(line: string, raw: readonly string[]): string {
  let text = line;
  for (let i = 0; i < raw.length; i += 2) text += `\n${raw[i]!.toLowerCase()}:${raw[i + 1]!}`;
  return text;
}

function statesOf({ scriptStates }: Exchange): string | undefined {
  if (scriptStates === undefined) return undefined;
  return `{${[...scriptStates].map(([name, state]) => `${JSON.stringify(name)}:${state}`).join(",")}}`;
}

function textOf(bytes: Buffer, kind: string | undefined): string {
  return bytes.toString(kind === "bytes" ? "latin1" : "utf8");
}
