/**
 * Splits requests between upstreams: by weight, by chance or by a key, and by conditions. For canaries, A/B tests and
 * more than one cloud.
 *
 * Stands last: it makes the reply and never calls next. A branch is chosen by the first of these that says something:
 * the `when` of a branch, in their order; the `cookie` that remembers an earlier choice; the key `by`; chance. Weights
 * count for the last two. The client sees the chosen branch's reply, `replyHeader` on it and on failures, and the
 * cookie when it was given a branch anew. Each branch balances over its upstream's targets as `balance` does, and
 * fails as it does: 502, 503 or 504. With `failover` the next branch takes what cannot be sent to the chosen one.
 */
import { readCookie } from "../core/cookies.ts";
import type { Condition } from "../core/config/checked.ts";
import { conditionSchema } from "../core/config/condition-schema.ts";
import { keySchema } from "../core/key.ts";
import { compileKeyShare } from "../core/key-share.ts";
import { compileCondition } from "../core/match.ts";
import { compileHeaderName } from "../core/option-text.ts";
import {
  ConfigError,
  type Exchange,
  type FromSchema,
  GatewayError,
  type Handler,
  type Host,
  type JsonSchema,
  type Plugin,
  type Reply,
} from "../core/plugin.ts";
import { childPointer } from "../core/pointer.ts";
import { createBalancer } from "./balance/balancer.ts";
import { balanceProperties } from "./balance/options.ts";
import { Branch, type BranchCounts } from "./split/branch.ts";
import { Chooser } from "./split/chooser.ts";
import { compileCookies, type CookieOptions, cookieSchema } from "./split/cookie.ts";

const branchSchema = {
  type: "object",
  description: "One way to go.",
  properties: {
    name: {
      type: "string",
      pattern: "^[A-Za-z0-9][A-Za-z0-9._-]*$",
      maxLength: 100,
      "x-expected": "a name of letters, digits, `.`, `_` and `-`",
      description: "Name in metrics, headers and the cookie; the upstream's by default.",
    },
    ...balanceProperties,
    weight: {
      type: "number",
      minimum: 0,
      description:
        "Its share against the other weights; 0 and left out: none. Left out, there must be a `when`.",
    },
    when: {
      $ref: "#/definitions/condition",
      description: "Requests that meet all of these go here, whatever the weights.",
    },
  },
  required: ["upstream"],
  additionalProperties: false,
} as const satisfies JsonSchema;

const schema = {
  type: "object",
  description: "Splits requests between upstreams by weight, key and conditions.",
  definitions: {
    condition: {
      ...conditionSchema,
      description: "Conditions on the request; all must hold.",
    },
  },
  properties: {
    branches: { type: "array", items: branchSchema, minItems: 1, description: "The ways to go, in order." },
    by: keySchema(
      "What is decided by: requests with the same key go the same way. Without it, and without the key, each is decided by chance.",
    ),
    salt: {
      type: "string",
      default: "",
      description: "Makes the choice by key independent of splits with another salt.",
    },
    cookie: cookieSchema,
    requestHeader: {
      type: "string",
      minLength: 1,
      description: "Header that tells the upstream the branch's name.",
    },
    replyHeader: {
      type: "string",
      minLength: 1,
      description: "Header that tells the client the branch's name.",
    },
    failover: {
      type: "boolean",
      default: false,
      description: "When no target of the chosen branch is available, the next branch takes the request.",
    },
  },
  required: ["branches"],
  additionalProperties: false,
} as const satisfies JsonSchema;

/** Without the definition of a condition, which refers to itself: to types it is {@link Condition}. */
type Options = FromSchema<Omit<typeof schema, "definitions">>;

export const split: Plugin<Options> = {
  name: "split",
  schema,
  terminal: true,
  build(options, host) {
    const branches = buildBranches(options, host);
    const chooser = new Chooser(branches, compileKeyShare(options), () => host.random());
    const serve = options.failover ? withFailover(branches) : serveAlone;
    const handler =
      options.cookie === undefined
        ? withoutMemory(chooser, serve)
        : withCookie(chooser, serve, branches, options.cookie);
    return () => handler;
  },
};

