/**
 * What stored responses are told apart by. Everything that the stages below may make the reply from and that a client
 * can choose without naming it in Vary is in it: else one client could decide what the others get.
 */
import { createHash } from "node:crypto";
import { readCookie } from "../../core/cookies.ts";
import { type HeaderList, isSameName, withDashes } from "../../core/headers.ts";
import { compileHeaderName } from "../../core/option-text.ts";
import { ConfigError, type Exchange, type FromSchema } from "../../core/plugin.ts";
import { childPointer } from "../../core/pointer.ts";

/** Schema of the option, shared by the plugins that tell requests apart in this way. */
export const keyOption = {
  type: "object",
  description:
    "What replies are told apart by, beside scheme and path and what Vary names. Only what cannot change the reply may be left out.",
  properties: {
    host: { type: "boolean", default: true, description: "The host that the client asked for." },
    query: {
      description:
        "Parameters of the query: `all` of it as it came, `none`, a list of names, or all but those in `except`.",
      default: "all",
      anyOf: [
        { type: "string", enum: ["all", "none"] },
        { type: "array", items: { type: "string" }, minItems: 1, uniqueItems: true },
        {
          type: "object",
          properties: {
            except: {
              type: "array",
              items: { type: "string" },
              minItems: 1,
              uniqueItems: true,
              description: "Names of parameters that do not count, such as `utm_source`.",
            },
          },
          required: ["except"],
          additionalProperties: false,
        },
      ],
    },
    headers: {
      type: "array",
      items: { type: "string" },
      uniqueItems: true,
      default: [],
      description: "Names of request headers.",
    },
    cookies: {
      type: "array",
      items: { type: "string" },
      uniqueItems: true,
      default: [],
      description: "Names of cookies.",
    },
    consumer: {
      type: "boolean",
      default: false,
      description: "The consumer, so that each has its own.",
    },
  },
  additionalProperties: false,
  default: {},
} as const;

export type KeyOptions = FromSchema<typeof keyOption>;

/** Longer keys are cut and end in a digest of the whole. */
const LONGEST = 2048;
const KEPT_OF_LONG = 256;

/**
 * Fields by which upstreams are known to make URLs, hosts and methods. They are in the key wherever they come, so that
 * what somebody makes of a page with them is for those only who send the same.
 */
const STEERING = [
  "front-end-https",
  "x-envoy-original-path",
  "x-forwarded-host",
  "x-forwarded-method",
  "x-forwarded-path",
  "x-forwarded-port",
  "x-forwarded-prefix",
  "x-forwarded-proto",
  "x-forwarded-protocol",
  "x-forwarded-scheme",
  "x-forwarded-server",
  "x-forwarded-ssl",
  "x-forwarded-uri",
  "x-host",
  "x-http-host-override",
  "x-http-method",
  "x-http-method-override",
  "x-method-override",
  "x-original-host",
  "x-original-method",
  "x-original-path",
  "x-original-uri",
  "x-original-url",
  "x-rewrite-url",
  "x-script-name",
  "x-url-scheme",
];
const STEERING_BY_LENGTH: (readonly string[] | undefined)[] = [];
for (const name of STEERING) {
  STEERING_BY_LENGTH[name.length] = [...(STEERING_BY_LENGTH[name.length] ?? []), name];
}

export class Keys {
  readonly #host: boolean;
  readonly #keepsParameter: ((name: string) => boolean) | undefined;
  readonly #isQueryLeftOut: boolean;
  readonly #headers: readonly string[];
  readonly #cookies: readonly string[];
  readonly #consumer: boolean;

