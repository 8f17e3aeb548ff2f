/** Cookies of requests (RFC 6265 section 5.4). */
import { type HeaderList, isSameName } from "./headers.ts";

/** The value of a cookie as it came, or undefined. The first one wins where a name comes twice. */
export function readCookie({ raw }: HeaderList, name: string): string | undefined {
  for (let i = 0; i < raw.length; i += 2) {
    const line = raw[i + 1]!;
    if (!isSameName(raw[i]!, "cookie") || !line.includes(name)) continue;
    for (const pair of line.split(";")) {
      const value = pairValue(pair, name);
      if (value !== undefined) return value;
    }
  }
  return undefined;
}

/** All values of a cookie as they came: a client may have several of a name, for different paths. */
export function readCookies({ raw }: HeaderList, name: string): readonly string[] {
  let values: string[] | undefined;
  for (let i = 0; i < raw.length; i += 2) {
    const line = raw[i + 1]!;
    if (!isSameName(raw[i]!, "cookie") || !line.includes(name)) continue;
    for (const pair of line.split(";")) {
      const value = pairValue(pair, name);
      if (value !== undefined) (values ??= []).push(value);
    }
  }
  return values ?? NONE;
}

/** Takes a cookie out of a request. Gives its values: a client may have several of a name, for different paths. */
export function takeCookie({ raw }: HeaderList, name: string): readonly string[] {
  let values: string[] | undefined;
  for (let i = 0; i < raw.length; i += 2) {
    const line = raw[i + 1]!;
    if (!isSameName(raw[i]!, "cookie") || !line.includes(name)) continue;
    const left: string[] = [];
    for (const pair of line.split(";")) {
      const value = pairValue(pair, name);
      if (value === undefined) left.push(pair);
      else (values ??= []).push(value);
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

/**
 * Takes a cookie out of a request, and those whose names go on behind it with a dot. Gives names and values, flat, in
 * the order in which they came.
 */
export function takeCookieFamily({ raw }: HeaderList, name: string): readonly string[] {
  let taken: string[] | undefined;
  for (let i = 0; i < raw.length; i += 2) {
    const line = raw[i + 1]!;
    if (!isSameName(raw[i]!, "cookie") || !line.includes(name)) continue;
    const left: string[] = [];
    for (const pair of line.split(";")) {
      const at = pair.indexOf("=");
      const own = at === -1 ? "" : pair.slice(0, at).trim();
      if (own !== name && !own.startsWith(`${name}.`)) left.push(pair);
      else (taken ??= []).push(own, pair.slice(at + 1).trim());
    }
    const rest = left.join(";").trim();
    if (rest !== "") raw[i + 1] = rest;
    else {
      raw.splice(i, 2);
      i -= 2;
    }
  }
  return taken ?? NONE;
}

/** The value of a `name=value` pair, or undefined when it is of another name. */
function pairValue(pair: string, name: string): string | undefined {
  const at = pair.indexOf("=");
  return at !== -1 && pair.slice(0, at).trim() === name ? pair.slice(at + 1).trim() : undefined;
}

const NONE: readonly string[] = [];