function buildBranches(options: Options, host: Host): Branch[] {
  const requestHeader = headerName(options.requestHeader, "/requestHeader");
  const replyHeader = headerName(options.replyHeader, "/replyHeader");
  const names = new Set<string>();
  const branches = options.branches.map((each, i) => {
    const at = childPointer("/branches", i);
    const { name = each.upstream, weight, when } = each;
    if (weight === undefined && when === undefined) {
      throw new ConfigError("A branch needs a `weight`, a `when`, or both", at);
    }
    if (names.has(name)) {
      const message = `There is a branch "${name}" already; branches of one upstream need names of their own`;
      throw new ConfigError(message, each.name === undefined ? at : `${at}/name`);
    }
    names.add(name);
    return new Branch({
      name,
      weight: weight ?? 0,
      when: when === undefined ? undefined : compileCondition(when as Condition, `${at}/when`),
      send: createBalancer(each, host, at),
      counts: countRequests(host, name),
      requestHeader,
      replyHeader,
    });
  });
  if (!branches.some(({ weight }) => weight > 0)) {
    const message =
      "One branch at least needs a weight above 0, for requests that no `when` chooses a branch for";
    throw new ConfigError(message, "/branches");
  }
  return branches;
}

function headerName(name: string | undefined, pointer: string): string | undefined {
  return name === undefined ? undefined : compileHeaderName(name, pointer);
}

function countRequests(host: Host, branch: string): BranchCounts {
  const { route, stage, metrics } = host;
  const counts = host.keep(`split ${route} ${stage} ${branch}`, () => ({ requests: 0, failovers: 0 }));
  const labels = { route, stage, branch };
  metrics.collect("sluice_split_requests_total", "Requests by the branch that was chosen.", "counter", () => [
    [labels, counts.requests],
  ]);
  metrics.collect(
    "sluice_split_failovers_total",
    "Requests that left a branch because no target of it was available.",
    "counter",
    () => [[labels, counts.failovers]],
  );
  return counts;
}

/** Serves an exchange by a branch, or by those that take over from it. */
type Serve = (x: Exchange, branch: Branch) => Reply | Promise<Reply>;

const serveAlone: Serve = (x, branch) => branch.serve(x);

function withoutMemory(chooser: Chooser, serve: Serve): Handler {
  return (x) => serve(x, chooser.byCondition(x) ?? chooser.byWeight(x));
}

/** The cookie counts below conditions, and is set on replies to those who were given a branch by weight. */
function withCookie(
  chooser: Chooser,
  serve: Serve,
  branches: readonly Branch[],
  options: CookieOptions,
): Handler {
  const names = branches.map(({ name }) => name);
  const cookies = compileCookies(options, names, "/cookie");
  const remember = async (x: Exchange, branch: Branch): Promise<Reply> => {
    const reply = await serve(x, branch);
    reply.headers.append("set-cookie", cookies.get(branch.name)![x.scheme]);
    return reply;
  };
  return (x) => {
    const conditional = chooser.byCondition(x);
    if (conditional !== undefined) return serve(x, conditional);
    const name = readCookie(x.headers, options.name);
    const known = name === undefined ? undefined : chooser.byName(name);
    return known === undefined ? remember(x, chooser.byWeight(x)) : serve(x, known);
  };
}

/**
 * Tries the branches that take over, beginning after the chosen one. A branch is left only when none of its targets
 * was asked: there were none, or the guards of stages above refused all.
 */
function withFailover(branches: readonly Branch[]): Serve {
  return async (x, chosen) => {
    const start = branches.indexOf(chosen);
    let failure: unknown;
    for (let i = 0; i < branches.length; i++) {
      const branch = branches[(start + i) % branches.length]!;
      if (i > 0 && !branch.takesOver) continue;
      x.target = undefined;
      try {
        return await branch.serve(x);
      } catch (error) {
        if (!(error instanceof GatewayError) || x.target !== undefined) throw error;
        failure ??= error;
        branch.counts.failovers++;
      }
    }
    throw failure;
  };
}
