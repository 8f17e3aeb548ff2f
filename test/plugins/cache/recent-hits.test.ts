import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hit } from "../../../plugins/cache/cache-status.ts";
import { RecentHits } from "../../../plugins/cache/recent-hits.ts";
import { notModified, storedReply, ttlSeconds } from "../../../plugins/cache/serve.ts";
import { entryOf } from "../../support/cache-entries.ts";

describe("replies to recent hits", () => {
  it("say at every moment what a reply that is made then says, whatever the clock does", () => {
    const quarters = fc.nat(8).map((quarter) => quarter * 250);
    // Seconds begin on quarters of one: times are there, just before, and just after.
    const times = fc.tuple(quarters, fc.integer({ min: -1, max: 1 })).map(([ms, by]) => 1000 + ms + by);
    const moves = fc.array(fc.record({ which: fc.nat(2), nowMs: times }), { minLength: 5, maxLength: 40 });
    fc.assert(
      fc.property(fc.tuple(quarters, quarters, quarters), moves, (ages, all) => {
        const recent = new RecentHits(storedReply);
        const same = new RecentHits(notModified);
        const entries = ages.map((initialAgeMs, i) =>
          entryOf({ initialAgeMs, freshMs: 50_000 + i * 250, respondedAtMs: i * 500 }),
        );
        for (const { which, nowMs } of all) {
          const entry = entries[which]!;
          const status = hit(ttlSeconds(entry, nowMs));
          const { headers } = storedReply(entry, nowMs, status);
          expect(recent.reply(entry, nowMs)).toMatchObject({
            status: 200,
            headers,
            body: { bytes: entry.body },
          });
          const own = notModified(entry, nowMs, status).headers;
          expect(same.reply(entry, nowMs)).toMatchObject({ status: 304, headers: own, body: null });
        }
      }),
      { numRuns: 300 },
    );
  });

  it("are the same in print until their headers change, and do not share their headers", () => {
    const recent = new RecentHits(storedReply);
    const entry = entryOf();
    const first = recent.reply(entry, 100);
    first.headers.set("x-own", "1");
    const second = recent.reply(entry, 200);
    expect(second.headers.has("x-own")).toBe(false);
    second.headers.set("x-own", "2");
    expect(recent.reply(entry, 300).headers.has("x-own")).toBe(false);
    expect(first.printed).toBeDefined();
    expect(second.printed).toBe(first.printed);
    expect(recent.reply(entry, 1000).printed).not.toBe(first.printed);
  });

  it("are not kept of more than some entries, and of none with a large body", () => {
    const recent = new RecentHits(storedReply);
    const entries = Array.from({ length: 300 }, () => entryOf());
    const printed = (): number => entries.filter((entry) => recent.reply(entry, 100).printed).length;
    expect([printed(), printed()]).toEqual([256, 256]);
    expect(recent.reply(entryOf({ body: Buffer.alloc(4097) }), 5000).printed).toBeUndefined();
  });
});
