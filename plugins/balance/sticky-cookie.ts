/** The cookie of sticky sessions: how it is written (RFC 6265bis), and taken out of requests. */
import { createHash } from "node:crypto";
import { isHeaderName } from "../../core/headers.ts";
import { ConfigError, type HeaderList, type Problem } from "../../core/plugin.ts";
import { parseDuration } from "../../core/units.ts";
import type { StickyOptions } from "./options.ts";

/** How a cookie is set: `name=` before its value, attributes after it. */
export interface CookieFormat {
  readonly name: string;
  readonly attributes: string;
  /** Attributes for clients that came by https. */
  readonly secureAttributes: string;
}

const DOMAIN = /^\.?[a-z\d]([a-z\d-]*[a-z\d])?(\.[a-z\d]([a-z\d-]*[a-z\d])?)*$/i;
const PATH = /^\/[\x20-\x3a\x3c-\x7e]*$/;
const SAME_SITE = { strict: "Strict", lax: "Lax", none: "None" } as const;

/**
 * Compiles the options of a cookie.
 * @param pointer where they are, for messages
 * @throws ConfigError with all that browsers would refuse
 */
export function compileCookie(options: StickyOptions, upstream: string, pointer: string): CookieFormat {
  const { path, domain, maxAge, secure, sameSite } = options;
  const name = options.cookie ?? `sluice-${createHash("sha256").update(upstream).digest("hex").slice(0, 8)}`;
  const isHost = /^__Host-/i.test(name);
  const mustBeSecure = isHost || /^__Secure-/i.test(name) || sameSite === "none";
  const seconds = maxAge === undefined ? undefined : Math.floor(parseDuration(maxAge) / 1000);

  const problems: Problem[] = [];
  const refuse = (option: string, message: string): void =>
    void problems.push({ code: "CONFIG_OPTION_INVALID", message, pointer: `${pointer}/${option}` });
  if (!isHeaderName(name)) {
    refuse("cookie", `"${name}" is not a cookie name: letters, digits and !#$%&'*+-.^_\`|~ can be in one`);
  }
  if (!PATH.test(path)) refuse("path", "A cookie's path starts with / and has no ; in it");
  if (domain !== undefined && !DOMAIN.test(domain)) refuse("domain", `"${domain}" is not a domain`);
  if (seconds === 0) refuse("maxAge", "A cookie lasts at least 1s");
  if (mustBeSecure && secure === false) {
    const reason = sameSite === "none" ? "with `sameSite: none`" : `with the name ${name}`;
    refuse("secure", `Browsers refuse cookies ${reason} that are not secure`);
  }
  if (isHost && path !== "/") refuse("path", "A cookie whose name starts with __Host- has the path /");
  if (isHost && domain !== undefined) {
    refuse("domain", "A cookie whose name starts with __Host- has no domain");
  }
  if (problems.length > 0) throw new ConfigError(problems);

  const attributes = (isSecure: boolean): string =>
    [
      `; Path=${path}`,
      domain === undefined ? "" : `; Domain=${domain.replace(/^\./, "")}`,
      seconds === undefined ? "" : `; Max-Age=${seconds}`,
      isSecure ? "; Secure" : "",
      options.httpOnly ? "; HttpOnly" : "",
      `; SameSite=${SAME_SITE[sameSite]}`,
    ].join("");
  return {
    name,
    attributes: attributes(secure === true || mustBeSecure),
    secureAttributes: attributes(secure !== false),
  };
}

/** Takes a cookie out of a request. Gives its values: a client may have several of a name, for different paths. */
export function takeCookie(headers: HeaderList, name: string): readonly string[] {
  const { raw } = headers;
  let values: string[] | undefined;
  for (let i = 0; i < raw.length; i += 2) {
    const line = raw[i + 1]!;
    if (raw[i]!.length !== 6 || raw[i]!.toLowerCase() !== "cookie" || !line.includes(name)) continue;
    const left: string[] = [];
    for (const pair of line.split(";")) {
      const at = pair.indexOf("=");
      if (at !== -1 && pair.slice(0, at).trim() === name) (values ??= []).push(pair.slice(at + 1).trim());
      else left.push(pair);
    }
    const rest = left.join(";").trim();
    if (rest !== "") raw[i + 1] = rest;
    else {
      raw.splice(i, 2);
      i -= 2;
    }
  }
  return values ?? NONE;
}

const NONE: readonly string[] = [];
