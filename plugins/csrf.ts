/**
 * Keeps pages of other sites from having browsers send requests with the user's cookies (CSRF).
 *
 * Stands above `auth`, below `cors`; calls next for GET, HEAD, OPTIONS and TRACE, and for other requests whose headers
 * say that a page of this site, or of `origins`, made them: `Sec-Fetch-Site`, else `Origin`, else `Referer`. Others see
 * 403 CSRF_FAILED, also those with none of these headers: browsers send one of them. With `token` such a request must
 * also bring the token that replies to GET and HEAD have set as a cookie, once more in a header, which pages of other
 * sites cannot read. Nothing it depends on can fail.
 */
import { readCookies } from "../core/cookies.ts";
import { editReplyHeaders } from "../core/edit-reply-headers.ts";
import { isHeaderName } from "../core/headers.ts";
import { compileOrigins, type OriginTest } from "../core/origins.ts";
import {
  ConfigError,
  type Exchange,
  type FromSchema,
  GatewayError,
  type HeaderList,
  type JsonSchema,
  type Plugin,
} from "../core/plugin.ts";
import { compileSetCookie, type SetCookieFormat } from "../core/set-cookie.ts";
import { createToken, isToken } from "./csrf/token.ts";

const schema = {
  type: "object",
  description: "Refuses requests that pages of other sites have browsers make (CSRF).",
  properties: {
    origins: {
      type: "array",
      items: { type: "string", minLength: 1 },
      default: [],
      description:
        "Other origins whose pages may make requests: exact ones, `https://*.example.com`, `http://localhost:*`.",
    },
    token: {
      type: "object",
      description: "Ask for a token as well, bound to the session.",
      properties: {
        secret: {
          type: "string",
          minLength: 32,
          writeOnly: true,
          description: "Signs tokens; the same for all gateways. At least 32 characters, made by chance.",
        },
        session: { type: "string", minLength: 1, description: "Cookie that has the session." },
        cookie: {
          type: "string",
          minLength: 1,
          default: "csrf-token",
          description: "Cookie that has the token.",
        },
        header: {
          type: "string",
          minLength: 1,
          default: "x-csrf-token",
          description: "Header in which pages send the token back.",
        },
      },
      required: ["secret", "session"],
      additionalProperties: false,
    },
  },
  additionalProperties: false,
} as const satisfies JsonSchema;

type Options = FromSchema<typeof schema>;

/** Counts of a stage; they outlive its generation. */
class Counts {
  safe = 0;
  passed = 0;
  origin = 0;
  token = 0;
}

const SAFE: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE"]);

export const csrf: Plugin<Options> = {
  name: "csrf",
  schema,
  guard: true,
  build({ origins, token }, host) {
    const { metrics, route, stage } = host;
    if (origins.includes("null")) throw new ConfigError("Any site can have the origin null", "/origins");
    const isAllowed = compileOrigins(origins, "/origins");
    const tokens = token === undefined ? undefined : new Tokens(token);
    const counts = host.keep(`csrf counts ${route} ${stage}`, () => new Counts());
    metrics.collect(
      "sluice_csrf_requests_total",
      "Requests by outcome: `safe` methods, `passed`, or refused for their `origin` or their `token`.",
      "counter",
      () => Object.entries(counts).map(([outcome, count]) => [{ route, stage, outcome }, count] as const),
    );
    const refused = host.audit.recorder("csrf", "refused");
    return (next) => (x) => {
      if (SAFE.has(x.originalMethod) && SAFE.has(x.method)) {
        counts.safe++;
        const cookie = tokens?.toSet(x);
        if (cookie === undefined) return next(x);
        return editReplyHeaders(x, next, (headers) => setCookie(headers, cookie));
      }
      if (!isOfOrigins(x, isAllowed)) {
        counts.origin++;
        refused?.record(x, { reason: "origin" });
        throw new GatewayError("CSRF_FAILED");
      }
      if (tokens?.isRight(x) === false) {
        counts.token++;
        refused?.record(x, { reason: "token" });
        throw new GatewayError("CSRF_FAILED");
      }
      counts.passed++;
      return next(x);
    };
  },
};

/** True when a page of this site or of an allowed origin made the request, or the user did. */
function isOfOrigins(x: Exchange, isAllowed: OriginTest): boolean {
  const { headers } = x;
  const site = headers.getJoined("sec-fetch-site");
  if (site === "same-origin" || site === "none") return true;
  const origin = headers.getJoined("origin") ?? originOf(headers.getJoined("referer"));
  if (origin === undefined) return false;
  // A browser that says `cross-site` or `same-site` knows better than a comparison of texts.
  return (site === undefined && origin === ownOrigin(x)) || isAllowed(origin);
}

function ownOrigin({ scheme, authority }: Exchange): string | undefined {
  return originOf(`${scheme}://${authority}`);
}

function originOf(url: string | undefined): string | undefined {
  const origin = url === undefined ? undefined : URL.parse(url)?.origin;
  return origin === "null" ? undefined : origin;
}

/** Replies with a token must not be kept and given to others. */
function setCookie(headers: HeaderList, cookie: string): void {
  const name = cookie.slice(0, cookie.indexOf("=") + 1);
  if (headers.getAll("set-cookie").some((each) => each.startsWith(name))) return;
  headers.append("set-cookie", cookie);
  headers.set("cache-control", "no-store");
}

/** Signed double-submit cookies (OWASP Cross-Site Request Forgery Prevention Cheat Sheet). */
class Tokens {
  readonly #secret: string;
  readonly #session: string;
  readonly #header: string;
  readonly #cookie: SetCookieFormat;

  /** @throws ConfigError */
  constructor({ secret, session, cookie, header }: NonNullable<Options["token"]>) {
    if (!isHeaderName(header)) throw new ConfigError(`"${header}" is not a header name`, "/token/header");
    if (!isHeaderName(session)) throw new ConfigError(`"${session}" is not a cookie name`, "/token/session");
    if (session === cookie) throw new ConfigError("The token has a cookie of its own", "/token/cookie");
    this.#secret = secret;
    this.#session = session;
    this.#header = header.toLowerCase();
    const attributes = { path: "/", secure: "auto", httpOnly: false, sameSite: "lax" } as const;
    this.#cookie = compileSetCookie(cookie, attributes, "/token", "cookie");
  }

  /** The cookie to set: none when the client has a right one. */
  toSet(x: Exchange): string | undefined {
    if (x.method !== "GET" && x.method !== "HEAD") return undefined;
    const session = this.#sessionOf(x);
    if (session === undefined) return undefined;
    const held = onlyOne(readCookies(x.headers, this.#cookie.name));
    if (held !== undefined && isToken(held, session, this.#secret)) return undefined;
    const { name, attributes, secureAttributes } = this.#cookie;
    const token = createToken(session, this.#secret);
    return `${name}=${token}${x.scheme === "https" ? secureAttributes : attributes}`;
  }

  isRight(x: Exchange): boolean {
    const session = this.#sessionOf(x);
    const held = onlyOne(readCookies(x.headers, this.#cookie.name));
    if (session === undefined || held === undefined || held !== x.headers.getJoined(this.#header))
      return false;
    return isToken(held, session, this.#secret);
  }

  /** Empty before there is one; undefined when there are two, and nobody can tell which counts. */
  #sessionOf(x: Exchange): string | undefined {
    const sessions = readCookies(x.headers, this.#session);
    return sessions.length === 0 ? "" : onlyOne(sessions);
  }
}

const onlyOne = (values: readonly string[]): string | undefined =>
  values.length === 1 ? values[0] : undefined;
