/**
 * Lets pages of other origins read replies: answers CORS preflights and puts the Access-Control headers on
 * replies (Fetch standard, section "CORS protocol").
 *
 * Stands above whatever may refuse a request, such as auth and limit, because a preflight has no credentials
 * and because failures are readable for a page only with these headers. It answers preflights itself and calls
 * next for everything else, including OPTIONS requests that are not preflights.
 * The client sees, on a preflight, 204 with what is allowed; for an origin that is not allowed, 204 without any
 * Access-Control header, on which the browser refuses. Other requests of such an origin run, unreadable for the
 * page. Failures of the stages below carry the headers too. The upstream's own Access-Control headers are
 * replaced. `Vary: Origin` is on every reply unless every origin gets the same answer.
 * `credentials` excludes `*` for `origins` and `exposedHeaders`; `*` for `methods` and `headers` answers what
 * was asked for, so it holds with credentials too. A `when` with a method keeps preflights away.
 * Depends on nothing that can fail at run time.
 */
import { editReplyHeaders } from "../core/edit-reply-headers.ts";
import { isHeaderName } from "../core/headers.ts";
import { METHOD } from "../core/methods.ts";
import {
  ConfigError,
  type Exchange,
  type FromSchema,
  HeaderList,
  type JsonSchema,
  type Plugin,
  Reply,
} from "../core/plugin.ts";
import { duration, parseDuration } from "../core/units.ts";
import { compileOrigins, type OriginEntry } from "../core/origins.ts";

const HEADER_NAMES = { type: "array", items: { type: "string", minLength: 1 } } as const;

const schema = {
  type: "object",
  description: "Lets pages of other origins read replies (CORS).",
  properties: {
    origins: {
      description:
        'Origins that may read replies: `"*"` for all, or a list of exact ones, `https://*.example.com`, `http://localhost:*`, `{ regex }` and `"null"`.',
      anyOf: [
        { const: "*" },
        {
          type: "array",
          minItems: 1,
          items: {
            anyOf: [
              { type: "string", minLength: 1 },
              {
                type: "object",
                properties: {
                  regex: {
                    type: "string",
                    minLength: 1,
                    description: "A JavaScript regular expression that must match the whole origin.",
                  },
                },
                required: ["regex"],
                additionalProperties: false,
              },
            ],
          },
        },
      ],
    },
    methods: {
      description: 'Methods that may be used, or `"*"` for any.',
      default: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
      anyOf: [{ const: "*" }, { type: "array", minItems: 1, items: METHOD }],
    },
    headers: {
      description: 'Request headers that may be sent beside the safelisted ones, or `"*"` for any.',
      default: "*",
      anyOf: [{ const: "*" }, HEADER_NAMES],
    },
    exposedHeaders: {
      description: 'Reply headers that pages may read beside the safelisted ones, or `"*"` for all.',
      default: [],
      anyOf: [{ const: "*" }, HEADER_NAMES],
    },
    credentials: {
      type: "boolean",
      default: false,
      description: "Requests may carry cookies and other credentials of the browser.",
    },
    maxAge: duration("10m", "How long browsers may keep the answer to a preflight; `0s` for not at all."),
    privateNetwork: {
      type: "boolean",
      default: false,
      description: "Pages of public networks may reach this gateway in a private one.",
    },
  },
  required: ["origins"],
  additionalProperties: false,
} as const satisfies JsonSchema;

type Options = FromSchema<typeof schema>;

