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
import { compileMethods, IDEMPOTENT, METHOD } from "../core/methods.ts";
import { OptionBounds } from "../core/option-bounds.ts";
import { ConfigError, type FromSchema, type JsonSchema, type Plugin, type Problem } from "../core/plugin.ts";
import { statusSchemas } from "../core/statuses.ts";
import { anyDuration, duration, parseSize, percent, size } from "../core/units.ts";
import { Causes, FAILURES } from "./retry/causes.ts";
import { Retrier, type RetryRules } from "./retry/retrier.ts";
import { Traffic } from "./retry/traffic.ts";

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
          ...statusSchemas(4),
        ],
      },
      default: ["connect", "reset", "timeout", 503],
      description:
        "What is tried again: failures (`connect`, `reset`, `timeout`, `invalid`, `unavailable`) and statuses, numbers and ranges.",
    },
    methods: {
      type: "array",
      minItems: 1,
      uniqueItems: true,
      items: METHOD,
      default: IDEMPOTENT,
      description:
        "Methods that may be tried again; GET includes HEAD. By default those that may be repeated without harm (RFC 9110 section 9.2.2).",
    },
    perTryTimeout: anyDuration(
      "Longest wait for the reply's head in one attempt; only the upstream's timeouts otherwise.",
    ),
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
      description:
        "Retries that may be under way on a thread whatever the budget is, so that a quiet route has some.",
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

/** @throws ConfigError with all that makes no sense */
function compileRules(options: Options): RetryRules {
  const problems: Problem[] = [];
  const bounds = new OptionBounds(options, "", problems);
  const backoff = new OptionBounds(options.backoff, "/backoff", problems);
  const rules: RetryRules = {
    attempts: options.attempts,
    causes: new Causes(options.on, "/on", problems),
    methods: compileMethods(options.methods),
    perTryTimeoutMs: options.perTryTimeout === undefined ? undefined : bounds.wait("perTryTimeout"),
    backoffBaseMs: backoff.wait("base", "0s"),
    backoffMaxMs: backoff.wait("max", "0s"),
    maxRetryAfterMs: bounds.wait("maxRetryAfter", "0s"),
    budget: { share: bounds.share("budget"), floor: options.budgetFloor },
    maxBodyBytes: parseSize(options.maxBodySize),
  };
  if (rules.backoffBaseMs > rules.backoffMaxMs) {
    const message = `\`base\` is longer than \`max\`, ${options.backoff.max}`;
    problems.push({ code: "CONFIG_VALUE", message, pointer: "/backoff/base" });
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return rules;
}
