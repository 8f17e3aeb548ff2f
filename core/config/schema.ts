/**
 * The schema of the gateway's configuration: the one place where keys, defaults and their descriptions live.
 * Plugins' options have schemas of their own; `stage` here holds only the keys that every stage has.
 */
import { conditionSchema, PATH, pathMatchSchema, valueMatches } from "./condition-schema.ts";
import { METHOD } from "../methods.ts";
import { duration, size, UNITS } from "../units.ts";
import { consumerSchema } from "./consumers-schema.ts";
import { auditSchema } from "./audit-schema.ts";
import { overloadSchema } from "./overload-schema.ts";
import {
  rateLimitSchema,
  rateLimitsSchema,
  routeRateLimitSchema,
  routeRateLimitsSchema,
} from "./rate-limits-schema.ts";
import { storeSchema } from "./stores-schema.ts";
import { scriptGrantsSchema, scriptLimitsSchema } from "./script-schema.ts";
import { upstreamSchema } from "./upstream-schema.ts";

/** Of names: they appear in logs, metrics and pointers. */
export const IS_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

const NAME = {
  pattern: "^[A-Za-z0-9][A-Za-z0-9._-]*$",
  "x-expected": "a name of letters, digits, `.`, `_` and `-`",
} as const;

const name = (description: string) => ({ type: "string", ...NAME, maxLength: 100, description }) as const;

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
    limits: scriptLimitsSchema,
    grants: scriptGrantsSchema,
  },
} as const;

/** Keys of a stage that only scripts have. */
export const SCRIPT_KEYS = ["limits", "grants"] as const;

/** Keys of a stage that are the core's, not the plugin's. */
export const STAGE_KEYS = ["plugin", "use", "name", "when", "onError", ...SCRIPT_KEYS] as const;

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
    rateLimits: routeRateLimitsSchema,
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

/** More threads than this are a mistake. */
const MAX_THREADS = 64;

const threadsSchema = {
  anyOf: [{ const: "auto" }, { type: "integer", minimum: 1, maximum: MAX_THREADS }],
  default: "auto",
  description:
    "Threads that serve, each on a core of its own: `auto` for as many as the machine has, 1 to serve in the main thread. Changes take effect when the process starts anew.",
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
    threads: threadsSchema,
    audit: { $ref: "#/definitions/audit" },
    overload: { $ref: "#/definitions/overload" },
    drainTimeout: duration("30s", "How long requests in flight may go on after a swap or a stop."),
    upstreams: {
      type: "object",
      additionalProperties: { $ref: "#/definitions/upstream" },
      propertyNames: NAME,
      default: {},
      description: "Groups of targets by name.",
    },
    stores: {
      type: "object",
      additionalProperties: { $ref: "#/definitions/store" },
      propertyNames: NAME,
      default: {},
      description:
        "Where stages keep what outlives a request, by name. There is always one called `main`: in memory, unless it is written here.",
    },
    consumers: {
      type: "array",
      items: { $ref: "#/definitions/consumer" },
      default: [],
      description: "Who may ask, with their credentials: for the `auth` plugin.",
    },
    rateLimits: rateLimitsSchema,
    pluginsDir: {
      type: "string",
      minLength: 1,
      description:
        "Folder of plugins in TypeScript or JavaScript, one a file, from the main file's folder; `plugins` by default.",
    },
    pluginPackages: {
      type: "array",
      items: {
        type: "string",
        pattern: "^(@[\\w.-]+/)?[\\w-][\\w.-]*$",
        "x-expected": "the name of a package",
      },
      default: [],
      description: "npm packages that scripts may import, with what these import themselves.",
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
    audit: auditSchema,
    overload: overloadSchema,
    upstream: upstreamSchema,
    store: storeSchema,
    consumer: consumerSchema,
    rateLimit: rateLimitSchema,
    routeRateLimit: routeRateLimitSchema,
    pipeline: pipelineSchema,
    route: routeSchema,
    stage: stageSchema,
    condition: conditionSchema,
  },
} as const;
