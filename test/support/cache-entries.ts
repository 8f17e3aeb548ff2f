/** Stored responses for tests of the cache. */
import type { Entry } from "../../plugins/cache/entry.ts";

/** An entry that is fresh for a minute, with what a test says otherwise. */
export function entryOf(rest: Partial<Entry> = {}): Entry {
  return {
    key: "https example.com/a",
    url: "example.com/a",
    status: 200,
    reason: "OK",
    headers: ["Content-Type", "text/plain"],
    body: Buffer.from("hello"),
    part: undefined,
    vary: [],
    tags: [],
    requestedAtMs: 0,
    respondedAtMs: 0,
    initialAgeMs: 0,
    freshMs: 60_000,
    staleWhileRevalidateMs: 0,
    staleIfErrorMs: 0,
    mustRevalidate: false,
    alwaysValidate: false,
    fillMs: 10,
    version: 0,
    ...rest,
  };
}
