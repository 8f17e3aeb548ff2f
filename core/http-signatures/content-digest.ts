/** Digests of bodies in the field Content-Digest (RFC 9530). */
import { hash } from "node:crypto";
import { isSame } from "./algorithms.ts";
import { bytesOf, readDictionary } from "./structured-fields.ts";

/** Those that protect from somebody who means it (section 5), and what Node calls them. */
const HASHES = { "sha-256": "sha256", "sha-512": "sha512" } as const;

export function contentDigest(body: Buffer): string {
  return `sha-256=:${hash("sha256", body, "base64")}:`;
}

/** Whether a field has a digest that counts, and every one of those is the body's. */
export function isDigestOf(field: string, body: Buffer): boolean {
  const members = readDictionary(field);
  let checked = 0;
  for (const [name, algorithm] of Object.entries(HASHES)) {
    const member = members?.get(name);
    if (member === undefined) continue;
    const digest = bytesOf(member);
    if (digest === undefined || !isSame(hash(algorithm, body, "buffer"), digest)) return false;
    checked++;
  }
  return checked > 0;
}
