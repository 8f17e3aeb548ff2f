/** Cookies that the gateway sets: their options, and how they are written (RFC 6265bis). */
import { ConfigError, type Problem } from "./errors.ts";
import { isHeaderName } from "./headers.ts";
import type { FromSchema, JsonSchema } from "./plugin.ts";
import { anyDuration, parseDuration } from "./units.ts";

/** Properties of a schema: all of a cookie but its name and its value. */
export const setCookieProperties = {
  maxAge: anyDuration(
    "How long the client keeps the cookie: whole seconds, 1s at least; by default until the browser is closed.",
  ),
  path: {
    type: "string",
    default: "/",
    description: "Paths that the cookie is for: this one and those below it.",
  },
  domain: {
    type: "string",
    minLength: 1,
    description: "Domain that the cookie is for, its subdomains included; by default the host alone.",
  },
  secure: {
    enum: ["auto", true, false],
    default: "auto",
    description:
      "Have the cookie sent over https only; `auto` for clients that came by https, and where browsers want it so.",
  },
  httpOnly: { type: "boolean", default: true, description: "Hide the cookie from scripts of pages." },
  sameSite: {
    type: "string",
    enum: ["strict", "lax", "none"],
    default: "lax",
    description:
      "Whether other sites' pages may have it sent: `none` for always, which makes it secure; `lax` for links only; `strict` for never.",
  },
} as const satisfies JsonSchema["properties"];

export type SetCookieOptions = FromSchema<{
  readonly type: "object";
  readonly properties: typeof setCookieProperties;
  readonly additionalProperties: false;
}>;

/** How a cookie is set: `name=`, its value, the attributes. */
export interface SetCookieFormat {
  readonly name: string;
  /** Begins with a semicolon. */
  readonly attributes: string;
  /** The same for clients that came by https. */
  readonly secureAttributes: string;
}

const DOMAIN = /^\.?[a-z\d]([a-z\d-]*[a-z\d])?(\.[a-z\d]([a-z\d-]*[a-z\d])?)*$/i;
const PATH = /^\/[!-:<-~]*$/;
const SAME_SITE = { strict: "Strict", lax: "Lax", none: "None" } as const;

/** What browsers demand of a cookie by its name: the end of RFC 6265bis section 4.1.3, and what followed it. */
const PREFIX = /^__(host-http|host|http|secure)-/i;

/**
 * Compiles the options of a cookie.
 * @param pointer where they are, for messages
 * @param nameOption the option beside them that holds the name
 * @throws ConfigError with all that browsers would refuse
 */
export function compileSetCookie(
  name: string,
  options: SetCookieOptions,
  pointer: string,
  nameOption: string,
): SetCookieFormat {
  const { path, domain, maxAge, secure, httpOnly, sameSite } = options;
  const prefix = PREFIX.exec(name)?.[0].toLowerCase();
  const isHost = prefix?.startsWith("__host-") ?? false;
  const mustBeSecure = prefix !== undefined || sameSite === "none";
  const seconds = maxAge === undefined ? undefined : Math.floor(parseDuration(maxAge) / 1000);

  const problems: Problem[] = [];
  const refuse = (option: string, message: string): void =>
    void problems.push({ code: "CONFIG_OPTION_INVALID", message, pointer: `${pointer}/${option}` });
  if (!isHeaderName(name)) {
    refuse(nameOption, `"${name}" is not a cookie name: letters, digits and !#$%&'*+-.^_\`|~ can be in one`);
  }
  if (!PATH.test(path)) refuse("path", "A cookie's path starts with / and has no space and no ; in it");
  else if (isHost && path !== "/") refuse("path", "A cookie whose name starts with __Host- has the path /");
  if (domain !== undefined && isHost) {
    refuse("domain", "A cookie whose name starts with __Host- has no domain");
  } else if (domain !== undefined && !DOMAIN.test(domain)) refuse("domain", `"${domain}" is not a domain`);
  if (seconds === 0) refuse("maxAge", "A cookie lasts at least 1s");
  if (mustBeSecure && secure === false) {
    const reason = prefix === undefined ? "with `sameSite: none`" : `with the name ${name}`;
    refuse("secure", `Browsers refuse cookies ${reason} that are not secure`);
  }
  if (prefix?.endsWith("http-") && !httpOnly) {
    refuse("httpOnly", `Browsers refuse cookies with the name ${name} that scripts can read`);
  }
  if (problems.length > 0) throw new ConfigError(problems);

  const attributes = (isSecure: boolean): string =>
    [
      `; Path=${path}`,
      domain === undefined ? "" : `; Domain=${domain.replace(/^\./, "")}`,
      seconds === undefined ? "" : `; Max-Age=${seconds}`,
      isSecure ? "; Secure" : "",
      httpOnly ? "; HttpOnly" : "",
      `; SameSite=${SAME_SITE[sameSite]}`,
    ].join("");
  return {
    name,
    attributes: attributes(secure === true || mustBeSecure),
    secureAttributes: attributes(secure !== false),
  };
}
