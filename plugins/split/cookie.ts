/** The cookie that remembers which branch a client was given (RFC 6265). */
import { ConfigError, type FromSchema, type JsonSchema } from "../../core/plugin.ts";
import { parseDuration, UNITS } from "../../core/units.ts";

export const cookieSchema = {
  type: "object",
  description:
    "Remembers the branch that a client was given in a cookie that this stage sets; unlike `by`, it also holds when weights change.",
  properties: {
    name: {
      type: "string",
      pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
      "x-expected": "a name of letters, digits and `-`, `_`, `.`",
      description: "Name of the cookie; its value is the branch's name.",
    },
    maxAge: {
      type: "string",
      pattern: UNITS.duration.pattern,
      description: "How long it is remembered; until the browser closes by default.",
    },
    path: {
      type: "string",
      pattern: "^/[!-:<-~]*$",
      "x-expected": "a path that starts with /, without spaces and semicolons",
      default: "/",
      description: "Paths that the cookie is for: this one and those below it.",
    },
    domain: {
      type: "string",
      pattern: "^[A-Za-z0-9.-]+$",
      "x-expected": "a domain name",
      description: "Domain that the cookie is for, its subdomains included; the host alone by default.",
    },
    secure: {
      enum: ["auto", true, false],
      default: "auto",
      description: "Have it sent over https only; `auto` for clients that came by https.",
    },
    httpOnly: { type: "boolean", default: true, description: "Hidden from the scripts of pages." },
    sameSite: {
      type: "string",
      enum: ["strict", "lax", "none"],
      default: "lax",
      description:
        "Whether other sites' pages may have it sent: `none` for always, which makes it secure; `lax` for links only; `strict` for never.",
    },
  },
  required: ["name"],
  additionalProperties: false,
} as const satisfies JsonSchema;

export type CookieOptions = FromSchema<typeof cookieSchema>;

/** The Set-Cookie values of one branch. */
export interface BranchCookie {
  readonly http: string;
  readonly https: string;
}

/**
 * Compiles the cookies of branches.
 * @throws ConfigError at `pointer` for what browsers would refuse
 */
export function compileCookies(
  options: CookieOptions,
  branches: readonly string[],
  pointer: string,
): ReadonlyMap<string, BranchCookie> {
  refuseUseless(options, pointer);
  const { name, maxAge, path, domain, secure, httpOnly, sameSite } = options;
  const seconds = maxAge === undefined ? undefined : Math.ceil(parseDuration(maxAge) / 1000);
  const attributes = [
    `; Path=${path}`,
    domain === undefined ? "" : `; Domain=${domain}`,
    seconds === undefined ? "" : `; Max-Age=${seconds}`,
    httpOnly ? "; HttpOnly" : "",
    `; SameSite=${{ strict: "Strict", lax: "Lax", none: "None" }[sameSite]}`,
  ].join("");
  const isAlwaysSecure = secure === true || sameSite === "none";
  return new Map(
    branches.map((branch) => {
      const plain = `${name}=${branch}${attributes}`;
      const safe = `${plain}; Secure`;
      return [branch, { http: isAlwaysSecure ? safe : plain, https: secure === false ? plain : safe }];
    }),
  );
}

function refuseUseless({ name, path, domain, secure, sameSite }: CookieOptions, pointer: string): void {
  if (sameSite === "none" && secure === false) {
    throw new ConfigError("Browsers refuse `sameSite: none` with `secure: false`", `${pointer}/sameSite`);
  }
  if (/^__(secure|host)-/i.test(name) && secure !== true) {
    throw new ConfigError("Browsers refuse a cookie of this name without `secure: true`", `${pointer}/name`);
  }
  if (/^__host-/i.test(name) && (domain !== undefined || path !== "/")) {
    const message = "Browsers refuse a cookie of this name with a `domain`, or a `path` other than /";
    throw new ConfigError(message, `${pointer}/name`);
  }
}
