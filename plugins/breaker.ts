/**
 * Stops asking what fails: a circuit opens when too many requests fail, or take too long, and requests are answered
 * at once until it has had time to recover. Then a few probes decide, and traffic comes back little by little.
 *
 * Stands right above `balance`, below `retry`, and calls next while the circuit lets it. The client sees 503
 * CIRCUIT_OPEN with Retry-After, or the `fallback`. With `by: upstream` and `by: target` the circuit is the one of
 * whom the balancer picks: targets with an open circuit are passed over, and each attempt counts. Otherwise there is
 * a circuit for the route or for each value of a key, and what comes out of the stages below counts.
 * Failures are UPSTREAM_* of connections, replies and timeouts, and `statuses`; a reply's head decides. What clients
 * do wrong, and what stages of the gateway fail with, counts neither way. Rates need `minRequests` in `within`.
 * Circuits are shared by all data threads.
 * With an upstream as `fallback` it is refused above `auth` and `authorize`: what they refuse would go there.
 * Depends on nothing that can fail at run time; a fallback upstream that fails shows its failure.
 */
import { discard } from "../core/discard.ts";
import { isUpstreamFailure } from "../core/errors.ts";
import { compileKey, keySchema } from "../core/key.ts";
import { OptionBounds } from "../core/option-bounds.ts";
import {
  ConfigError,
  type Exchange,
  type FromSchema,
  type Host,
  type JsonSchema,
  type Plugin,
  type Problem,
  type Reply,
  type Stage,
} from "../core/plugin.ts";
import { compileStatuses, statusesSchema } from "../core/statuses.ts";
import { addGuard, removeGuard } from "../core/target-guards.ts";
import { anyDuration, duration, percent } from "../core/units.ts";
import { Circuits, type CircuitsOptions, type Entry, type TopicOf } from "./breaker/circuits.ts";
import { createFallback, type Fallback, fallbackSchema } from "./breaker/fallback.ts";
import { Judge } from "./breaker/outcomes.ts";
import { type CircuitOf, Pass, rejectionOf } from "./breaker/pass.ts";
import { collectCircuits, Registry } from "./breaker/registry.ts";

const key = keySchema("What circuits are told apart by.");

const schema = {
  type: "object",
  description: "Stops asking what fails, until it has had time to recover.",
  properties: {
    by: {
      description:
        "What has a circuit of its own: each `upstream`, each `target`, the `route`, or each value of a key such as `consumer`, `ip` or `{ header: x-tenant }`.",
      default: "upstream",
      anyOf: [{ type: "string", enum: ["upstream", "target"] }, ...key.anyOf],
    },
    errorRate: percent("50%", "Share of failures at which the circuit opens."),
    minRequests: {
      type: "integer",
      minimum: 1,
      maximum: 1_000_000,
      default: 20,
      description: "Requests `within` the time below which no rate opens the circuit.",
    },
    within: duration("10s", "Time over which rates are counted; it rolls in tenths."),
    consecutiveFailures: {
      type: "integer",
      minimum: 1,
      maximum: 1_000_000,
      description:
        "Failures in a row at which the circuit opens, however few requests there are; never by default.",
    },
    slowCall: anyDuration("A reply whose head takes longer than this is slow; none is by default."),
    slowCallRate: percent("50%", "Share of slow calls at which the circuit opens."),
    statuses: statusesSchema(4, ["500-599"], "Statuses of replies that are failures: numbers and ranges."),
    openFor: duration("15s", "How long the circuit stays open before it is tried again."),
    maxOpenFor: duration(
      "2m",
      "Each time that trying again fails the circuit stays open twice as long, up to this.",
    ),
    halfOpen: {
      type: "integer",
      minimum: 1,
      maximum: 1000,
      default: 3,
      description: "Requests let in to try; all must go well, or the circuit opens again.",
    },
    recovery: duration(
      "10s",
      "Time from a few percent of the requests to all of them, after the circuit was tried; failures make it longer. `0s` for all at once.",
    ),
    fallback: fallbackSchema,
    fallbackOn: {
      type: "array",
      items: { type: "string", enum: ["open", "failure"] },
      minItems: 1,
      uniqueItems: true,
      default: ["open"],
      description:
        "When the fallback answers: requests that are not let in (`open`), and those that failed (`failure`).",
    },
    keys: {
      type: "integer",
      minimum: 1,
      maximum: 1_000_000,
      default: 1000,
      description: "Most circuits at once on a thread; those that were not used for long make room.",
    },
  },
  additionalProperties: false,
} as const satisfies JsonSchema;

type Options = FromSchema<typeof schema>;

export const breaker: Plugin<Options> = {
  name: "breaker",
  schema,
  guard: true,
  harmAboveAuth: ({ fallback }) =>
    fallback !== undefined && "upstream" in fallback
      ? "would send requests that are refused there to its fallback"
      : undefined,
  build(options, host) {
    const problems: Problem[] = [];
    const rules = compileRules(options, problems);
    const judge = compileJudge(options, host, problems);
    if (problems.length > 0) throw new ConfigError(problems);
    const fallbacks = compileFallbacks(options, host);

    const { by, slowCall, statuses } = options;
    const identity = JSON.stringify([by, rules, slowCall, statuses]);
    if (by === "upstream" || by === "target") {
      const circuits = openCircuits(identity, rules, by === "upstream" ? UPSTREAM : TARGET, host);
      const circuitOf: CircuitOf =
        by === "upstream"
          ? ({ upstream }) => circuits.get(upstream)
          : (target) => circuits.get(`${target.upstream} ${target.id}`, target);
      return guarding(circuitOf, judge, fallbacks);
    }
    const { route, stage } = host;
    const place = `${route} ${stage} ${identity}`;
    if (by === "route") {
      const topic = {
        id: `route:${route}:${stage}`,
        about: { by, route, stage },
        labels: { by, route, stage },
      };
      const circuits = openCircuits(place, rules, () => topic, host);
      const entry = circuits.get("");
      return wrapping(() => entry, judge, fallbacks);
    }
    const keyOf = compileKey(by, "/by");
    const circuits = openCircuits(place, rules, topicOfKey(route, stage), host);
    return wrapping((x) => circuits.get(keyOf(x) ?? ""), judge, fallbacks);
  },
};

