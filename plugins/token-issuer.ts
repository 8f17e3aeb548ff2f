/**
 * Logs users in by name and password and gives them tokens: short-lived access tokens, which `auth` or any other
 * server checks by the published key, and refresh tokens, which are used once each. For small set-ups and for trying;
 * it is no OAuth server and no OpenID provider.
 *
 * Stands at the end of the pipeline of a route whose path ends with `/*` and never calls next: what follows the prefix
 * is `login`, `refresh`, `logout` or `.well-known/jwks.json`. Users are the consumers that have a password. Clients see
 * 400 GRANT_INVALID for any wrong name, password or token, 429 RATE_LIMITED after too many tries, and 503 when the store
 * cannot be asked: nobody is let in then.
 */
import { hash } from "node:crypto";
import { OptionBounds } from "../core/option-bounds.ts";
import {
  ConfigError,
  type Exchange,
  type FromSchema,
  GatewayError,
  HeaderList,
  type Host,
  type JsonSchema,
  type Plugin,
  type Problem,
  Reply,
  textReply,
} from "../core/plugin.ts";
import { duration, UNITS } from "../core/units.ts";
import { loadKeys } from "./token-issuer/keys.ts";
import { Logins } from "./token-issuer/logins.ts";
import { RefreshTokens } from "./token-issuer/refresh-tokens.ts";
import { IssuerStats } from "./token-issuer/stats.ts";
import { Throttle } from "./token-issuer/throttle.ts";

const key = <const X extends string>(description: X) =>
  ({ type: "string", minLength: 1, writeOnly: true, description }) as const;

const tries = <const D extends string, const X extends string>(fallback: D, description: X) =>
  ({ type: "string", pattern: UNITS.rate.pattern, default: fallback, description }) as const;

const schema = {
  type: "object",
  description: "Logs users in by name and password and gives them tokens.",
  properties: {
    issuer: {
      type: "string",
      minLength: 1,
      description: "Who makes the tokens: `iss`, as a rule the URL of the route.",
    },
    audience: {
      anyOf: [
        { type: "string", minLength: 1 },
        { type: "array", items: { type: "string", minLength: 1 }, minItems: 1 },
      ],
      description: "Whom access tokens are for: `aud`.",
    },
    key: key("Private Ed25519 key that signs access tokens, in PEM or as a JWK, best as `${file:…}`."),
    previousKeys: {
      type: "array",
      items: key("An Ed25519 key, either half, in PEM or as a JWK."),
      default: [],
      description: "Keys that are published too: those that have signed before, or will next.",
    },
    accessTtl: duration("5m", "How long an access token is valid. Nothing ends it earlier."),
    idleTtl: duration("7d", "How long a refresh token can be used; using it gives the next one."),
    refreshTtl: duration("30d", "How long after a login refresh tokens can be used at all."),
    grace: duration(
      "10s",
      "How long after its use a refresh token gives the same next one again, for answers that were lost.",
    ),
    store: {
      type: "string",
      minLength: 1,
      default: "main",
      "x-reference": "store",
      description: "Where refresh tokens are known, by their digests, and tries to log in are counted.",
    },
    throttle: {
      type: "object",
      description: "How often one may try to log in without success.",
      properties: {
        user: tries("10/15m", "Tries for one name, wherever they come from."),
        ip: tries("50/15m", "Tries from one address, or network of IPv6 (/64)."),
      },
      default: {},
      additionalProperties: false,
    },
  },
  required: ["issuer", "audience", "key"],
  additionalProperties: false,
} as const satisfies JsonSchema;

type Options = FromSchema<typeof schema>;

const JWKS = ".well-known/jwks.json";
const ACTIONS = ["login", "refresh", "logout"] as const;

export const tokenIssuer: Plugin<Options> = {
  name: "token-issuer",
  schema,
  terminal: true,
  guard: true,
  async build(options, host) {
    const { logins, jwks } = await open(options, host);
    const answer = async (x: Exchange): Promise<Reply> => {
      (x.failureHeaders ??= new HeaderList()).set("cache-control", "no-store");
      const path = x.params["*"];
      if (path === JWKS) return replyKeys(x, jwks);
      const action = ACTIONS.find((each) => each === path);
      if (action === undefined) throw new GatewayError("ROUTE_NOT_FOUND");
      if (x.method !== "POST") throw new GatewayError("METHOD_NOT_ALLOWED", { headers: ["allow", "POST"] });
      const noStore = ["cache-control", "no-store"];
      const tokens = await logins[action](x);
      if (tokens === undefined) return new Reply(204, new HeaderList(noStore));
      return textReply(200, JSON.stringify(tokens), "application/json", noStore);
    };
    return () => answer;
  },
};

async function open(options: Options, host: Host): Promise<{ logins: Logins; jwks: string }> {
  const problems: Problem[] = [];
  const bounds = new OptionBounds(options, "", problems);
  const accessMs = bounds.duration("accessTtl", "10s", "1d");
  const lifetimeMs = bounds.duration("refreshTtl", "1m", "366d");
  const idleMs = bounds.duration("idleTtl", "1m", "366d");
  const graceMs = bounds.duration("grace", "0s", "1m");
  const { issuer, audience, store } = options;
  const throttle = new Throttle(options.throttle, `logins ${digest(issuer)}`, store, host, problems);
  if (problems.length > 0) throw new ConfigError(problems);

  const keys = await loadKeys(options.key, options.previousKeys);
  const stats = host.keep(`token-issuer stats ${host.route} ${host.stage}`, () => new IssuerStats());
  stats.collect(host);
  const scope = JSON.stringify([issuer, audience]);
  const tokens = new RefreshTokens(
    host.stores.get(store)!,
    scope,
    { idleMs, lifetimeMs, graceMs },
    host.clock,
  );
  const logins = new Logins({ issuer, audience, accessMs, keys, tokens, throttle, stats }, host);
  return { logins, jwks: keys.jwks };
}

function replyKeys(x: Exchange, jwks: string): Reply {
  const { method } = x;
  if (method !== "GET" && method !== "HEAD") {
    throw new GatewayError("METHOD_NOT_ALLOWED", { headers: ["allow", "GET, HEAD"] });
  }
  const reply = textReply(200, jwks, "application/jwk-set+json", ["cache-control", "public, max-age=300"]);
  if (method === "HEAD") reply.body = null;
  return reply;
}

const digest = (text: string): string => hash("sha256", text, "base64url").slice(0, 12);