  /** @throws ConfigError with pointers into the options that `pointer` points to */
  constructor({ host, query, headers, cookies, consumer }: KeyOptions, pointer = "/key") {
    this.#host = host;
    this.#isQueryLeftOut = query === "none";
    this.#keepsParameter = compileParameters(query);
    this.#headers = headers.map((name, i) => compileHeaderName(name, childPointer(`${pointer}/headers`, i)));
    const at = cookies.findIndex((name) => !/^[^\s"(),/:;<=>?@[\\\]{}]+$/.test(name));
    if (at !== -1)
      throw new ConfigError(`"${cookies[at]}" is not the name of a cookie`, `${pointer}/cookies/${at}`);
    this.#cookies = cookies;
    this.#consumer = consumer;
  }

  /** Whether what the request has for credentials is in its key. @param isAuthorized it has an Authorization field */
  separates(x: Exchange, isAuthorized: boolean): boolean {
    if (this.#consumer && x.consumer !== undefined) return true;
    return isAuthorized && this.#headers.includes("authorization");
  }

  /** The key of a request as it is now. GET and HEAD have the same. */
  of(x: Exchange): string {
    const key = this.ofTarget(x, x.path, x.search);
    // Stages below may go by what the client asked, whatever those above made of it.
    return x.method === x.originalMethod ? key : `${key}\nas ${x.originalMethod}`;
  }

  /** The key that a request like this one, but to GET something of the same origin, would have. */
  ofTarget(x: Exchange, path: string, search: string): string {
    let key = `${x.scheme}://`;
    if (this.#host) key += hostOf(x);
    key += path;
    if (search !== "" && !this.#isQueryLeftOut) {
      key += this.#keepsParameter === undefined ? search : this.#select(search);
    }
    if (x.path !== x.originalPath) key += `\nfrom ${x.originalPath}`;
    key += steering(x.headers);
    for (const name of this.#headers) key += part(name, x.headers.getJoined(name));
    for (const name of this.#cookies) key += part(`cookie ${name}`, readCookie(x.headers, name));
    if (this.#consumer) key += part("consumer", x.consumer && JSON.stringify(x.consumer.name));
    return shorten(key);
  }

  /** True when replies to different hosts are told apart. */
  get tellsHosts(): boolean {
    return this.#host;
  }

  /** What purges by URL and prefix go by: what the client asked for, as far as it tells replies apart. */
  addressOf(authority: string, scheme: string, path: string, search: string): string {
    const address = (this.#host ? plainHost(authority, scheme) : "") + path;
    if (search === "" || this.#isQueryLeftOut) return address;
    return address + (this.#keepsParameter === undefined ? search : this.#select(search));
  }

  #select(search: string): string {
    const keeps = this.#keepsParameter!;
    const kept = search
      .slice(1)
      .split("&")
      // Some upstreams take `;` for `&`: what is behind it is another parameter.
      .filter((pair) => pair.includes(";") || keeps(nameOf(pair)));
    return kept.length === 0 ? "" : `?${kept.join("&")}`;
  }
}

function compileParameters(query: KeyOptions["query"]): ((name: string) => boolean) | undefined {
  if (query === "all" || query === "none") return undefined;
  if (Array.isArray(query)) {
    const names = new Set((query as readonly string[]).map(looseName));
    return (name) => names.has(looseName(name));
  }
  const names = new Set((query as { except: readonly string[] }).except);
  return (name) => !names.has(name);
}

/** A name as the least exact upstreams take it: `ID`, ` id` and `id[]` may be `id`. */
function looseName(name: string): string {
  return name
    .trim()
    .toLowerCase()
    .replace(/\[.*|\0.*/s, "")
    .replace(/[ .]/g, "_");
}

/** The name of a `name=value` pair, as those who read forms see it. */
function nameOf(pair: string): string {
  const at = pair.indexOf("=");
  const name = at === -1 ? pair : pair.slice(0, at);
  if (!/[%+]/.test(name)) return name;
  const spaced = name.replaceAll("+", " ");
  try {
    return decodeURIComponent(spaced);
  } catch {
    return spaced;
  }
}

/** Host and port in one form: without case, and without the port that the scheme has anyway. */
function plainHost(authority: string, scheme: string): string {
  const host = authority.toLowerCase();
  const port = scheme === "http" ? ":80" : ":443";
  return host.endsWith(port) ? host.slice(0, -port.length) : host;
}

/** What is asked for: the client's host as it came, because upstreams are told it so, and another that a stage has set. */
function hostOf(x: Exchange): string {
  const sent = x.headers.get("host");
  return sent === undefined || sent === x.authority ? x.authority : `${x.authority}>${sent}`;
}

function steering({ raw }: HeaderList): string {
  let found = "";
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!;
    const names = STEERING_BY_LENGTH[name.length];
    if (names === undefined) {
      if (name.length === 9 && isSameName(name, "forwarded") && /\b(?:host|proto)=/i.test(raw[i + 1]!)) {
        found += part("forwarded", raw[i + 1]);
      }
      continue;
    }
    // Some upstreams cannot tell the two.
    const dashed = withDashes(name);
    for (let j = 0; j < names.length; j++) {
      if (isSameName(dashed, names[j]!)) found += part(names[j]!, raw[i + 1]);
    }
  }
  return found;
}

/** Values of fields have no line ends, so that none can pass for another part. */
function part(name: string, value: string | undefined): string {
  return value === undefined ? `\n${name}` : `\n${name}:${value}`;
}

/** The first line of a key: what is asked for, without whatever else tells replies to it apart. */
export function firstLineOf(key: string): string {
  const end = key.indexOf("\n");
  return end === -1 ? key : key.slice(0, end);
}

/** Whether a key is one of many that what is asked for may have. */
export function isOneOfMany(key: string): boolean {
  return key.includes("\n");
}

/** The key, or what tells a long one from others. */
export function shorten(key: string): string {
  if (key.length <= LONGEST) return key;
  return `${key.slice(0, KEPT_OF_LONG)}\nsha256 ${createHash("sha256").update(key).digest("base64url")}`;
}
