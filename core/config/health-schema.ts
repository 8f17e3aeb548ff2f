/** The schema of an upstream's health: how it is known which targets are well. */
import { statusesSchema } from "../statuses.ts";
import { duration, percent, UNITS } from "../units.ts";
import { port, text } from "./schema-parts.ts";

export const activeHealthSchema = {
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

export const passiveHealthSchema = {
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
