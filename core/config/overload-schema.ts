/** The schema of `overload`: when the gateway has too much to do, and whom it serves then. */
import { duration, size } from "../units.ts";

const level = <const D extends string, const X extends string>(fallback: D, description: X) =>
  ({
    type: "string",
    pattern: "^\\d+(\\.\\d+)?(%|B|KB|MB|GB)$",
    "x-expected": "a percentage such as 80% or a size such as 2GB",
    default: fallback,
    description,
  }) as const;

const priority = { type: "integer", minimum: 0, maximum: 100 } as const;

const { default: _, ...limit } = size(
  "1GB",
  "What percentages of the process's memory are of; by default the container's limit, or the machine's memory.",
);

export const overloadSchema = {
  type: "object",
  description:
    "Refuses a part of the requests, the less important first, while the gateway has too much to do.",
  properties: {
    eventLoopDelay: {
      type: "object",
      description: "Sheds by how late the event loop is.",
      properties: {
        from: duration("100ms", "Delay from which requests are shed."),
        full: duration("500ms", "Delay from which all are shed, but those of priority 100."),
      },
      additionalProperties: false,
    },
    memory: {
      type: "object",
      description:
        "Sheds by memory: percentages are of `limit` for the whole process and of V8's limit for the heap, whichever is nearer; sizes are of the whole process.",
      properties: {
        from: level("80%", "Memory from which requests are shed."),
        full: level("95%", "Memory from which all are shed, but those of priority 100."),
        limit,
      },
      additionalProperties: false,
    },
    priorities: {
      type: "object",
      additionalProperties: priority,
      default: {},
      description:
        "Priority by tier of the consumer, 0 to 100: shedding begins when the pressure in percent is above it; 100 is never shed.",
    },
    defaultPriority: {
      ...priority,
      default: 0,
      description: "Priority of all others, and of requests without a consumer.",
    },
    retryAfter: duration("1s", "What a refused client is told in Retry-After, in whole seconds."),
  },
  anyOf: [{ required: ["eventLoopDelay"] }, { required: ["memory"] }],
  additionalProperties: false,
} as const;
