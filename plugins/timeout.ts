/**
 * Ends exchanges that take too long: a deadline for the whole of it, from the request's head to the last byte of
 * the reply.
 *
 * Stands above what it limits, `retry` included, and calls next. The client sees 504 DEADLINE_EXCEEDED when the
 * reply has not begun, and a broken connection when it has. Everything that the exchange waits for is given up; a
 * stage that cannot be is left alone, and what it comes with later is thrown away. With `header` the upstream is
 * told how many milliseconds are left, in place of what the client sent in that header; with `trustClient` a
 * client may ask for less time than `after`. Of several timeouts the earliest counts.
 * Depends on nothing that can fail at run time.
 */
import { compileHeaderName } from "../core/option-text.ts";
import { OptionBounds } from "../core/option-bounds.ts";
import {
  ConfigError,
  type Exchange,
  type FromSchema,
  type JsonSchema,
  type Plugin,
  type Problem,
} from "../core/plugin.ts";
import { anyDuration } from "../core/units.ts";
import { ExchangeDeadline, Race } from "./timeout/deadline.ts";

const schema = {
  type: "object",
  description: "Ends exchanges that take too long.",
  properties: {
    after: anyDuration(
      "Longest that an exchange may take, from the request's head to the reply's last byte.",
    ),
    header: {
      type: "string",
      minLength: 1,
      description:
        "Header that tells the upstream how many milliseconds are left, such as `x-request-timeout-ms`.",
    },
    trustClient: {
      type: "boolean",
      default: false,
      description: "Let clients ask for less time by sending `header` themselves.",
    },
  },
  required: ["after"],
  additionalProperties: false,
} as const satisfies JsonSchema;

type Options = FromSchema<typeof schema>;

export const timeout: Plugin<Options> = {
  name: "timeout",
  schema,
  build(options, { clock }) {
    const { trustClient } = options;
    const problems: Problem[] = [];
    const afterMs = new OptionBounds(options, "", problems).wait("after");
    if (problems.length > 0) throw new ConfigError(problems);
    const header = options.header === undefined ? undefined : compileHeaderName(options.header, "/header");
    if (header === "host") {
      throw new ConfigError("The header host says whom a request is for; it cannot hold a time", "/header");
    }
    if (trustClient && header === undefined) {
      throw new ConfigError("`trustClient` needs `header`: the one that clients send", "/trustClient");
    }
    return (next) => (x) => {
      let ms = afterMs;
      if (header !== undefined) {
        if (trustClient) ms = Math.min(ms, askedFor(x, header));
        x.headers.delete(header);
      }
      ExchangeDeadline.set(x, x.startedAt + ms, header, clock.monotonic());
      return new Race(x).run(next);
    };
  },
};

/** Milliseconds that the client gives; without end when it says nothing that can be understood. */
function askedFor(x: Exchange, header: string): number {
  const value = x.headers.get(header);
  return value !== undefined && /^\d+$/.test(value) ? Number(value) : Number.POSITIVE_INFINITY;
}
