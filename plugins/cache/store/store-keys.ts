/**
 * Under which keys a store has entries: `cache:<route>:<stage>:{<digest of the URL>}<digest of the rest of the key>`, the
 * URL being the first line of the key, and without the second digest where that is all. Where the newest reply has a Vary
 * there is a marker in its place: the names of the fields, and the digests of the variants, which lie under `…#<digest>`.
 * `…!` is the lock of whoever fetches it. `{<digest of the URL>}@` says that something was stored under one of the longer
 * keys since the URL was last changed. All of a URL lie in one slot of a cluster.
 */
import { hash } from "node:crypto";
import type { Entry } from "../entry.ts";
import { firstLineOf } from "../key.ts";
import type { FieldOf } from "../level.ts";

const MARKER = "SLV\x01";
const VARIANT_LENGTH = 22;
/** Of `{<digest>}`. */
export const DIGEST_LENGTH = 45;

/** What all keys of a stage begin with. */
export function scopeOf(route: string, stage: string, plugin: "cache" | "coalesce" = "cache"): string {
  return `${plugin}:${encodeURIComponent(route)}:${encodeURIComponent(stage)}:`;
}

/** What tells keys from each other. */
export function digestOf(key: string): string {
  const first = firstLineOf(key);
  return urlDigestOf(key) + (first === key ? "" : hash("sha256", key.slice(first.length), "base64url"));
}

/** The lock of whoever fetches what lies, or is to lie, at a place. */
export function lockOf(place: string): string {
  return `${place}!`;
}

/** What says that something of the URL of a key was stored. */
export function markOf(key: string): string {
  return `${urlDigestOf(key)}@`;
}

/** What all keys of a URL have in common. */
export function urlDigestOf(key: string): string {
  return `{${hash("sha256", firstLineOf(key), "base64url")}}`;
}

/** A marker's names of fields, sorted. @returns undefined when it is no marker */
export function readMarker(value: Buffer): string[] | undefined {
  if (value.toString("latin1", 0, MARKER.length) !== MARKER) return undefined;
  const end = value.indexOf("\n");
  return end === -1 ? undefined : value.toString("utf8", MARKER.length, end).split(",");
}

/** The endings of the keys of a marker's variants, the oldest first. */
export function readVariants(marker: Buffer): string[] {
  return marker.toString("utf8", marker.indexOf("\n") + 1).match(/#[^#]+/g) ?? [];
}

/** A marker up to its variants; empty for an entry without Vary. */
export function markerOf({ vary }: Entry): string {
  if (vary.length === 0) return "";
  return `${MARKER}${vary.filter((_, i) => i % 2 === 0).join(",")}\n`;
}

/** The ending of the key of an entry with such values; empty for one without Vary. */
export function variantOf(vary: readonly string[]): string {
  if (vary.length === 0) return "";
  return `#${hash("sha256", vary.join("\n"), "base64url").slice(0, VARIANT_LENGTH)}`;
}

/** The ending of the key of the variant that is for a request. */
export function variantFor(names: readonly string[], fieldOf: FieldOf): string {
  return variantOf(names.flatMap((name) => [name, fieldOf(name)]));
}
