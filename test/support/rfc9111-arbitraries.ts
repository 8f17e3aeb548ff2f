/** Requests and replies of all kinds, for properties of the cache. */
import fc from "fast-check";
import type { Hand, LiteralReply, LiteralRequest, Said } from "./rfc9111.ts";

/** Few different numbers, so that they meet. */
const seconds = fc.constantFrom(0, 1, 5, 10, 11, 60);
const delta = fc.oneof(
  { weight: 8, arbitrary: seconds },
  { weight: 1, arbitrary: fc.constant("invalid" as const) },
);
const offset = fc.constantFrom(-100_000, -60, -10, -1, 0, 5, 10, 60);

const plain = (...names: string[]): fc.Arbitrary<Said> => fc.constantFrom(...names).map((name) => ({ name }));
const timed = (...names: string[]): fc.Arbitrary<Said> =>
  fc.record({ name: fc.constantFrom(...names), argument: delta });
const named: fc.Arbitrary<Said> = fc.record({
  name: fc.constantFrom("private", "no-cache"),
  argument: fc.constantFrom(["x-a"], ["X-A", "x-b"]),
});

const LIMITS = ["max-age", "s-maxage"];
const FLAGS = ["no-store", "private", "no-cache", "must-understand", "unknown"];
const KIND = ["public", "must-revalidate", "proxy-revalidate"];
const STALE = ["stale-while-revalidate", "stale-if-error"];

const replyDirective = fc.oneof(
  { weight: 6, arbitrary: timed(...LIMITS) },
  { weight: 5, arbitrary: timed(...STALE) },
  { weight: 3, arbitrary: plain(...KIND) },
  { weight: 1, arbitrary: plain(...FLAGS) },
  { weight: 1, arbitrary: named },
);

/** In structured fields the last of a name counts, and there are no other cases and no invalid numbers. */
const targeted = fc.uniqueArray(
  fc.oneof(
    fc.record({ name: fc.constantFrom(...LIMITS, ...STALE), argument: seconds }),
    plain(...KIND, "no-store", "private", "no-cache"),
  ),
  { selector: ({ name }) => name, minLength: 1, maxLength: 3 },
);

const rarely = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });
const invalid = fc.constant("invalid" as const);
const dated = fc.oneof({ weight: 6, arbitrary: offset }, { weight: 1, arbitrary: invalid });

export const replies: fc.Arbitrary<LiteralReply> = fc.record({
  status: fc.oneof(fc.constant(200), fc.constantFrom(200, 201, 203, 204, 301, 302, 307, 404, 500, 503, 599)),
  directives: fc.array(replyDirective, { maxLength: 4 }),
  targeted: fc.oneof({ weight: 6, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: targeted }),
  expires: rarely(dated),
  date: rarely(dated),
  age: rarely(fc.oneof({ weight: 6, arbitrary: seconds }, { weight: 1, arbitrary: invalid })),
  lastModified: rarely(offset),
  etag: fc.boolean(),
  setsCookie: fc.oneof(
    { weight: 5, arbitrary: fc.constant(false) },
    { weight: 1, arbitrary: fc.constant(true) },
  ),
  vary: fc.oneof(
    { weight: 3, arbitrary: fc.constant([]) },
    { weight: 2, arbitrary: fc.subarray(["x-a", "x-b"], { minLength: 1 }) },
    { weight: 1, arbitrary: fc.constant(["x-a", "*"]) },
  ),
  delay: fc.constantFrom(0, 0, 2),
});

const requestDirective = fc.oneof(
  timed("max-age", "min-fresh", "max-stale"),
  plain("no-cache", "no-store", "max-stale", "unknown"),
);

export const requests: fc.Arbitrary<LiteralRequest> = fc.record({
  authorization: fc.oneof(
    { weight: 4, arbitrary: fc.constant(false) },
    { weight: 1, arbitrary: fc.constant(true) },
  ),
  directives: fc.oneof(
    { weight: 3, arbitrary: fc.constant([]) },
    {
      weight: 2,
      arbitrary: fc.uniqueArray(requestDirective, { selector: ({ name }) => name, maxLength: 3 }),
    },
  ),
  fields: fc.constantFrom<LiteralRequest["fields"]>({}, {}, { "x-a": "1" }, { "x-a": "2", "x-b": "1" }),
});

export const elapsed = fc.constantFrom(0, 1, 4, 9, 10, 11, 60, 10_000);

/** Writes differently each time, but always the same for the same numbers. */
export const hands: fc.Arbitrary<Hand> = fc
  .array(fc.nat(60), { minLength: 1, maxLength: 20 })
  .map((numbers) => {
    let next = 0;
    return { choose: (below) => numbers[next++ % numbers.length]! % below };
  });
