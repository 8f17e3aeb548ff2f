/**
 * The schema of the gateway's configuration: the one place where keys, defaults and their descriptions live.
 * Plugins' options have schemas of their own; `stage` here holds only the keys that every stage has.
 */
import type { FromSchema } from "json-schema-to-ts";
import { duration, size, UNITS } from "../units.ts";

/** Of names: they appear in logs, metrics and pointers. */
const NAME = {
  pattern: "^[A-Za-z0-9][A-Za-z0-9._-]*$",
  "x-expected": "a name of letters, digits, `.`, `_` and `-`",
} as const;

const name = (description: string) => ({ type: "string", ...NAME, maxLength: 100, description }) as const;

/** A path or the beginning of one. */
const PATH = {
  type: "string",
  pattern: "^/",
  "x-expected": "a path that starts with /",
} as const;

const ADDRESS = {
  type: "string",
  pattern: "^(\\[[0-9A-Fa-f:.]+\\]|[^:\\s]+):\\d{1,5}$",
  "x-expected": "a host and a port, such as 127.0.0.1:8080 or [::1]:8080",
} as const;

const textOrList = (description: string) =>
  ({
    description,
    anyOf: [
      { type: "string", minLength: 1 },
      { type: "array", items: { type: "string", minLength: 1 }, minItems: 1 },
    ],
  }) as const;

const METHOD = {
  type: "string",
  pattern: "^[A-Z][A-Z-]*$",
  "x-expected": "a method in capitals, such as GET",
} as const;

/** How a header or a query parameter is compared. */
export const valueMatchSchema = {
  description:
    "A value it must equal, a list of values, `true` for present, `false` for absent, or `{ regex }`.",
  anyOf: [
    { type: "string" },
    { type: "boolean" },
    { type: "array", items: { type: "string" }, minItems: 1 },
    {
      type: "object",
      properties: {
        regex: { type: "string", description: "A JavaScript regular expression that must match." },
      },
      required: ["regex"],
      additionalProperties: false,
    },
  ],
} as const;

const valueMatches = (description: string) =>
  ({ type: "object", description, additionalProperties: valueMatchSchema, minProperties: 1 }) as const;

/** A path: exact, with `:params`, ending in `/*` for a prefix, or `{ regex }`. */
const pathMatchSchema = {
  description:
    "Exact (`/a`), with parameters (`/a/:id`), a prefix (`/a/*`), `{ regex: ^/a }`, or a list of these.",
  anyOf: [
    PATH,
    {
      type: "object",
      properties: {
        regex: {
          type: "string",
          description: "A JavaScript regular expression; named groups become params.",
        },
      },
      required: ["regex"],
      additionalProperties: false,
    },
    { type: "array", items: PATH, minItems: 1 },
  ],
} as const;

/** The conditions of a stage's `when`; all must hold. */
export const conditionSchema = {
  type: "object",
  description: "The stage runs only for requests that meet all of these; others go on to the next stage.",
  properties: {
    method: {
      description: "One of these methods.",
      anyOf: [METHOD, { type: "array", items: METHOD, minItems: 1 }],
    },
    path: pathMatchSchema,
    header: valueMatches("Request headers by name."),
    query: valueMatches("Query parameters by name."),
    consumer: {
      description: "One of these consumers, or `true` for any known one, `false` for none.",
      anyOf: [
        { type: "boolean" },
        { type: "string", minLength: 1 },
        { type: "array", items: { type: "string", minLength: 1 }, minItems: 1 },
      ],
    },
    not: { $ref: "#/definitions/condition", description: "These conditions must not all hold." },
  },
  additionalProperties: false,
  minProperties: 1,
} as const;

/** What happens when a stage itself fails. */
export const onErrorSchema = {
  description:
    "When the stage itself fails: `fail` the request, `skip` the stage, or answer with a fixed `{ status, body }`.",
  default: "fail",
  anyOf: [
    { type: "string", enum: ["fail", "skip"] },
    {
      type: "object",
      properties: {
        status: { type: "integer", minimum: 200, maximum: 599, description: "Status of the reply." },
        body: { type: "string", description: "Text of the reply; empty by default." },
      },
      required: ["status"],
      additionalProperties: false,
    },
  ],
} as const;

