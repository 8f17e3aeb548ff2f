/**
 * Sends the client to another URL: to a fixed one or a template (`to`), or to its own URL with another scheme,
 * host or port.
 *
 * Stands at the end of a pipeline and never calls next. The client sees the status, Location and no body. Paths
 * and queries are the client's own, whatever stages above changed. `to` excludes `scheme`, `host` and `port`.
 * Nothing a client sends can choose the host: that of `to` has no variables, values of variables are
 * percent-encoded, and a path never begins with two slashes, which browsers read as a host (RFC 3986 section
 * 4.2). A request without a usable Host cannot be sent to its own URL and gets HOST_INVALID.
 */
import { compileText, type Text } from "../core/option-text.ts";
import {
  ConfigError,
  type Exchange,
  type FromSchema,
  GatewayError,
  HeaderList,
  type JsonSchema,
  type Plugin,
  Reply,
} from "../core/plugin.ts";
import { encodePath } from "../core/template.ts";

const schema = {
  type: "object",
  description: "Sends the client to another URL.",
  properties: {
    to: {
      type: "string",
      minLength: 1,
      description:
        "Path (`/new/{id}`) or URL (`https://example.com/new/{id}`) to go to, a template; its host is fixed.",
    },
    scheme: {
      type: "string",
      enum: ["http", "https"],
      description: "Scheme to go to; the request's otherwise.",
    },
    host: {
      type: "string",
      pattern: "^([A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+\\])$",
      description: "Host to go to, without port; the request's otherwise.",
    },
    port: {
      type: "integer",
      minimum: 1,
      maximum: 65535,
      description: "Port to go to; the scheme's own otherwise.",
    },
    status: {
      type: "integer",
      enum: [301, 302, 303, 307, 308],
      default: 308,
      description:
        "301 and 308 for good, 302 and 307 for now, 303 for a result elsewhere. 307 and 308 keep method and body.",
    },
    keepQuery: { type: "boolean", default: true, description: "Append the request's query." },
  },
  additionalProperties: false,
} as const satisfies JsonSchema;

type Options = FromSchema<typeof schema>;

const DEFAULT_PORTS: Record<string, number> = { http: 80, https: 443 };
/** The host of a request with its port, as the server lets it through. */
const AUTHORITY = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~%!$&'()*+,;=]+)(?::\d*)?$/;

export const redirect: Plugin<Options> = {
  name: "redirect",
  schema,
  terminal: true,
  build(options) {
    const { status } = options;
    const locate = options.to === undefined ? compileOwnUrl(options) : compileTarget(options.to, options);
    return () => (x) => {
      const headers = new HeaderList(["content-length", "0"]);
      headers.set("location", locate(x));
      return new Reply(status, headers);
    };
  },
};

/** The request's own URL with parts of it replaced. */
function compileOwnUrl({ scheme, host, port, keepQuery }: Options): (x: Exchange) => string {
  if (scheme === undefined && host === undefined && port === undefined) {
    throw new ConfigError("A redirect needs `to`, or one of `scheme`, `host` and `port`");
  }
  return (x) => {
    const toScheme = scheme ?? x.scheme;
    const toPort = port === undefined || port === DEFAULT_PORTS[toScheme] ? "" : `:${port}`;
    const search = keepQuery ? x.originalSearch : "";
    return `${toScheme}://${host ?? hostOf(x)}${toPort}${x.originalPath}${search}`;
  };
}

function hostOf(x: Exchange): string {
  const host = AUTHORITY.exec(x.authority)?.[1];
  if (host === undefined) throw new GatewayError("HOST_INVALID");
  return host;
}

function compileTarget(to: string, { scheme, host, port, keepQuery }: Options): (x: Exchange) => string {
  for (const [name, value] of Object.entries({ scheme, host, port })) {
    if (value !== undefined)
      throw new ConfigError(`Write the ${name} in \`to\`, or leave \`to\` out`, `/${name}`);
  }
  const [, origin = "", pathSource = "", querySource = "", fragmentSource = ""] =
    /^([A-Za-z][A-Za-z0-9+.-]*:[/\\]*[^/\\?#{]*)?([^?#]*)(\?[^#]*)?(#.*)?$/s.exec(to)!;
  checkTarget(to, origin, pathSource);
  const path = compilePart(pathSource);
  const query = compilePart(querySource);
  const fragment = compilePart(fragmentSource);
  return (x) => {
    const own = keepQuery && x.originalSearch.length > 1 ? x.originalSearch.slice(1) : "";
    const fixed = render(query, x);
    const search = own === "" ? fixed : fixed.length > 1 ? `${fixed}&${own}` : `?${own}`;
    return origin + withOneSlash(render(path, x)) + search + render(fragment, x);
  };
}

function compilePart(source: string): Text {
  return compileText(source, "/to", encodePath);
}

function render(text: Text, x: Exchange): string {
  return typeof text === "string" ? text : (text(x) ?? "");
}

/** A path that no browser takes for a host: one slash at the start, no backslash next to it. */
function withOneSlash(path: string): string {
  return `/${path.replace(/^[/\\]+/, "")}`;
}

function checkTarget(to: string, origin: string, path: string): void {
  const fail = (message: string): never => {
    throw new ConfigError(message, "/to");
  };
  if (!/^[!-[\]-~]*$/.test(to))
    fail("`to` is a URL: percent-encode spaces, backslashes and other than ASCII");
  if (to.includes("{request.url}")) fail("Use {request.path}; `keepQuery` appends the query");
  if (origin === "") {
    if (!/^\/(?!\/)/.test(path)) fail("`to` begins with one slash, http:// or https://");
    return;
  }
  if (!/^https?:\/\/[^@]+$/i.test(origin) || !URL.canParse(origin)) {
    fail("`to` begins with http:// or https:// and a host that is fixed");
  }
  if (!/^(\/|$|\{request\.path\})/.test(path)) fail("The host of `to` is fixed: no variables in it");
}
