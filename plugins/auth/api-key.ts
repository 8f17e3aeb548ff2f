/** Keys that are sent with each request: in a header, the query or a cookie. */
import { readCookie, takeCookie } from "../../core/cookies.ts";
import { type Exchange, type FromSchema, type Host, ConfigError } from "../../core/plugin.ts";
import type { Finding, Method } from "./method.ts";

/** Longer ones are not looked at. */
const MOST_CHARS = 1024;
const IS_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

const name = <const X extends string>(description: X) =>
  ({ type: "string", minLength: 1, description }) as const;

export const apiKeyOptions = {
  type: "object",
  description: "A key in a header, the query or a cookie: in `x-api-key` unless something is said.",
  properties: {
    header: name("Name of the header."),
    query: name("Name of the query parameter. Queries are in many logs: better a header."),
    cookie: name("Name of the cookie."),
    keep: {
      type: "boolean",
      default: false,
      description: "Leave the key in the request: the upstream sees it then.",
    },
  },
  additionalProperties: false,
} as const;

type Options = FromSchema<typeof apiKeyOptions>;

/** @throws ConfigError at `pointer` */
export function createApiKey(options: Options, pointer: string, { consumers, clock }: Host): Method {
  const { query, cookie, keep } = options;
  const header = (options.header ?? ((query ?? cookie) ? undefined : "x-api-key"))?.toLowerCase();
  for (const [key, value] of Object.entries({ header, cookie })) {
    if (value !== undefined && !IS_NAME.test(value)) {
      throw new ConfigError(`This cannot be the name of a ${key}`, `${pointer}/${key}`, "CONFIG_VALUE");
    }
  }
  /** The key; empty when there is more than one, so that nobody can tell which counts. */
  const read = (x: Exchange): string | undefined => {
    let found: string | undefined;
    if (header !== undefined) {
      found = x.headers.getJoined(header);
      if (found !== undefined && !keep) x.headers.delete(header);
    }
    if (query !== undefined) {
      const values = x.query.getAll(query);
      if (values.length > 0) found = found === undefined && values.length === 1 ? values[0]! : "";
      if (values.length > 0 && !keep) x.search = withoutParameter(x.search, query);
    }
    if (cookie !== undefined) {
      const value = keep ? readCookie(x.headers, cookie) : takeCookie(x.headers, cookie)[0];
      if (value !== undefined) found = found === undefined ? value : "";
    }
    return found;
  };
  return {
    name: "apiKey",
    challenge: "ApiKey",
    identify(x): Finding {
      const key = read(x);
      if (key === undefined) return "absent";
      if (key.length > MOST_CHARS) return "invalid";
      return consumers.ofApiKey(key, clock.now()) ?? "invalid";
    },
  };
}

/** Takes a parameter out of a query; what is left stays as it was written. */
function withoutParameter(search: string, name: string): string {
  const left = search
    .slice(1)
    .split("&")
    .filter((pair) => !new URLSearchParams(pair).has(name))
    .join("&");
  return left === "" ? "" : `?${left}`;
}