/** Keys of a stage that belong to the core; all others are the plugin's options. */
export const stageSchema = {
  type: "object",
  description: "One stage: `plugin` with its options, or `use` with the name of a pipeline.",
  properties: {
    plugin: { type: "string", minLength: 1, description: "Name of the plugin." },
    use: {
      type: "string",
      minLength: 1,
      description: "Name of a pipeline whose stages are put here, with an optional range: `public@^1`.",
    },
    name: name("Name of the stage in logs and metrics; the plugin's name by default."),
    when: { $ref: "#/definitions/condition" },
    onError: onErrorSchema,
  },
} as const;

const cidrs = (description: string) =>
  ({ type: "array", items: { type: "string", minLength: 1 }, default: [], description }) as const;

export const listenerSchema = {
  type: "object",
  description: "An address that takes requests.",
  properties: {
    address: {
      ...ADDRESS,
      description: "Host and port, such as 127.0.0.1:8080 or [::]:8080. Port 0 takes any free port.",
    },
    trustedProxies: cidrs(
      "Addresses and CIDR ranges of proxies whose X-Forwarded-* and Forwarded headers are believed.",
    ),
    limits: {
      type: "object",
      description: "What a client may send.",
      properties: {
        headerSize: size("32KB", "Largest request line and headers together; 431 beyond."),
        headerCount: {
          type: "integer",
          minimum: 1,
          maximum: 10000,
          default: 200,
          description: "Most header lines; 431 beyond.",
        },
        bodySize: size("1GB", "Largest request body; 413 beyond. A route's own limit comes before this."),
        requestsPerConnection: {
          type: "integer",
          minimum: 0,
          default: 0,
          description: "Requests after which a connection is closed; 0 for no limit.",
        },
        connections: {
          type: "integer",
          minimum: 0,
          default: 0,
          description: "Most connections at once; more are closed at once. 0 for no limit.",
        },
      },
      additionalProperties: false,
      default: {},
    },
    timeouts: {
      type: "object",
      description: "How long a client may take.",
      properties: {
        headers: duration("15s", "From the first byte of a request to the end of its headers; 408 beyond."),
        body: duration("30s", "Between two pieces of a request body; 408 beyond."),
        send: duration("60s", "Between two pieces of a reply that the client takes; dropped beyond."),
        keepAlive: duration("75s", "How long a connection may be idle between requests."),
      },
      additionalProperties: false,
      default: {},
    },
  },
  required: ["address"],
  additionalProperties: false,
} as const;

export const adminSchema = {
  type: "object",
  description: "The admin listener: health, metrics, configuration. Keep it off the internet.",
  properties: {
    address: {
      ...ADDRESS,
      default: "127.0.0.1:9901",
      description: "Host and port. Without a token only loopback addresses are allowed.",
    },
    token: {
      type: "string",
      default: "",
      writeOnly: true,
      description: "Bearer token that all but the health checks ask for; empty for none.",
    },
  },
  additionalProperties: false,
} as const;

export const upstreamSchema = {
  type: "object",
  description: "A group of targets that answer the same requests.",
  properties: {
    targets: {
      type: "array",
      minItems: 1,
      description: "Base URLs, such as http://127.0.0.1:8081 or http://10.0.0.7/api.",
      items: {
        anyOf: [
          { type: "string", minLength: 1 },
          {
            type: "object",
            properties: { url: { type: "string", minLength: 1, description: "Base URL of the target." } },
            required: ["url"],
            additionalProperties: false,
          },
        ],
      },
    },
    timeouts: {
      type: "object",
      description: "How long the upstream may take.",
      properties: {
        connect: duration("5s", "To open a connection; 504 beyond."),
        headers: duration("30s", "From the request sent to the reply's headers; 504 beyond."),
        body: duration("30s", "Between two pieces of the reply's body; the connection is dropped beyond."),
      },
      additionalProperties: false,
      default: {},
    },
    connections: {
      type: "integer",
      minimum: 1,
      maximum: 65535,
      default: 1024,
      description: "Most connections to each target; more requests wait.",
    },
    keepAlive: duration("4s", "How long an idle connection is kept, unless the target says otherwise."),
    maxHeaderSize: size("64KB", "Largest reply headers; 502 beyond."),
  },
  required: ["targets"],
  additionalProperties: false,
} as const;

