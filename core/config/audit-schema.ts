/** The schema of `audit`: which events of who was let in are written down. */
import { AUDIT_EVENTS } from "../audit.ts";

export const auditSchema = {
  type: "object",
  description: "Writes down who was let in and who was not; nothing is written without it.",
  properties: {
    events: {
      type: "array",
      items: { type: "string", enum: AUDIT_EVENTS },
      minItems: 1,
      uniqueItems: true,
      default: AUDIT_EVENTS,
      description: "What to write down.",
    },
    allowed: {
      type: "boolean",
      default: false,
      description:
        "Also each request that `auth` and `authorize` let through, not only those that they refuse.",
    },
    maxPerSecond: {
      type: "integer",
      minimum: 1,
      maximum: 100_000,
      default: 100,
      description:
        "Most lines in a second of one event and outcome, for each thread; how many were left out is a line of its own.",
    },
  },
  additionalProperties: false,
} as const;
