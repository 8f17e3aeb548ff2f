/** The schema of an upstream's targets: those that are written down, and the sources where they are found. */
import { duration } from "../units.ts";
import { port, text } from "./schema-parts.ts";

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

/** The targets of an upstream: a list, or one of the sources. */
export const targetsSchema = {
  description:
    "The targets: a list, or where to find them: `{ file }`, `{ dns }`, `{ srv }`, `{ consul }`, `{ kubernetes }`.",
  anyOf: [targetListSchema, fileSource, dnsSource, srvSource, consulSource, kubernetesSource],
} as const;
