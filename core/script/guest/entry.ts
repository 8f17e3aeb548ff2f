/** What the host calls: takes the script's exports, learns of stages, runs hooks. */
import type { Guest, GuestStage } from "./shape.ts";

/** What the host gets of a guest. Everything that goes in and out is text or a number. */
export interface GuestEntry {
  /**
   * Runs the script's top level and takes what it exports. Gives its manifest as JSON, `!` and what is wrong with that
   * as JSON, or `X` and what was thrown.
   */
  install(code: string, file: string): string;
  /** Learns of a stage that the script is; forgets the one that had its number. */
  addStage(number: number, stage: string): void;
  /**
   * Runs a hook. Gives lines of edits, undefined for none, `P` when it has not settled yet (`settle` is asked for later),
   * or `X` and what was thrown, as JSON. There are so few arguments because each costs.
   * @param target the number of the stage twice, and one more for the hook of responses
   * @param text method and URL, or the status; then `\nname:value` for each header
   */
  run(target: number, run: number, text: string, body?: string, states?: string): string | undefined;
  /**
   * Tells a run that something it began has ended.
   * @param outcome 1 when it went well, 0 when not, 2 when nobody waits for it any more
   */
  resume(operation: number, outcome: number, result: string): void;
}

export function guestEntry(g: Guest): GuestEntry {
  const { stringify } = JSON;
  /** By another name it sees only what is global. */
  // biome-ignore lint/security/noGlobalEval: this is where scripts run
  const evaluate = eval;
  const stages: GuestStage[] = [];
  type Hook = (message: unknown, context: unknown) => unknown;
  let request: Hook | undefined;
  let response: Hook | undefined;

  const settled = (message: unknown, context: unknown, result: unknown, hook: number): string | undefined => {
    if (result !== undefined && hook === 0) {
      const reply = g.replyLines(result);
      if (reply === undefined) {
        throw new TypeError("A request hook returns nothing, or what ctx.reply() makes");
      }
      return g.stateLine(context) + reply;
    }
    const edits = g.editsOf(message) + g.stateLine(context);
    return edits === "" ? undefined : edits;
  };

  const complain = (key: string, message: string): string => `!${stringify({ key, message })}`;

  const deepFreeze = (value: unknown): unknown => {
    if (typeof value === "object" && value !== null) {
      for (const each of Object.values(value)) deepFreeze(each);
      Object.freeze(value);
    }
    return value;
  };

  const take = (definition: unknown): string => {
    if (typeof definition !== "object" || definition === null) {
      return complain("default", "The file must export what definePlugin() gives by default");
    }
    const known = ["schema", "body", "request", "response"];
    for (const key of Object.keys(definition)) {
      if (!known.includes(key))
        return complain(key, `definePlugin does not know "${key}"; it knows ${known.join(", ")}`);
    }
    const {
      schema,
      body = {},
      request: onRequest,
      response: onResponse,
    } = definition as Record<string, unknown>;
    for (const [key, hook] of Object.entries({ request: onRequest, response: onResponse })) {
      if (hook !== undefined && typeof hook !== "function")
        return complain(key, `"${key}" must be a function`);
    }
    if (onRequest === undefined && onResponse === undefined) {
      return complain("default", "A plugin needs a request hook or a response hook");
    }
    if (typeof body !== "object" || body === null) return complain("body", '"body" must be an object');
    const of = definition as { request?: Hook; response?: Hook };
    if (onRequest !== undefined) request = (message, context) => of.request!(message, context);
    if (onResponse !== undefined) response = (message, context) => of.response!(message, context);
    const kinds = body as Record<string, unknown>;
    g.bodyKinds = { request: String(kinds["request"]), response: String(kinds["response"]) };
    return stringify({
      schema,
      body,
      hooks: { request: request !== undefined, response: response !== undefined },
    });
  };

  return {
    install(code, file) {
      try {
        const exports = evaluate(`${code}\n//# sourceURL=${file}`) as { default?: unknown } | undefined;
        return take(exports?.default);
      } catch (error) {
        return `X${g.describe(error)}`;
      }
    },

    addStage(number, stage) {
      stages[number] = deepFreeze(JSON.parse(stage)) as GuestStage;
    },

    run(target, run, text, body, states) {
      g.running = run;
      const hook = target & 1;
      try {
        const stage = stages[target >> 1]!;
        const context = g.createContext(run, stage, states);
        const message = hook === 0 ? g.createRequest(run, stage, text, body) : g.createResponse(text, body);
        const result = hook === 0 ? request!(message, context) : response!(message, context);
        if (typeof result !== "object" || result === null || !("then" in result)) {
          return settled(message, context, result, hook);
        }
        Promise.resolve(result)
          .then((value) => settled(message, context, value, hook) ?? "")
          .then(
            (edits) => g.ask("settle", run, edits),
            (error) => g.ask("settle", run, `X${g.describe(error)}`),
          );
        return "P";
      } catch (error) {
        return `X${g.describe(error)}`;
      }
    },

    resume(operation, outcome, result) {
      g.onEnded(operation, outcome, result);
    },
  };
}