export const cors: Plugin<Options> = {
  name: "cors",
  schema,
  answersPreflight: true,
  build(options) {
    const origins = compileOriginOption(options);
    const answerPreflight = compilePreflight(options);
    const exposed = exposedHeaders(options);
    const { credentials } = options;

    return (next) => (x) => {
      const asked = x.headers.getJoined("origin");
      let allowed: string | undefined = "*";
      if (origins !== undefined) allowed = asked !== undefined && origins(asked) ? asked : undefined;
      if (x.originalMethod === "OPTIONS" && asked !== undefined) {
        const method = x.headers.get("access-control-request-method");
        if (method !== undefined) return answerPreflight(x, method, allowed);
      }
      return editReplyHeaders(x, next, (headers) => {
        deleteAccessControl(headers);
        if (origins !== undefined) headers.addMember("vary", "Origin");
        if (allowed === undefined) return;
        headers.set("access-control-allow-origin", allowed);
        if (credentials) headers.set("access-control-allow-credentials", "true");
        if (exposed !== "") headers.set("access-control-expose-headers", exposed);
      });
    };
  },
};

/** Undefined when any origin is allowed. */
function compileOriginOption(options: Options): ((origin: string) => boolean) | undefined {
  const entries: readonly OriginEntry[] = options.origins === "*" ? ["*"] : options.origins;
  if (!entries.includes("*")) return compileOrigins(entries, "/origins");
  if (options.credentials) {
    throw new ConfigError("Browsers refuse credentials with any origin; list the origins", "/origins");
  }
  if (entries.length > 1) throw new ConfigError("* makes the other origins pointless", "/origins");
  return undefined;
}

type Preflight = (x: Exchange, method: string, origin: string | undefined) => Reply;

function compilePreflight(options: Options): Preflight {
  const anyOrigin = options.origins === "*" || options.origins.includes("*");
  const asked = ["Access-Control-Request-Method", "Access-Control-Request-Headers"];
  if (options.privateNetwork) asked.push("Access-Control-Request-Private-Network");
  const vary = [...(anyOrigin ? [] : ["Origin"]), ...asked].join(", ");
  const maxAge = String(Math.floor(parseDuration(options.maxAge) / 1000));
  const methods = options.methods === "*" ? undefined : options.methods.join(", ");
  const names = options.headers === "*" ? undefined : headerNames(options.headers, "/headers");

  return (x, method, origin) => {
    const headers = new HeaderList(["vary", vary]);
    if (origin === undefined) return new Reply(204, headers);
    headers.append("access-control-allow-origin", origin);
    if (options.credentials) headers.append("access-control-allow-credentials", "true");
    const allowedMethods = methods ?? reflectTokens(method);
    if (allowedMethods !== "") headers.append("access-control-allow-methods", allowedMethods);
    const allowedHeaders =
      names ?? reflectTokens(x.headers.getJoined("access-control-request-headers") ?? "");
    if (allowedHeaders !== "") headers.append("access-control-allow-headers", allowedHeaders);
    headers.append("access-control-max-age", maxAge);
    if (options.privateNetwork && x.headers.get("access-control-request-private-network") === "true") {
      headers.append("access-control-allow-private-network", "true");
    }
    return new Reply(204, headers);
  };
}

function exposedHeaders(options: Options): string {
  if (options.exposedHeaders !== "*") return headerNames(options.exposedHeaders, "/exposedHeaders");
  if (options.credentials) {
    throw new ConfigError("With credentials browsers take * for a name; list the headers", "/exposedHeaders");
  }
  return "*";
}

function headerNames(names: readonly string[], pointer: string): string {
  for (const [i, name] of names.entries()) {
    if (!isHeaderName(name)) throw new ConfigError(`"${name}" is not a header name`, `${pointer}/${i}`);
    if (name === "*") throw new ConfigError('Write "*" instead of a list for any header', `${pointer}/${i}`);
  }
  return names.join(", ");
}

/** Gives a list of tokens back, or nothing if it holds anything else. */
function reflectTokens(list: string): string {
  return list.split(",").every((token) => isHeaderName(token.trim())) ? list : "";
}

/** The upstream's own answer would stand beside ours, and two values are none to a browser. */
function deleteAccessControl(headers: HeaderList): void {
  const { raw } = headers;
  for (let i = 0; i < raw.length; ) {
    const name = raw[i]!;
    if (name.length > 15 && name.slice(0, 15).toLowerCase() === "access-control-") {
      headers.delete(name.toLowerCase());
    } else i += 2;
  }
}
