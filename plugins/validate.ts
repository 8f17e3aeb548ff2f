/**
 * Checks requests before anything below sees them: params, query, headers and body against JSON Schemas, or all of
 * it against an OpenAPI 3.1 document.
 *
 * Stands below `auth`, so that strangers learn nothing of what is expected, and above `transform`; calls next for
 * requests that fit, unchanged. Others see 400 VALIDATION_FAILED, which lists what is wrong and where, never with
 * the values; bodies of a type that is not listed 415 CONTENT_TYPE_UNSUPPORTED, bodies that are too large 413. With
 * `openapi`, paths that are not in the document see 404 OPERATION_NOT_FOUND unless `unknown: pass`, and methods 405.
 * Bodies are read whole, once the head of the request was found to fit. With `mode: report` all of this is counted
 * and nothing refused. Nothing it depends on can fail.
 */
import {
  ConfigError,
  type Exchange,
  type FromSchema,
  GatewayError,
  type Handler,
  type Host,
  type JsonSchema,
  type Plugin,
  type Reply,
} from "../core/plugin.ts";
import { parseSize, size } from "../core/units.ts";
import { type BodyLimits, checkBody, type MediaType } from "./validate/body.ts";
import { readDocument } from "./validate/document.ts";
import { type Failure, MAX_FAILURES } from "./validate/failure.ts";
import { checkHeaders, checkParams, checkQuery, type HeadCheck, type Params } from "./validate/head.ts";
import type { Operation } from "./validate/openapi.ts";
import { findShape } from "./validate/shape.ts";

const document = <const D extends string>(description: D) =>
  ({ type: ["object", "string"], additionalProperties: true, minLength: 1, description }) as const;

const schema = {
  type: "object",
  description: "Checks requests against JSON Schemas or an OpenAPI document.",
  properties: {
    params: document("JSON Schema of an object that has the route's params, or its text by `${file:…}`."),
    query: document("JSON Schema of an object that has the query's parameters, or its text."),
    headers: document("JSON Schema of an object that has the headers, by names in lower case, or its text."),
    body: document("JSON Schema of the body, or its text."),
    bodyRequired: {
      type: "boolean",
      default: true,
      description: "Refuse requests without a body, given `body`.",
    },
    contentTypes: {
      type: "array",
      minItems: 1,
      items: {
        type: "string",
        pattern: "^([^\\s/;+*]+/([^\\s/;*]+|\\*)|\\+[^\\s/;*]+|\\*/\\*)$",
        "x-expected": "a media type such as application/json, text/* or +json",
      },
      description:
        "Media types that bodies may have, such as application/json, text/* or +json; by default, given `body`, application/json and +json.",
    },
    openapi: document("An OpenAPI 3.1 document, in YAML or JSON by `${file:…}`, instead of schemas."),
    operation: {
      type: "string",
      minLength: 1,
      description:
        "The `operationId` that all requests mean, whatever their path; its params are the route's.",
    },
    unknown: {
      type: "string",
      enum: ["refuse", "pass"],
      default: "refuse",
      description: "What becomes of requests for which the document has no path or no method.",
    },
    maxBody: size("1MB", "Largest body that is read, as it came and decoded."),
    maxDepth: {
      type: "integer",
      minimum: 1,
      maximum: 1000,
      default: 64,
      description: "How deep JSON may be nested.",
    },
    maxKeys: {
      type: "integer",
      minimum: 1,
      default: 1000,
      description: "Most keys of one object, or fields of a form.",
    },
    maxItems: { type: "integer", minimum: 1, default: 10_000, description: "Most items of one list." },
    mode: {
      type: "string",
      enum: ["enforce", "report"],
      default: "enforce",
      description: "`report`: count what would be refused, and let it pass.",
    },
  },
  additionalProperties: false,
} as const satisfies JsonSchema;

type Options = FromSchema<typeof schema>;

/** What a request must be; undefined when nothing is known of it, and it may pass. */
type Find = (x: Exchange) => { readonly operation: CheckedOperation; readonly params: Params } | undefined;

/** Without a rule for bodies they are not looked at. */
type CheckedOperation = Omit<Operation, "body"> & { readonly body: Operation["body"] | undefined };

/** Counts of a stage; they outlive its generation. */
class Counts {
  valid = 0;
  refused = 0;
  reported = 0;
  unchecked = 0;
}

export const validate: Plugin<Options> = {
  name: "validate",
  schema,
  guard: true,
  async build(options, host) {
    const find =
      options.openapi === undefined ? await compileSchemas(options) : await compileOpenApi(options);
    const counts = host.keep(`validate counts ${host.route} ${host.stage}`, () => new Counts());
    collect(counts, host);
    const { maxBody, maxDepth, maxKeys, maxItems } = options;
    const limits = { maxBytes: parseSize(maxBody), maxDepth, maxKeys, maxItems };
    const stage = new Validation(find, limits, options.mode === "report", counts);
    return (next) => (x) => stage.handle(x, next);
  },
};

class Validation {
  readonly #find: Find;
  readonly #limits: BodyLimits;
  readonly #reports: boolean;
  readonly #counts: Counts;

  constructor(find: Find, limits: BodyLimits, reports: boolean, counts: Counts) {
    this.#find = find;
    this.#limits = limits;
    this.#reports = reports;
    this.#counts = counts;
  }

  handle(x: Exchange, next: Handler): Reply | Promise<Reply> {
    try {
      const failures = this.#check(x);
      if (failures instanceof Promise) return this.#handleLater(failures, x, next);
      this.#settle(failures);
    } catch (error) {
      this.#refuse(error);
    }
    return next(x);
  }

