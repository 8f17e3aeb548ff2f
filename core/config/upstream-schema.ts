/** The schema of an upstream: its targets and where they are found, how to connect, how its health is known. */
import { statusesSchema } from "../statuses.ts";
import { duration, percent, size, UNITS } from "../units.ts";

const text = <const X extends string>(description: X) =>
  ({ type: "string", minLength: 1, description }) as const;

const port = <const X extends string>(description: X) =>
  ({ type: "integer", minimum: 1, maximum: 65535, description }) as const;

const weight = {
  type: "integer",
  minimum: 0,
  maximum: 10000,
  default: 1,
  description: "Share of the requests against the other targets; 0 for none.",
} as const;

/** What found targets have in common: what a source does not tell. */
const FOUND = {
  scheme: {
    type: "string",
    enum: ["http", "https"],
    default: "http",
    description: "Scheme of the targets that are found.",
  },
  path: {
    type: "string",
    pattern: "^/",
    "x-expected": "a path that starts with /",
    default: "/",
    description: "Path in front of every request's, for the targets that are found.",
  },
} as const;

const dnsServers = {
  type: "array",
  items: { type: "string", minLength: 1 },
  default: [],
  description: "Addresses of name servers, such as 127.0.0.1:8600; the system's by default.",
} as const;

const family = <const X extends string>(description: X) =>
  ({ type: "string", enum: ["any", "ipv4", "ipv6"], default: "any", description }) as const;

const fileSource = {
  type: "object",
  properties: {
    file: text(
      "A JSON or YAML file with a list of targets, as `targets` has them; read again when it changes.",
    ),
  },
  required: ["file"],
  additionalProperties: false,
} as const;

const dnsSource = {
  type: "object",
  properties: {
    dns: {
      type: "object",
      description: "The addresses of a name (A and AAAA records); each is a target.",
      properties: {
        host: text("Name to look up."),
        port: port("Port of the targets; the scheme's by default."),
        family: family("Which addresses: `ipv4` (A records), `ipv6` (AAAA records), or both."),
        servers: dnsServers,
        minTtl: duration("1s", "Least time between two look-ups, whatever the TTL says."),
        maxTtl: duration(
          "30s",
          "Longest time between two look-ups; also the time where nothing tells a TTL.",
        ),
      },
      required: ["host"],
      additionalProperties: false,
    },
    ...FOUND,
  },
  required: ["dns"],
  additionalProperties: false,
} as const;

const srvSource = {
  type: "object",
  properties: {
    srv: {
      type: "object",
      description:
        "SRV records: host, port and weight of each target; those of the best priority are used (RFC 2782).",
      properties: {
        name: text("Name to look up, such as _http._tcp.users.internal."),
        family: family("Which addresses of the hosts that it names: `ipv4`, `ipv6`, or both."),
        servers: dnsServers,
        minTtl: duration("1s", "Least time between two look-ups, whatever the TTL says."),
        maxTtl: duration(
          "30s",
          "Longest time between two look-ups; also the time where nothing tells a TTL.",
        ),
      },
      required: ["name"],
      additionalProperties: false,
    },
    ...FOUND,
  },
  required: ["srv"],
  additionalProperties: false,
} as const;

const consulSource = {
  type: "object",
  properties: {
    consul: {
      type: "object",
      description:
        "Instances of a service in Consul whose checks pass, by blocking queries to its health API.",
      properties: {
        url: {
          type: "string",
          pattern: "^https?://",
          "x-expected": "a URL such as http://127.0.0.1:8500",
          default: "http://127.0.0.1:8500",
          description: "Address of a Consul agent.",
        },
        service: text("Name of the service."),
        tag: text("Only instances with this tag."),
        datacenter: text("Datacenter to ask for; the agent's own by default."),
        token: { type: "string", writeOnly: true, minLength: 1, description: "ACL token." },
        ca: text("CA certificate of the agent, PEM, for a URL with https; the system's by default."),
        wait: duration("5m", "Longest time that a query waits for a change; from 1s to 10m."),
      },
      required: ["service"],
      additionalProperties: false,
    },
    ...FOUND,
  },
  required: ["consul"],
  additionalProperties: false,
} as const;

const kubernetesSource = {
  type: "object",
  properties: {
    kubernetes: {
      type: "object",
      description:
        "Pods of a Kubernetes service that are ready, by watching its EndpointSlices. Inside a cluster nothing else has to be said.",
      properties: {
        service: text("Name of the service."),
        namespace: text("Namespace of the service; the gateway's own by default."),
        port: {
          description: "Port of the pods, by name or number; the only one by default.",
          anyOf: [
            { type: "string", minLength: 1 },
            { type: "integer", minimum: 1, maximum: 65535 },
          ],
        },
        family: family("Which addresses; by default IPv4 where the service has both."),
        url: {
          type: "string",
          pattern: "^https?://",
          "x-expected": "a URL such as https://10.0.0.1:6443",
          description: "Address of the API server; the cluster's own by default.",
        },
        token: {
          type: "string",
          writeOnly: true,
          minLength: 1,
          description: "Bearer token; the service account's by default.",
        },
        ca: text("CA certificate of the API server, PEM; the service account's by default."),
      },
      required: ["service"],
      additionalProperties: false,
    },
    ...FOUND,
  },
  required: ["kubernetes"],
  additionalProperties: false,
} as const;

