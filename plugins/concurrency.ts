/**
 * Limits how many exchanges are under way at once: of the route, of an upstream, or of each value of a key.
 *
 * Stands above the stages that it protects and calls next. Beyond the limit a request waits in a queue, first come
 * first served, if there is one and room in it; else the client sees 503 CONCURRENCY_LIMITED with Retry-After.
 * An exchange counts until it has ended: its reply is sent whole, or it failed for good. Below a stage that tries
 * again it counts once, the waits between attempts included.
 * `by: { upstream }` shares the count with every stage that names the same upstream. With `adaptive` the limit is
 * learned from the latency of what is below, from admission to the reply's head; `max` is then not given.
 * Requests without a value of the key are counted together. All threads count together, and whoever waits is let
 * in whichever thread gives a place back; but queues, and limits that are learned, are each thread's own. Where shared
 * memory has no room for a key, each thread allows its share.
 */
import { createHash } from "node:crypto";
import { compileKey, keySchema } from "../core/key.ts";
import { OptionBounds } from "../core/option-bounds.ts";
import {
  ConfigError,
  type Exchange,
  type FromSchema,
  GatewayError,
  type Host,
  type JsonSchema,
  type Plugin,
  type Problem,
  type Reply,
  type Stage,
} from "../core/plugin.ts";
import { retryAfterSeconds } from "../core/retry-after.ts";
import { partOf, shareOf } from "../core/threads/share.ts";
import { duration, parseDuration, parsePercent, percent } from "../core/units.ts";
import { upstreamName } from "./balance/options.ts";
import { GradientLimit, type GradientOptions } from "./concurrency/gradient.ts";
import { SlotTable } from "./concurrency/slot-table.ts";
import { type Gate, GateStats, type Permit, permitOf, type Slots } from "./concurrency/slots.ts";

const count = <const X extends string>(description: X, minimum = 1) =>
  ({ type: "integer", minimum, maximum: 1_000_000, description }) as const;

const key = keySchema("What is counted.");

const schema = {
  type: "object",
  description: "Limits how many requests are under way at once, with a queue.",
  properties: {
    max: count("Most exchanges at once, per key."),
    adaptive: {
      type: "object",
      description: "Learns the limit from latency, instead of `max`.",
      properties: {
        min: { ...count("The limit never falls below this."), default: 5 },
        max: { ...count("The limit never rises above this."), default: 1000 },
        initial: { ...count("The limit to begin with, once the baseline is known."), default: 20 },
        tolerance: percent("25%", "How far latency may rise above the baseline before the limit shrinks."),
        window: duration("200ms", "Least time over which latency is judged; also twice the latency."),
        baselineEvery: duration(
          "60s",
          "How often the latency under light load is measured again; the limit is halved meanwhile.",
        ),
      },
      additionalProperties: false,
    },
    by: {
      description:
        "What is counted: the `route`, `{ upstream: NAME }` over all routes, or a key such as `consumer`, `ip` or `{ header: x-tenant }`.",
      default: "route",
      anyOf: [
        ...key.anyOf,
        {
          type: "object",
          properties: {
            upstream: upstreamName("Name of an upstream: all stages that name it share one count."),
          },
          required: ["upstream"],
          additionalProperties: false,
        },
      ],
    },
    queue: { ...count("Most requests that may wait in a thread, per key; 0 for none.", 0), default: 0 },
    queueTimeout: duration("1s", "How long a request may wait."),
    retryAfter: duration("1s", "What a refused client is told in Retry-After, in whole seconds."),
  },
  oneOf: [{ required: ["max"] }, { required: ["adaptive"] }],
  additionalProperties: false,
} as const satisfies JsonSchema;

type Options = FromSchema<Omit<typeof schema, "oneOf">>;
type Adaptive = NonNullable<Options["adaptive"]>;

