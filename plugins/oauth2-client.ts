/**
 * Gives requests an access token of the gateway's own for the upstream, by the client-credentials grant of OAuth 2.0
 * (RFC 6749 section 4.4): in `authorization`, whatever the client has sent there.
 *
 * Stands below `retry` and above what sends the request; calls next once there is a token. Above `auth`, which would
 * know everybody by that token, it is refused. The client sees 503 TOKEN_UNAVAILABLE when there is none and none can be
 * had. A token is asked for when a request needs one, renewed in the background at about 80 % of its life, and forgotten
 * when the upstream answers 401, which goes on to the client unless a `retry` above asks again. While the server of
 * tokens is away, the one that is there goes on to be used until it ends.
 */
import { hash } from "node:crypto";
import { Asker } from "../core/asker.ts";
import { OAuthServer, oauthServerOptions } from "../core/oauth-server.ts";
import {
  type Exchange,
  type FromSchema,
  GatewayError,
  type Handler,
  type Host,
  type JsonSchema,
  type Plugin,
  type Reply,
} from "../core/plugin.ts";
import { duration, parseDuration } from "../core/units.ts";
import { type Token, Tokens } from "./oauth2-client/tokens.ts";

const text = <const X extends string>(description: X) =>
  ({ type: "string", minLength: 1, description }) as const;

const schema = {
  type: "object",
  description: "Gives requests an access token for the upstream: OAuth 2.0 client credentials.",
  properties: {
    tokenUrl: text("Where tokens are asked for; `https:`, or `http:` on this machine."),
    ...oauthServerOptions,
    scope: {
      anyOf: [
        { type: "string", minLength: 1 },
        { type: "array", items: { type: "string", minLength: 1 }, minItems: 1 },
      ],
      description: "What the token shall be good for: scopes as a list, or as a text with blanks between.",
    },
    audience: text("Who the token shall be for, where the server wants to be told."),
    timeout: duration("5s", "How long the server may take to give a token."),
  },
  required: ["clientId", "clientSecret"],
  additionalProperties: false,
} as const satisfies JsonSchema;

type Options = FromSchema<typeof schema>;

export const oauth2Client: Plugin<Options> = {
  name: "oauth2-client",
  schema,
  harmAboveAuth: (_, { identifies }) =>
    identifies && "would show the gateway's own token as that of strangers",
  build(options, host) {
    const digest = hash("sha256", JSON.stringify(options)); // there is a secret in it
    const tokens = host.keep(`oauth2-client ${digest}`, () => openTokens(options, host));
    return (next) => (x) => {
      const token = tokens.current();
      return token === undefined ? obtain(x, tokens, next) : send(x, token, tokens, next);
    };
  },
};

const METRIC = {
  name: "sluice_oauth2_client_token_requests_total",
  help: "Requests for tokens for upstreams, by outcome: `ok` or `failed`.",
};

/** @throws ConfigError */
function openTokens(options: Options, host: Host): Tokens {
  const { scope, audience, timeout, tokenUrl } = options;
  const asker = new Asker("the server that oauth2-client has tokens from", METRIC, host);
  const url = { key: "tokenUrl", value: tokenUrl };
  const timeoutMs = parseDuration(timeout);
  const init = { options, url, member: "token_endpoint", timeoutMs, asker, clock: host.clock } as const;
  const form = {
    grant_type: "client_credentials",
    ...(scope === undefined ? {} : { scope: [scope].flat().join(" ") }),
    ...(audience === undefined ? {} : { audience }),
  };
  return new Tokens(new OAuthServer(init, ""), form, asker, host);
}

async function obtain(x: Exchange, tokens: Tokens, next: Handler): Promise<Reply> {
  x.headers.delete("authorization"); // it is not for the upstream, whatever comes of this
  const token = await tokens.obtain();
  if (token === undefined) throw new GatewayError("TOKEN_UNAVAILABLE", { headers: ["retry-after", "5"] });
  return send(x, token, tokens, next);
}

async function send(x: Exchange, token: Token, tokens: Tokens, next: Handler): Promise<Reply> {
  x.headers.setChecked("authorization", token.header);
  try {
    const reply = await next(x);
    if (reply.status === 401) tokens.forget(token);
    return reply;
  } finally {
    // Stages above may show what the request has, or go on elsewhere.
    x.headers.delete("authorization");
  }
}