/** A rate of nothing would open circuits without a failure. */
const LEAST_RATE = "0.01%";

const UPSTREAM: TopicOf = (upstream) => {
  const about = { by: "upstream", upstream };
  return { id: `upstream:${upstream}`, about, labels: about };
};

const TARGET: TopicOf = (_key, target) => {
  const { upstream, id } = target!;
  const about = { by: "target", upstream, target: id };
  return { id: `target:${upstream}:${id}`, about, labels: about };
};

/** Values of keys come from clients, so they are no labels of metrics. */
function topicOfKey(route: string, stage: string): TopicOf {
  const labels = { by: "key", route, stage };
  return (value) => ({
    id: `key:${route}:${stage}:${value}`,
    about: { ...labels, key: value },
    labels,
  });
}

function compileRules(options: Options, problems: Problem[]): CircuitsOptions {
  const bounds = new OptionBounds(options, "", problems);
  return {
    errorRate: bounds.share("errorRate", LEAST_RATE),
    slowCallRate: bounds.share("slowCallRate", LEAST_RATE),
    minRequests: options.minRequests,
    withinMs: bounds.wait("within"),
    consecutiveFailures: options.consecutiveFailures ?? Number.POSITIVE_INFINITY,
    openForMs: bounds.wait("openFor"),
    maxOpenForMs: bounds.wait("maxOpenFor"),
    halfOpen: options.halfOpen,
    recoveryMs: bounds.wait("recovery", "0s"),
    keys: options.keys,
  };
}

function compileJudge(options: Options, host: Host, problems: Problem[]): Judge {
  const slowCallMs =
    options.slowCall === undefined
      ? Number.POSITIVE_INFINITY
      : new OptionBounds(options, "", problems).wait("slowCall");
  return new Judge(compileStatuses(options.statuses, "/statuses", problems), slowCallMs, host.clock);
}

/**
 * The circuits of this stage: those of an earlier generation if they are the same.
 * @param identity what makes stages have the same circuits
 */
function openCircuits(identity: string, rules: CircuitsOptions, topicOf: TopicOf, host: Host): Circuits {
  const { shared, clock } = host;
  const registry = host.keep("breaker registry", () => new Registry(shared.counters, clock));
  const circuits = host.keep(
    `breaker ${identity}`,
    () => new Circuits(identity, rules, topicOf, registry, host),
  );
  circuits.attach(host);
  collectCircuits(host.metrics, () => circuits.seriesFor(host));
  return circuits;
}

/** The fallback by occasion. */
interface Fallbacks {
  readonly open: Fallback | undefined;
  readonly failure: Fallback | undefined;
}

function compileFallbacks({ fallback, fallbackOn }: Options, host: Host): Fallbacks {
  const compiled = fallback && createFallback(fallback, host);
  const on = (occasion: "open" | "failure") => (fallbackOn.includes(occasion) ? compiled : undefined);
  return { open: on("open"), failure: on("failure") };
}

/** For circuits that are known before the balancer picks. */
function wrapping(entryOf: (x: Exchange) => Entry, judge: Judge, { open, failure }: Fallbacks): Stage {
  const { clock } = judge;
  return (next) => async (x) => {
    const { circuit, series } = entryOf(x);
    const ticket = circuit.admit();
    if (ticket === 0) {
      series.rejected++;
      const { retryAfter } = circuit;
      if (open === undefined) throw rejectionOf(retryAfter);
      return open.answer(x, String(retryAfter));
    }
    const beganAt = judge.begin(x);
    let reply: Reply;
    try {
      reply = await next(x);
    } catch (error) {
      const now = clock.monotonic();
      circuit.settle(ticket, judge.ofError(error, beganAt, now), now);
      return afterFailure(x, error, failure);
    }
    const now = clock.monotonic();
    circuit.settle(ticket, judge.ofReply(reply.status, beganAt, now), now);
    return failure !== undefined && judge.isFailure(reply.status) ? replace(x, reply, failure) : reply;
  };
}

/** For circuits of whom the balancer picks. */
function guarding(circuitOf: CircuitOf, judge: Judge, { open, failure }: Fallbacks): Stage {
  return (next) => async (x) => {
    const pass = new Pass(circuitOf, judge);
    addGuard(x, pass);
    let reply: Reply;
    try {
      reply = await next(x);
    } catch (error) {
      removeGuard(x, pass);
      const { rejection } = pass;
      if (rejection === undefined || error !== rejection) return afterFailure(x, error, failure);
      pass.countRejection();
      if (open === undefined) throw error;
      return open.answer(x, rejection.headers[1]);
    }
    removeGuard(x, pass);
    return failure !== undefined && judge.isFailure(reply.status) ? replace(x, reply, failure) : reply;
  };
}

function afterFailure(x: Exchange, error: unknown, fallback: Fallback | undefined): Reply | Promise<Reply> {
  if (fallback === undefined || !isUpstreamFailure(error) || !fallback.canFollow(x)) throw error;
  return fallback.answer(x, undefined);
}

/** The fallback's reply in place of a failure's. */
function replace(x: Exchange, reply: Reply, fallback: Fallback): Reply | Promise<Reply> {
  if (!fallback.canFollow(x)) return reply;
  discard(x, reply.body);
  return fallback.answer(x, undefined);
}
