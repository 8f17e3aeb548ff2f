import { describe, expect, it } from "vitest";
import type { KeyValueStore } from "../../../core/plugin.ts";
import { createRedisLimiter } from "../../../plugins/limit/redis-limiter.ts";
import { MemoryStore } from "../../../core/store/memory.ts";
import { FakeClock } from "../../support/harness.ts";

/** A limiter of one rule whose store answers so. */
function limiterThatHears(answer: unknown) {
  const store: KeyValueStore = new MemoryStore(1024, new FakeClock());
  store.run = () => Promise.resolve(answer);
  const rule = { name: "r", algorithm: "token-bucket", count: 9, windowMs: 1000, burst: 9 } as const;
  return createRedisLimiter("s", { rules: [rule], ban: undefined, countRejected: false }, store, {
    timeoutMs: 50,
  });
}

const ODD = [
  undefined,
  null,
  "OK",
  1,
  [],
  ["allowed"],
  ["allowed", 0, 1, 1, 0, 1, 0, -1, 0],
  ["foo", 0, 1, 1, 0, 1, 0],
  ["limited", 1, 1, 1, 0, 1, 0],
  ["limited", 0, -1, 1, 0, 1, 0],
  ["limited", 0, "1", 1, 0, 1, 0],
  ["limited", 0, 1, 1.5, 0, 1, 0],
  ["limited", 0, 1, null, 0, 1, 0],
];

describe("answers that make no sense", () => {
  it.each(ODD)("are none, for a request and for who looks: %j", async (answer) => {
    const limiter = limiterThatHears(answer);
    await expect(limiter.take("k", 1)).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    await expect(limiter.read("k")).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
  });

  it("are told from those that do", async () => {
    const decided = limiterThatHears(["limited", 0, 1, 20, 30, 40, 50]);
    expect(await decided.take("k", 1)).toMatchObject({
      outcome: "limited",
      retryAfterMs: 30,
      beginsBan: true,
    });
    expect(await limiterThatHears([5, 1, 20]).read("k")).toEqual({
      rules: [{ remaining: 1, resetMs: 20 }],
      bannedForMs: 5,
    });
  });
});
