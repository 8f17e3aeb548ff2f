/**
 * Tries again what failed, at another target first.
 *
 * Stands above what it repeats, as a rule right above `balance`, and below stages that must run once (auth, limits).
 * It calls next up to `attempts` times and each time with the request as it was. The client sees the first good
 * reply, or what became of the last attempt. Repeated are requests with one of `methods` that failed in one of the
 * ways of `on`, as long as their body is still there (`maxBodySize`), the route's retries stay within `budget`, an
 * exchange's deadline (`timeout`) leaves time, and the client is there. Retry-After replaces the backoff; one
 * beyond `maxRetryAfter` is given to the client. `perTryTimeout` counts as the cause `timeout`.
 * Depends on nothing that can fail at run time.
 */
import { ConfigError, type FromSchema, type JsonSchema, type Plugin } from "../core/plugin.ts";
import { duration, parseDuration, parsePercent, parseSize, percent, size, UNITS } from "../core/units.ts";
import { type Cause, Causes, FAILURES } from "./retry/causes.ts";
import { Retrier, type RetryRules } from "./retry/retrier.ts";
import { type Budget, Traffic } from "./retry/traffic.ts";

const schema = {
  type: "object",
  description: "Tries again what failed, at another target first.",
  properties: {
    attempts: {
      type: "integer",
      minimum: 1,
      maximum: 20,
      default: 3,
      description: "Tries in all, the first included: 3 is one request and up to two retries.",
    },
    on: {
      type: "array",
      minItems: 1,
      uniqueItems: true,
      items: {
        anyOf: [
          { type: "string", enum: Object.keys(FAILURES) as (keyof typeof FAILURES)[] },
          { type: "integer", minimum: 400, maximum: 599 },
        ],
      },
      default: ["connect", "reset", "timeout", 503],
      description:
        "What is tried again: failures (`connect`, `reset`, `timeout`, `invalid`, `unavailable`) and statuses from 400 to 599.",
    },
    methods: {
      type: "array",
      minItems: 1,
      uniqueItems: true,
      items: { type: "string", pattern: "^[A-Z][A-Z-]*$", "x-expected": "a method such as GET" },
      default: ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"],
      description:
        "Methods that may be tried again; GET includes HEAD. By default those that may be repeated without harm (RFC 9110 section 9.2.2).",
    },
    perTryTimeout: {
      type: "string",
      pattern: UNITS.duration.pattern,
      description:
        "Longest wait for the reply's head in one attempt; only the upstream's timeouts otherwise.",
    },
    backoff: {
      type: "object",
      description:
        "Waits between attempts: a random time up to `base`, doubled with each attempt up to `max`.",
      properties: {
        base: duration("25ms", "Longest wait before the first retry."),
        max: duration("1s", "Longest wait before any retry."),
      },
      additionalProperties: false,
      default: {},
    },
    maxRetryAfter: duration(
      "1s",
      "Longest Retry-After that is waited for. A reply that asks for more goes to the client.",
    ),
    budget: percent(
      "20%",
      "Most retries under way at a time, as a share of the requests of the route that wait for a reply. `100%` is no limit.",
    ),
    budgetFloor: {
      type: "integer",
      minimum: 0,
      maximum: 100_000,
      default: 10,
      description: "Retries that may be under way whatever the budget is, so that a quiet route has some.",
    },
    maxBodySize: size(
      "64KB",
      "Most of a request body that is kept for another attempt. Larger ones are only tried again while nothing of them was sent.",
    ),
  },
  additionalProperties: false,
} as const satisfies JsonSchema;

type Options = FromSchema<typeof schema>;

export const retry: Plugin<Options> = {
  name: "retry",
  schema,
  build(options, host) {
    const rules = compileRules(options);
    const traffic = host.keep(`retry ${host.route}`, () => new Traffic());
    traffic.collect(host, rules.budget);
    return (next) => {
      const retrier = new Retrier(next, rules, traffic, host);
      return (x) => (rules.methods.has(x.method) ? retrier.run(x) : next(x));
    };
  },
};

/** @throws ConfigError for times that make no sense */
function compileRules(options: Options): RetryRules {
  const { perTryTimeout, backoff } = options;
  const budget: Budget = { share: parsePercent(options.budget), floor: options.budgetFloor };
  const methods = new Set(options.methods);
  if (methods.has("GET")) methods.add("HEAD");
  const perTryTimeoutMs = perTryTimeout === undefined ? undefined : parseDuration(perTryTimeout);
  if (perTryTimeoutMs !== undefined && perTryTimeoutMs < 1) {
    throw new ConfigError("`perTryTimeout` must be at least 1ms; leave it out for none", "/perTryTimeout");
  }
  const backoffBaseMs = parseDuration(backoff.base);
  const backoffMaxMs = parseDuration(backoff.max);
  if (backoffBaseMs > backoffMaxMs) {
    throw new ConfigError("`base` is longer than `max`", "/backoff/base");
  }
  return {
    attempts: options.attempts,
    causes: new Causes(options.on as readonly Cause[]),
    methods,
    perTryTimeoutMs,
    backoffBaseMs,
    backoffMaxMs,
    maxRetryAfterMs: parseDuration(options.maxRetryAfter),
    budget,
    maxBodyBytes: parseSize(options.maxBodySize),
  };
}