export const routeSchema = {
  type: "object",
  description: "Which requests, through which stages, to which upstream.",
  properties: {
    name: name("Name of the route in logs and metrics; unique."),
    match: {
      type: "object",
      description: "What a request must look like. All conditions must hold.",
      properties: {
        host: textOrList("Host without port: exact, or `*.example.com` for any name below; or a list."),
        path: { ...pathMatchSchema, default: "/*" },
        methods: {
          type: "array",
          items: METHOD,
          minItems: 1,
          description: "Methods; GET includes HEAD. All methods by default.",
        },
        headers: valueMatches("Request headers by name."),
        query: valueMatches("Query parameters by name."),
      },
      additionalProperties: false,
    },
    priority: {
      type: "integer",
      default: 0,
      description: "Decides between routes that are equally specific; the higher wins.",
    },
    stripPrefix: {
      description: "`true` removes the path's prefix before `/*`; a text removes that prefix.",
      anyOf: [{ type: "boolean" }, PATH],
      default: false,
    },
    rewrite: {
      ...PATH,
      description: "Path to send upstream, a template over params: `/v2/{id}`, `/files/{*}`.",
    },
    preserveHost: {
      type: "boolean",
      default: false,
      description: "Send the client's Host upstream; the target's otherwise.",
    },
    limits: {
      type: "object",
      description: "Limits of this route.",
      properties: {
        bodySize: {
          type: "string",
          pattern: UNITS.size.pattern,
          description: "Largest request body; 413 beyond. The listener's limit by default.",
        },
      },
      additionalProperties: false,
    },
    pipeline: {
      type: "array",
      items: { $ref: "#/definitions/stage" },
      default: [],
      description: "Stages, run from first to last for the request and back for the reply.",
    },
    upstream: {
      type: "string",
      minLength: 1,
      description: "Upstream that answers; the same as `{ plugin: balance, upstream }` at the end.",
    },
  },
  required: ["name", "match"],
  additionalProperties: false,
} as const;

export const pipelineSchema = {
  type: "object",
  description: "Stages under a name, for routes to `use`.",
  properties: {
    version: {
      type: "string",
      description: "Semantic version, such as 1.2.0; `use: name@^1` checks it.",
    },
    stages: { type: "array", items: { $ref: "#/definitions/stage" }, description: "The stages." },
  },
  required: ["stages"],
  additionalProperties: false,
} as const;

