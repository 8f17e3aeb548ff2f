/**
 * Copies a share of the requests to another upstream and throws its replies away.
 *
 * Stands where the request has the form that shall be copied, above `retry`, which else has each attempt copied, and
 * always calls next. Above `auth` and `authorize` it is refused: it would copy what they refuse. The client sees nothing of it:
 * its reply never waits for the copy nor fails by it. A request with a body is copied once its body has passed whole, at
 * the pace of the original; up to `maxBodySize` of it is kept until then. A copy has a life of its own: a client that
 * goes away after its request is complete does not stop it, `timeout` does. When the upstream fails or is slow, copies
 * fail and, beyond `maxInFlight`, are not made; both are counted.
 */
import { keySchema } from "../core/key.ts";
import { compileKeyShare } from "../core/key-share.ts";
import { OptionBounds } from "../core/option-bounds.ts";
import { compileHeaderName, compileHeaderValue } from "../core/option-text.ts";
import {
  ConfigError,
  type Exchange,
  type FromSchema,
  type Handler,
  type Host,
  type JsonSchema,
  type Plugin,
  type Problem,
  type RouteInfo,
} from "../core/plugin.ts";
import { childPointer } from "../core/pointer.ts";
import { duration, parseSize, percent, size } from "../core/units.ts";
import { createBalancer } from "./balance/balancer.ts";
import { balanceProperties, upstreamName } from "./balance/options.ts";
import { Copies, type CopyResult } from "./mirror/copies.ts";
import { Copy, type CopySettings } from "./mirror/copy.ts";

const schema = {
  type: "object",
  description: "Copies a share of the requests to another upstream and throws its replies away.",
  properties: {
    upstream: upstreamName("Name of the upstream that gets the copies."),
    strategy: balanceProperties.strategy,
    key: balanceProperties.key,
    loadFactor: balanceProperties.loadFactor,
    percent: percent("100%", "Share of the requests to copy."),
    by: keySchema(
      "What is decided by: of requests with the same key all are copied, or none. Without it, and without the key, each is decided by chance.",
    ),
    salt: {
      type: "string",
      default: "",
      description: "Makes the choice by key independent of stages with another salt.",
    },
    maxInFlight: {
      type: "integer",
      minimum: 1,
      default: 100,
      description:
        "Most copies of this route to the upstream at once on a thread, those that wait for a body included; further requests are not copied.",
    },
    maxBodySize: size("1MB", "Largest request body to copy. It is kept in memory until it is complete."),
    timeout: duration("5s", "Longest that the upstream may take for its whole reply."),
    preserveHost: {
      type: "boolean",
      default: false,
      description: "Send the client's Host, not the target's.",
    },
    headers: {
      type: "object",
      default: {},
      description:
        "Headers of the copy. It always has `x-mirrored: true`, unless that is set or removed here.",
      properties: {
        remove: {
          type: "array",
          items: { type: "string" },
          default: [],
          description: "Names of headers to remove, such as credentials.",
        },
        set: {
          type: "object",
          additionalProperties: { type: "string" },
          default: {},
          description: "Values by name, templates; they replace what is there.",
        },
      },
      additionalProperties: false,
    },
  },
  required: ["upstream"],
  additionalProperties: false,
} as const satisfies JsonSchema;

type Options = FromSchema<typeof schema>;

/** Tells those who get a copy that nobody waits for their reply. */
const MARKER = "x-mirrored";

export const mirror: Plugin<Options> = {
  name: "mirror",
  schema,
  harmAboveAuth: () => "would copy requests that are refused there",
  build(options, host) {
    const problems: Problem[] = [];
    const bounds = new OptionBounds(options, "", problems);
    const share = bounds.share("percent");
    const timeoutMs = bounds.wait("timeout");
    if (problems.length > 0) throw new ConfigError(problems);
    const maxBodyBytes = parseSize(options.maxBodySize);
    const isChosen = compileChoice(share, options, host);
    const { maxInFlight } = options;
    const settings: CopySettings = {
      copies: openCopies(options.upstream, host),
      send: createBalancer(options, host),
      edit: compileEdit(options.headers),
      route: copyRoute(options, host),
      maxBodyBytes,
      timeoutMs,
      log: host.log,
    };
    const { copies } = settings;
    /** The copy to send, if one is to be made. */
    const take = (x: Exchange): Copy | undefined => {
      if (!isChosen(x)) return undefined;
      if (x.body?.length !== undefined && x.body.length > maxBodyBytes) copies.counts.skipped_body++;
      else if (copies.size >= maxInFlight) copies.counts.skipped_busy++;
      else return new Copy(x, settings);
      return undefined;
    };
    if (share === 0) return (next) => next;
    return (next) => withCopies(next, take);
  },
};

function withCopies(next: Handler, take: (x: Exchange) => Copy | undefined): Handler {
  return (x) => {
    const copy = take(x);
    if (copy === undefined) return next(x);
    try {
      return next(x); // the original goes first
    } finally {
      copy.begin();
    }
  };
}

function compileChoice(share: number, options: Options, host: Host): (x: Exchange) => boolean {
  const placeOf = compileKeyShare(options);
  if (share >= 1) return () => true;
  return (x) => (placeOf(x) ?? host.random()) < share;
}

/** The copies under way, kept across generations with their counts. */
function openCopies(upstream: string, host: Host): Copies {
  const { route, metrics } = host;
  const copies = host.keep(`mirror ${route} ${upstream}`, () => new Copies());
  copies.open();
  host.onClose(() => copies.close());
  metrics.collect(
    "sluice_mirror_requests_total",
    "Copies of requests, by what became of them.",
    "counter",
    () =>
      (Object.entries(copies.counts) as [CopyResult, number][]).map(([result, count]) => [
        { route, upstream, result },
        count,
      ]),
  );
  metrics.collect("sluice_mirror_in_flight", "Copies of requests under way.", "gauge", () => [
    [{ route, upstream }, copies.size],
  ]);
  return copies;
}

/** What the route is to copies: their Host is a matter of this stage, and nobody counts them as its requests. */
function copyRoute({ preserveHost }: Options, host: Host): RouteInfo {
  return { name: host.route, preserveHost, maxBodyBytes: undefined, stats: undefined };
}

function compileEdit({ remove, set }: Options["headers"]): (copy: Exchange) => void {
  const removed = remove.map((name, i) => compileHeaderName(name, childPointer("/headers/remove", i)));
  const values = Object.entries(set).map(([name, value]) => {
    const at = childPointer("/headers/set", name);
    return { name: compileHeaderName(name, at), value: compileHeaderValue(value, at) };
  });
  const marks = !removed.includes(MARKER);
  return (copy) => {
    const { headers } = copy;
    for (const name of removed) headers.delete(name);
    if (marks) headers.setChecked(MARKER, "true");
    for (const { name, value } of values) {
      const text = typeof value === "string" ? value : value(copy);
      if (text !== undefined) headers.set(name, text);
    }
  };
}
