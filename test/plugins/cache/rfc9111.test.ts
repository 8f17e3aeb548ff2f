import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { judgeReuse } from "../../../plugins/cache/reuse.ts";
import { readRequest } from "../../../plugins/cache/request.ts";
import { normalizedField } from "../../../plugins/cache/vary.ts";
import { askedWith, headersOf, judge, NOW } from "../../support/cache-replies.ts";
import { entryOf } from "../../support/cache-entries.ts";
import {
  type Hand,
  type LiteralReply,
  type LiteralRequest,
  literally,
  type Verdict,
  writeReply,
  writeRequest,
} from "../../support/rfc9111.ts";
import { elapsed, hands, replies, requests } from "../../support/rfc9111-arbitraries.ts";

/** What the cache does with the same. */
function decided(
  first: LiteralRequest,
  reply: LiteralReply,
  second: LiteralRequest,
  seconds: number,
  hand: Hand,
): Verdict {
  const asked = askedWith(writeRequest(first, hand));
  const lines = writeReply(reply, NOW, hand);
  const judged = judge(lines, { asked, status: reply.status, tookMs: reply.delay * 1000 });
  if (!judged.isStorable) return "not stored";
  const headers = headersOf(...writeRequest(second, hand));
  for (let i = 0; i < judged.vary.length; i += 2) {
    if (normalizedField(headers, judged.vary[i]!) !== judged.vary[i + 1]) return "not for this request";
  }
  const { isStorable: _, ...said } = judged;
  const reuse = judgeReuse(entryOf(said), readRequest(headers), NOW + seconds * 1000, false);
  if (reuse === "refresh") return "use, and validate behind";
  return reuse === "use" ? "use" : "validate";
}

describe("what the cache decides", () => {
  it("is what a slow and literal reading of the RFCs does", () => {
    const seen = new Map<Verdict, number>();
    fc.assert(
      fc.property(requests, replies, requests, elapsed, hands, (first, reply, second, seconds, hand) => {
        const verdict = literally(first, reply, second, seconds);
        seen.set(verdict, (seen.get(verdict) ?? 0) + 1);
        expect(decided(first, reply, second, seconds, hand)).toBe(verdict);
      }),
      { numRuns: 5000 },
    );
    // Each decision was met often enough to mean something.
    for (const count of seen.values()) expect(count).toBeGreaterThan(10);
    expect(seen.size).toBe(5);
  });
});