export const concurrency: Plugin<Options> = {
  name: "concurrency",
  schema,
  guard: true,
  build(options, host) {
    const gate = openGate(options, host);
    const slotsOf = compileSlots(options, host);
    const { adaptive } = gate;
    if (adaptive !== undefined) return watched(gate, adaptive, slotsOf, host.clock);
    return (next) => {
      const afterWaiting = async (slots: Slots, x: Exchange): Promise<Reply> => {
        await waitFor(slots, gate, x);
        return next(x);
      };
      return (x) => {
        // Its end has been told already: nothing would give a permit back.
        if (x.aborted !== undefined) throw x.aborted;
        const slots = slotsOf(x);
        return obtain(slots, gate, x) === undefined ? afterWaiting(slots, x) : next(x);
      };
    };
  },
};

/** The same with what the limit is learned from. */
function watched(
  gate: Gate,
  limit: GradientLimit,
  slotsOf: (x: Exchange) => Slots,
  clock: Host["clock"],
): Stage {
  return (next) => async (x) => {
    if (x.aborted !== undefined) throw x.aborted;
    const slots = slotsOf(x);
    const permit = obtain(slots, gate, x) ?? (await waitFor(slots, gate, x));
    permit.startedAt = clock.monotonic();
    limit.entered(slots.inFlight);
    try {
      const reply = await next(x);
      if (tell(limit, permit, slots, verdictOn(reply.status), clock.monotonic())) slots.admit();
      return reply;
    } catch (error) {
      if (tell(limit, permit, slots, verdictOnFailure(error), clock.monotonic())) slots.admit();
      throw error;
    }
  };
}

/** A permit without waiting, if there is one: that of an earlier attempt, when a stage above tries again. */
function obtain(slots: Slots, gate: Gate, x: Exchange): Permit | undefined {
  return permitOf(gate, x) ?? slots.tryEnter(gate, x);
}

async function waitFor(slots: Slots, gate: Gate, x: Exchange): Promise<Permit> {
  const permit = await slots.wait(gate, x);
  if (x.aborted !== undefined) throw x.aborted;
  return permit;
}

/** What the end of an attempt says about load: its latency counts, it suffered from too much, or nothing. */
type Verdict = "sample" | "overloaded" | "nothing";

function verdictOn(status: number): Verdict {
  if (status === 503 || status === 504) return "overloaded";
  return status < 500 && status !== 429 ? "sample" : "nothing";
}

function verdictOnFailure(error: unknown): Verdict {
  if (!(error instanceof GatewayError)) return "nothing";
  const { code, status } = error;
  const isOverload = status === 504 || code === "UPSTREAM_CONNECT_FAILED" || code === "UPSTREAM_RESET";
  return isOverload ? "overloaded" : "nothing";
}

function tell(limit: GradientLimit, permit: Permit, slots: Slots, verdict: Verdict, now: number): boolean {
  if (verdict === "nothing") return false;
  if (verdict === "overloaded") return limit.failed(now, slots.inFlight);
  return limit.answered(permit.startedAt, now, slots.inFlight);
}

/** One stage: what it allows and what it has counted. */
class StageGate implements Gate {
  readonly adaptive: GradientLimit | undefined;
  readonly isShared: boolean;
  readonly queueLength: number;
  readonly queueTimeoutMs: number;
  readonly stats: GateStats;
  readonly full: GatewayError;
  readonly timedOut: GatewayError;
  readonly #max: number;

  constructor(options: Options, adaptive: GradientLimit | undefined, queueTimeoutMs: number, host: Host) {
    this.#max = options.max ?? 0;
    this.adaptive = adaptive;
    this.isShared = adaptive === undefined;
    this.queueLength = options.queue;
    this.queueTimeoutMs = queueTimeoutMs;
    const { metrics, route, stage, shared } = host;
    const stats = host.keep(`concurrency stats ${route} ${stage}`, () => new GateStats());
    this.stats = stats;
    const headers = ["retry-after", String(retryAfterSeconds(parseDuration(options.retryAfter)))];
    const refusal = (detail: string): GatewayError =>
      new GatewayError("CONCURRENCY_LIMITED", { detail, headers });
    this.full = refusal("Too many requests are under way");
    this.timedOut = refusal("Too many requests are under way; the wait was too long");

    const labels = { route, stage };
    metrics.collect("sluice_concurrency_in_flight", "Exchanges that count now.", "gauge", () => [
      [labels, stats.inFlight],
    ]);
    // Those of all threads are summed up.
    metrics.collect("sluice_concurrency_limit", "Most exchanges at once, per key.", "gauge", () => [
      [labels, this.isShared ? partOf(this.limit, shared) : this.limit],
    ]);
    metrics.collect("sluice_concurrency_queued", "Requests that wait.", "gauge", () => [
      [labels, stats.queued],
    ]);
    metrics.collect("sluice_concurrency_rejected_total", "Requests refused, by reason.", "counter", () => [
      [{ ...labels, reason: "full" }, stats.full],
      [{ ...labels, reason: "timeout" }, stats.timedOut],
    ]);
  }

