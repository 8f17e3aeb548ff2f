/** The schema of an upstream: its targets, how to connect to them, what it does when they fail. */
import { duration, percent, size } from "../units.ts";
import { activeHealthSchema, passiveHealthSchema } from "./health-schema.ts";
import { text } from "./schema-parts.ts";
import { targetsSchema } from "./targets-schema.ts";

export const upstreamSchema = {
  type: "object",
  description: "A group of targets that answer the same requests.",
  properties: {
    targets: targetsSchema,
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
      description: "Most connections to each target, of each thread; more requests wait.",
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