/** Targets that are written down. */
export const targetListSchema = {
  type: "array",
  minItems: 1,
  description: "Base URLs, such as http://127.0.0.1:8081, https://10.0.0.7/api or unix:/run/app.sock.",
  items: {
    anyOf: [
      { type: "string", minLength: 1 },
      {
        type: "object",
        properties: { url: text("Base URL of the target."), weight },
        required: ["url"],
        additionalProperties: false,
      },
    ],
  },
} as const;

const activeHealthSchema = {
  type: "object",
  description: "Asks each target at intervals whether it is well.",
  properties: {
    type: {
      type: "string",
      enum: ["http", "tcp"],
      default: "http",
      description: "`http` sends a request, `tcp` opens a connection.",
    },
    path: {
      type: "string",
      pattern: "^/",
      "x-expected": "a path that starts with /",
      default: "/",
      description:
        "Path to ask for, with a query if need be. The path of the target's URL is not put before it.",
    },
    method: {
      type: "string",
      enum: ["GET", "HEAD", "OPTIONS", "POST"],
      default: "GET",
      description: "Method of the request.",
    },
    headers: {
      type: "object",
      additionalProperties: { type: "string" },
      default: {},
      description: "Headers of the request, such as `host`.",
    },
    statuses: {
      ...statusesSchema(2, ["200-299"], "Statuses of a target that is well: numbers and ranges."),
      minItems: 1,
    },
    body: text("A regular expression that the first 64 KB of the reply's body must match."),
    port: port("Port to ask, if it is not the target's own."),
    interval: duration("10s", "Time from the end of a check to the next one of the same target."),
    jitter: percent(
      "20%",
      "How much longer or shorter than `interval` the time is, at random, so that checks do not come in step.",
    ),
    timeout: duration("2s", "How long a check may take from its start to its end."),
    healthyThreshold: {
      type: "integer",
      minimum: 1,
      maximum: 100,
      default: 2,
      description: "Checks in a row that must pass until an unhealthy target is used again.",
    },
    unhealthyThreshold: {
      type: "integer",
      minimum: 1,
      maximum: 100,
      default: 3,
      description:
        "Checks in a row that must fail until a healthy target is not used; the very first decides alone.",
    },
  },
  additionalProperties: false,
} as const;

const passiveHealthSchema = {
  type: "object",
  description: "Watches the requests themselves and ejects targets that fail them, for a while.",
  properties: {
    failures: {
      type: "integer",
      minimum: 0,
      maximum: 1000,
      default: 5,
      description: "Failures in a row that eject a target; 0 for not by this.",
    },
    within: duration("10s", "The failures in a row must come in this time; also the window of `errorRate`."),
    errorRate: {
      type: "string",
      pattern: UNITS.percent.pattern,
      description:
        "Ejects a target whose share of failures in the window is at least this and above that of the others together. Off by default.",
    },
    minRequests: {
      type: "integer",
      minimum: 1,
      default: 20,
      description: "Requests to a target in the window before `errorRate` counts.",
    },
    statuses: statusesSchema(
      2,
      ["500-599"],
      "Statuses that are failures, beside connections that fail, break or time out; `[]` for none.",
    ),
    ejectFor: duration(
      "30s",
      "How long the first ejection lasts; twice as long each time that a target fails again soon after its return.",
    ),
    maxEjectFor: duration("5m", "How long an ejection lasts at most."),
    maxEjected: percent(
      "50%",
      "Largest share of the targets that may be ejected at once, rounded down; never all of them.",
    ),
  },
  additionalProperties: false,
} as const;

export const upstreamSchema = {
  type: "object",
  description: "A group of targets that answer the same requests.",
  properties: {
    targets: {
      description:
        "The targets: a list, or where to find them: `{ file }`, `{ dns }`, `{ srv }`, `{ consul }`, `{ kubernetes }`.",
      anyOf: [targetListSchema, fileSource, dnsSource, srvSource, consulSource, kubernetesSource],
    },
    onUnresolved: {
      type: "string",
      enum: ["warn", "fail"],
      default: "warn",
      description:
        "When a target's name does not resolve, or no targets are found, at load: `warn` and go on trying, or `fail` the configuration.",
    },
    tls: {
      type: "object",
      description: "How to speak TLS to targets with https://.",
      properties: {
        ca: text("Certificates to trust instead of the system's, PEM: `${file:./ca.pem}`."),
        cert: text("Client certificate with its chain, PEM."),
        key: {
          type: "string",
          minLength: 1,
          writeOnly: true,
          description: "Private key of the client certificate, PEM.",
        },
        serverName: text("Name for SNI and for the check of the certificate; the target's host by default."),
        verify: {
          type: "boolean",
          default: true,
          description: "Refuse targets whose certificate is not valid. Turn it off for tests only.",
        },
        minVersion: {
          type: "string",
          enum: ["TLSv1.2", "TLSv1.3"],
          default: "TLSv1.2",
          description: "Least version of TLS.",
        },
      },
      dependencies: { cert: ["key"], key: ["cert"] },
      additionalProperties: false,
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
    slowStart: duration(
      "0s",
      "How long a target that comes back, or is new, takes to get its full share of requests.",
    ),
    panicThreshold: percent(
      "0%",
      "When a smaller share of the targets than this is healthy, all are used, healthy or not. 0% for never.",
    ),
    health: {
      type: "object",
      description: "How it is known which targets are well. Without it all are used.",
      properties: { active: activeHealthSchema, passive: passiveHealthSchema },
      additionalProperties: false,
      default: {},
    },
  },
  required: ["targets"],
  additionalProperties: false,
} as const;