export const gatewaySchema = {
  $schema: "http://json-schema.org/draft-07/schema#",
  title: "Sluice gateway configuration",
  type: "object",
  properties: {
    apiVersion: { const: "sluice/v1", description: "Version of this format: `sluice/v1`." },
    include: {
      type: "array",
      items: { type: "string", minLength: 1 },
      default: [],
      description:
        "More files, as paths or globs from this file's folder. Lists are joined, maps are merged; a name may be defined once.",
    },
    listeners: {
      type: "array",
      items: { $ref: "#/definitions/listener" },
      minItems: 1,
      description: "Addresses that take requests.",
    },
    admin: { $ref: "#/definitions/admin" },
    log: {
      type: "object",
      description: "What is logged, on standard output.",
      properties: {
        level: {
          type: "string",
          enum: ["debug", "info", "warn", "error", "silent"],
          default: "info",
          description: "Least severe level that is logged.",
        },
        format: {
          type: "string",
          enum: ["auto", "json", "pretty"],
          default: "auto",
          description: "`auto` is pretty on a terminal and JSON elsewhere.",
        },
        access: { type: "boolean", default: true, description: "One line a request." },
        stageTimings: {
          type: "boolean",
          default: false,
          description: "Time each stage: in the access log and as `sluice_stage_duration_seconds`.",
        },
      },
      additionalProperties: false,
      default: {},
    },
    drainTimeout: duration("30s", "How long requests in flight may go on after a swap or a stop."),
    upstreams: {
      type: "object",
      additionalProperties: { $ref: "#/definitions/upstream" },
      propertyNames: NAME,
      default: {},
      description: "Groups of targets by name.",
    },
    pipelines: {
      type: "object",
      additionalProperties: { $ref: "#/definitions/pipeline" },
      propertyNames: NAME,
      default: {},
      description: "Pipelines by name, for routes to `use`.",
    },
    routes: {
      type: "array",
      items: { $ref: "#/definitions/route" },
      minItems: 1,
      description: "The routes.",
    },
  },
  required: ["apiVersion", "listeners", "routes"],
  additionalProperties: false,
  definitions: {
    listener: listenerSchema,
    admin: adminSchema,
    upstream: upstreamSchema,
    pipeline: pipelineSchema,
    route: routeSchema,
    stage: stageSchema,
    condition: conditionSchema,
  },
} as const;

/** Options of one listener, defaults filled in. */
export type ListenerConfig = FromSchema<typeof listenerSchema>;
/** Options of the admin listener, defaults filled in. */
export type AdminConfig = FromSchema<typeof adminSchema>;
/** An upstream as configured, defaults filled in. */
export type UpstreamConfig = FromSchema<typeof upstreamSchema>;
/** How a header or query parameter is compared. */
export type ValueMatch = FromSchema<typeof valueMatchSchema>;
/** How a path is matched. */
export type PathMatch = FromSchema<typeof pathMatchSchema>;
/** What a stage does when it fails itself, complete. */
export type OnError = "fail" | "skip" | { status: number; body: string };
/** A stage's `when`. */
export interface Condition {
  method?: string | string[];
  path?: PathMatch;
  header?: Record<string, ValueMatch>;
  query?: Record<string, ValueMatch>;
  consumer?: boolean | string | string[];
  not?: Condition;
  /** Conditions of the `use` stages this one came through. */
  all?: Condition[];
}
/** Keys of a stage that are the core's, not the plugin's. */
export const STAGE_KEYS = ["plugin", "use", "name", "when", "onError"] as const;

/** A stage of a checked configuration: no `use` any more, options complete. */
export interface StageConfig {
  /** Plugin to build. */
  plugin: string;
  /** Name in logs and metrics. */
  name: string;
  when?: Condition;
  onError: OnError;
  /** The plugin's options, checked against its schema, defaults filled in. */
  options: Record<string, unknown>;
  /** JSON Pointer to where the stage is written, for messages: in a route, in a pipeline, or a route's `upstream`. */
  pointer: string;
}

/** A route of a checked configuration, its pipeline flat. */
export interface RouteConfig extends Omit<FromSchema<typeof routeSchema>, "pipeline" | "upstream"> {
  stages: StageConfig[];
  /** JSON Pointer to the route in the configuration, for messages. */
  pointer: string;
}

/**
 * A configuration that passed every check that can be made without building: plain data, which any thread can
 * be sent and can build a generation from.
 */
export interface CheckedConfig {
  listeners: ListenerConfig[];
  admin: AdminConfig | undefined;
  log: {
    level: "debug" | "info" | "warn" | "error" | "silent";
    format: "auto" | "json" | "pretty";
    access: boolean;
    stageTimings: boolean;
  };
  drainTimeoutMs: number;
  upstreams: Record<string, UpstreamConfig>;
  routes: RouteConfig[];
  /** Folder of the main file; relative paths in options start here. */
  baseDir: string;
  /** Content hash of everything the configuration was made of. */
  hash: string;
}