  get limit(): number {
    return this.adaptive === undefined ? this.#max : this.adaptive.limit;
  }
}

type By = Options["by"];

/** True for a count that is not by key. */
function isOne(by: By): by is "route" | Extract<By, { upstream: string }> {
  return by === "route" || (typeof by === "object" && "upstream" in by);
}

/** What tells the counts of stages apart: the upstream, or the stage itself. */
function identity(by: By, host: Host): string {
  if (typeof by === "object" && "upstream" in by) return `upstream ${by.upstream}`;
  return `stage ${host.route} ${host.stage} ${JSON.stringify(by)}`;
}

/** @throws ConfigError with all that makes no sense */
function openGate(options: Options, host: Host): StageGate {
  const problems: Problem[] = [];
  const { adaptive, by } = options;
  const queueTimeoutMs = new OptionBounds(options, "", problems).wait("queueTimeout");
  const gradient = adaptive && compileGradient(adaptive, by, host.shared, problems);
  if (problems.length > 0) throw new ConfigError(problems);
  return new StageGate(options, gradient && openLimit(gradient, by, host), queueTimeoutMs, host);
}

/** What this thread learns: its share of the limit. */
function compileGradient(
  adaptive: Adaptive,
  by: By,
  shared: Host["shared"],
  problems: Problem[],
): GradientOptions {
  const report = (message: string, pointer: string): void =>
    void problems.push({ code: "CONFIG_VALUE", message, pointer });
  if (!isOne(by)) {
    report(
      "`adaptive` learns what an upstream can take: it goes with `by: route` or `by: { upstream }`",
      "/by",
    );
  }
  const { min, max, initial } = adaptive;
  if (min > max) report(`\`min\` is more than \`max\`, ${max}`, "/adaptive/min");
  else if (initial < min || initial > max) {
    report(`\`initial\` must be from \`min\` to \`max\`, ${min} to ${max}`, "/adaptive/initial");
  }
  const bounds = new OptionBounds(adaptive, "/adaptive", problems);
  return {
    min: shareOf(min, shared),
    max: shareOf(max, shared),
    initial: shareOf(initial, shared),
    tolerance: parsePercent(adaptive.tolerance),
    windowMs: bounds.wait("window"),
    baselineMs: bounds.wait("baselineEvery"),
  };
}

function openLimit(options: GradientOptions, by: By, host: Host): GradientLimit {
  const random = (): number => host.random();
  const limit = host.keep(
    `concurrency limit ${identity(by, host)} ${JSON.stringify(options)}`,
    () => new GradientLimit(options, random),
  );
  limit.random = random;
  return limit;
}

/** Where an exchange is counted. */
function compileSlots({ by }: Options, host: Host): (x: Exchange) => Slots {
  const id = identity(by, host);
  const { shared, clock, log } = host;
  const digest = createHash("sha256").update(id).digest("base64url").slice(0, 12);
  const table = host.keep(`concurrency slots ${id}`, () => new SlotTable(`${digest} `, shared, clock, log));
  table.log = log;
  if (isOne(by)) {
    const slots = table.keep("");
    return () => slots;
  }
  const keyOf = compileKey(by, "/by");
  return (x) => table.of(keyOf(x) ?? "");
}