  async #handleLater(later: Promise<readonly Failure[]>, x: Exchange, next: Handler): Promise<Reply> {
    try {
      this.#settle(await later);
    } catch (error) {
      this.#refuse(error);
    }
    return next(x);
  }

  /** Undefined when it was not checked. */
  #check(x: Exchange): readonly Failure[] | undefined | Promise<readonly Failure[]> {
    const found = this.#find(x);
    if (found === undefined) return undefined;
    const { operation, params } = found;
    let failures: readonly Failure[] = NONE;
    for (const check of operation.head) {
      const more = check(x, params);
      if (more.length > 0) failures = [...failures, ...more];
    }
    if (failures.length > 0 || operation.body === undefined) return failures;
    // A body that turns out too large is lost, so only one that cannot is read where it must pass.
    const { body } = x;
    if (this.#reports && body !== null && body.length === undefined) return undefined;
    return checkBody(x, operation.body, this.#limits);
  }

  /** @throws GatewayError VALIDATION_FAILED */
  #settle(failures: readonly Failure[] | undefined): void {
    if (failures === undefined) this.#counts.unchecked++;
    else if (failures.length === 0) this.#counts.valid++;
    else
      throw new GatewayError("VALIDATION_FAILED", { members: { errors: failures.slice(0, MAX_FAILURES) } });
  }

  /** Throws on what refuses the request, unless it is only counted. */
  #refuse(error: unknown): void {
    if (!(error instanceof GatewayError)) throw error;
    if (!this.#reports) {
      this.#counts.refused++;
      throw error;
    }
    this.#counts.reported++;
  }
}

const NONE: readonly Failure[] = [];

function collect(counts: Counts, { metrics, route, stage }: Host): void {
  metrics.collect(
    "sluice_validate_requests_total",
    "Requests by whether they were `valid`, `refused`, `reported` (they would be refused) or `unchecked`.",
    "counter",
    () => Object.entries(counts).map(([outcome, count]) => [{ route, stage, outcome }, count] as const),
  );
}

async function compileSchemas(options: Options): Promise<Find> {
  const { params, query, headers, body } = options;
  if (options.operation !== undefined)
    throw new ConfigError("An operation is one of `openapi`", "/operation");
  if (params === undefined && query === undefined && headers === undefined && !hasBodyRule(options)) {
    throw new ConfigError("Nothing is checked: give a schema, `contentTypes` or `openapi`");
  }
  const { Schemas } = await import("./validate/schema.ts");
  const head: HeadCheck[] = [];
  const parts = [
    ["params", params, checkParams],
    ["query", query, checkQuery],
    ["headers", headers, checkHeaders],
  ] as const;
  for (const [name, written, compile] of parts) {
    if (written === undefined) continue;
    const own = await readDocument(written, `/${name}`);
    const upper = Object.keys(own["properties"] ?? {}).find((key) => key !== key.toLowerCase());
    if (name === "headers" && upper !== undefined) {
      throw new ConfigError(`Names of headers are in lower case: ${upper.toLowerCase()}`, "/headers");
    }
    head.push(compile(new Schemas(own, false), own, `/${name}`));
  }
  const bodySchema = body === undefined ? undefined : await readDocument(body, "/body");
  const check =
    bodySchema === undefined
      ? undefined
      : new Schemas(bodySchema, false).compile(bodySchema, "body", "/body");
  const shape = findShape(bodySchema, bodySchema);
  const types = (options.contentTypes ?? ["application/json", "+json"]).map((written, i): MediaType => {
    const pattern = written.toLowerCase();
    const isForm = pattern === "application/x-www-form-urlencoded";
    const kind = /[/+]json$/.test(pattern) ? "json" : isForm ? "form" : "any";
    if (kind === "any" && check !== undefined) {
      throw new ConfigError("Only JSON and forms can be checked against a schema", `/contentTypes/${i}`);
    }
    return { pattern, kind, check, shape };
  });
  const rule = hasBodyRule(options)
    ? { isRequired: body !== undefined && options.bodyRequired, types }
    : undefined;
  const operation: CheckedOperation = { head, body: rule };
  return (x) => ({ operation, params: x.params });
}

const hasBodyRule = ({ body, contentTypes }: Options): boolean =>
  body !== undefined || contentTypes !== undefined;

async function compileOpenApi(options: Options): Promise<Find> {
  for (const name of ["params", "query", "headers", "body", "contentTypes"] as const) {
    if (options[name] !== undefined) throw new ConfigError("`openapi` says this already", `/${name}`);
  }
  const { OpenApi } = await import("./validate/openapi.ts");
  const api = new OpenApi(await readDocument(options.openapi!, "/openapi"));
  if (options.operation !== undefined) {
    const operation = api.byId(options.operation);
    return (x) => ({ operation, params: encodeParams(x.params) });
  }
  const passes = options.unknown === "pass";
  return (x) => {
    const found = api.find(x.method, x.path);
    if (found !== undefined && "operation" in found) return found;
    if (passes) return undefined;
    if (found === undefined) throw new GatewayError("OPERATION_NOT_FOUND");
    throw new GatewayError("METHOD_NOT_ALLOWED", { headers: ["allow", found.allow] });
  };
}

/** As they stand in a path: that is what OpenAPI describes. */
function encodeParams(params: Params): Params {
  return Object.fromEntries(Object.entries(params).map(([name, text]) => [name, encodeURIComponent(text)]));
}
