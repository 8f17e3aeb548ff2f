/** What tells requests from each other that ask for the same: what they ask, and who asks. */
import { createHash } from "node:crypto";
import type { Exchange } from "../../../core/plugin.ts";
import { type Keys, shorten } from "../key.ts";
import type { CacheRequest } from "../request.ts";

/** What is asked for, and on which conditions. */
export function keyOf(x: Exchange, { ifNoneMatch, ifModifiedSince }: CacheRequest, keys: Keys): string {
  let key = `${x.method} ${keys.of(x)}`;
  if (ifNoneMatch !== undefined) key += `\nif-none-match:${ifNoneMatch}`;
  if (ifModifiedSince !== undefined) key += `\nif-modified-since:${ifModifiedSince}`;
  return shorten(key);
}

/** Fields by which upstreams are known to tell who asks. */
const CREDENTIAL = /auth|cookie|token|api-?key|session|secret|credential/i;

/** Fields in which servers before the gateway, or clients, may say who asks; several people may say the same. */
const NAMING =
  /^(?!sec-|user-agent$).*(?:key|user|cert|jwt|assertion|identity|principal|signature|passw|tenant|account)/i;

/** True when a request has what nobody else should have. */
export function hasSecret({ headers: { raw }, consumer }: Exchange): boolean {
  for (let i = 0; i < raw.length; i += 2) if (CREDENTIAL.test(raw[i]!)) return true;
  return consumer !== undefined;
}

/** Tells those who ask from each other, without saying who they are; empty for those who do not say. */
export function credentialsOf({ headers, consumer }: Exchange): string {
  const { raw } = headers;
  const parts: (string | undefined)[] = [];
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!;
    if (CREDENTIAL.test(name) || NAMING.test(name)) parts.push(name.toLowerCase(), raw[i + 1]!);
  }
  if (consumer !== undefined) parts.push("", consumer.name, consumer.credential);
  if (parts.length === 0) return "";
  return `\nby ${createHash("sha256").update(JSON.stringify(parts)).digest("base64url")}`;
}
