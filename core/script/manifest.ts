/** Finds out what a script is, by running its top level in an isolate that is thrown away. */
import type { JsonSchema } from "../plugin.ts";
import { parseSize } from "../units.ts";
import { IsolateError, ScriptIsolate } from "./isolate.ts";
import type { BodyKind } from "./plugin-api.ts";
import type { ScriptManifest } from "./script.ts";
import { StackTeller, type ScriptPlace } from "./stack.ts";
import { parseThrown } from "./thrown.ts";

/** A script that cannot be used as a plugin. */
export class ScriptLoadError extends Error {
  override readonly name = "ScriptLoadError";
  /** Where in the author's files, if that is known. */
  readonly place: ScriptPlace | undefined;
  /** The key of the definition that is wrong, such as `schema`; `default` for the export itself. */
  readonly key: string | undefined;

  constructor(
    message: string,
    { place, key }: { place?: ScriptPlace | undefined; key?: string | undefined } = {},
  ) {
    super(message);
    this.place = place;
    this.key = key;
  }
}

/** Memory for the top level; hooks have the limit of their stage. */
const MEMORY_BYTES = 64 * 1024 * 1024;
const KINDS: readonly unknown[] = ["json", "text", "bytes"];
const DEFAULT_MAX = "64KB";
const MOST_BYTES = 16 * 1024 * 1024;
/** Of what a script says of itself: its schema, mostly. */
const MOST_CHARS = 256 * 1024;

/**
 * @param code one script that evaluates to `{ default: definition }`
 * @throws ScriptLoadError
 */
export async function readManifest(
  code: string,
  where: { file: string; map: string },
): Promise<ScriptManifest> {
  const { installed } = await openOnce(code, where.file);
  if (installed.startsWith("X")) {
    const { message, stack } = parseThrown(installed.slice(1)) ?? {
      message: "what cannot be read",
      stack: "",
    };
    const { place } = new StackTeller(where).tell(stack);
    throw new ScriptLoadError(`The script throws while it is loaded: ${message}`, { place });
  }
  if (installed.length > MOST_CHARS)
    throw new ScriptLoadError(`"schema" is larger than ${MOST_CHARS} characters`, { key: "schema" });
  if (installed.startsWith("!")) {
    const { key, message } = parseObject(installed.slice(1));
    throw new ScriptLoadError(String(message), { key: String(key) });
  }
  const { schema, body, hooks } = parseObject(installed);
  const { request, response } = checkObject(hooks);
  const known = { request: request === true, response: response === true };
  return { schema: checkSchema(schema), hooks: known, body: checkBody(checkObject(body), known) };
}

function parseObject(json: string): Record<string, unknown> {
  try {
    return checkObject(JSON.parse(json));
  } catch {
    return checkObject(undefined);
  }
}

/** @throws ScriptLoadError for a script that has changed what its export is told with */
function checkObject(value: unknown): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw new ScriptLoadError("What the file exports cannot be read", { key: "default" });
}

async function openOnce(code: string, file: string): Promise<{ installed: string }> {
  try {
    const isolate = await ScriptIsolate.open({
      code,
      file,
      memoryBytes: MEMORY_BYTES,
      onHostCall: () => "=0",
    });
    const { installed } = isolate;
    isolate.dispose();
    return { installed };
  } catch (error) {
    if (!(error instanceof IsolateError)) throw error;
    throw new ScriptLoadError(
      error.fault === "timeout"
        ? "The script's top level runs for more than a second"
        : `The script cannot be loaded: ${error.message}`,
    );
  }
}

function checkSchema(schema: unknown): JsonSchema {
  if (schema === undefined) return { type: "object", properties: {}, additionalProperties: false };
  const fail = (message: string): never => {
    throw new ScriptLoadError(message, { key: "schema" });
  };
  if (typeof schema !== "object" || schema === null || Array.isArray(schema))
    return fail('"schema" must be a JSON Schema');
  const { type, additionalProperties = false } = schema as JsonSchema;
  if (type !== "object")
    return fail('"schema" must describe an object: { type: "object", properties: { … } }');
  return { ...(schema as JsonSchema), additionalProperties };
}

function checkBody(body: Record<string, unknown>, hooks: ScriptManifest["hooks"]): ScriptManifest["body"] {
  const fail = (message: string): never => {
    throw new ScriptLoadError(message, { key: "body" });
  };
  for (const key of Object.keys(body)) {
    if (!["request", "response", "max"].includes(key))
      fail(`"body" does not know "${key}"; it knows request, response, max`);
  }
  const kindOf = (side: "request" | "response"): BodyKind | undefined => {
    const kind = body[side];
    if (kind === undefined) return undefined;
    if (!KINDS.includes(kind)) fail(`body.${side} must be "json", "text" or "bytes"`);
    if (!hooks[side]) fail(`body.${side} is declared, but there is no ${side} hook`);
    return kind as BodyKind;
  };
  const { max = DEFAULT_MAX } = body;
  let maxBytes = 0;
  try {
    maxBytes = parseSize(String(max));
  } catch {
    fail('body.max must be a size such as "64KB"');
  }
  if (maxBytes > MOST_BYTES) fail('body.max can be "16MB" at most');
  return { request: kindOf("request"), response: kindOf("response"), maxBytes };
}
