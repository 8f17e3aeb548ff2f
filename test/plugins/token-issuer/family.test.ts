import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { digestOf, type Family, rotate, timeLeft } from "../../../plugins/token-issuer/family.ts";

const RULES = { idleMs: 1000, lifetimeMs: 5000, graceMs: 100 };
const FIRST = Buffer.alloc(32, "first");
const family: Family = {
  username: "alice",
  proof: "p",
  startedAt: 0,
  usedAt: 0,
  current: digestOf(FIRST),
};

/** What is shown of tokens over time. */
const step = fc.record({ waitMs: fc.integer({ min: 0, max: 250 }), back: fc.integer({ min: 0, max: 3 }) });

describe("a family", () => {
  it("takes the last token at any time and the one before it within the grace, and no other ever", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const issued: Buffer[] = [FIRST];
        let [state, now, usedAt] = [family, 0, 0];
        for (const { waitMs, back } of steps) {
          now += waitMs;
          const shown = issued.at(-1 - back);
          if (shown === undefined) continue;
          const rotation = rotate(state, shown, now, { ...RULES, idleMs: 1e9, lifetimeMs: 1e9 }, String(now));
          const expected =
            back === 0 ? "rotated" : back === 1 && now < usedAt + RULES.graceMs ? "repeated" : "reused";
          expect(rotation.outcome).toBe(expected);
          if (rotation.outcome === "repeated") expect(rotation.secret).toEqual(issued.at(-1));
          if (rotation.outcome !== "rotated") continue;
          expect(issued).not.toContainEqual(rotation.secret);
          issued.push(rotation.secret);
          state = rotation.family;
          usedAt = now;
        }
      }),
    );
  });

  it("takes nothing that was made up", () => {
    expect(rotate(family, randomBytes(32), 1, RULES, "n").outcome).toBe("reused");
  });

  it.each([
    [999, "rotated"],
    [1000, "expired"],
  ])("ends when nobody used it: after %i ms it is %s", (now, outcome) => {
    expect(rotate(family, FIRST, now, RULES, "n").outcome).toBe(outcome);
  });

  it("ends some time after the login, however often it is used", () => {
    let state = family;
    let secret: Buffer = FIRST;
    for (let now = 900; now < 5000; now += 900) {
      const rotation = rotate(state, secret, now, RULES, "n");
      if (rotation.outcome !== "rotated") throw new Error(rotation.outcome);
      [state, secret] = [rotation.family, rotation.secret];
    }
    expect(timeLeft(state, 4500, RULES)).toBe(500);
    expect(rotate(state, secret, 4999, RULES, "n").outcome).toBe("rotated");
    expect(rotate(state, secret, 5000, RULES, "n").outcome).toBe("expired");
  });

  it("has no token in it, and nothing that one could be made from", () => {
    const rotation = rotate(family, FIRST, 1, RULES, "n");
    if (rotation.outcome !== "rotated") throw new Error(rotation.outcome);
    const stored = JSON.stringify(rotation.family);
    for (const secret of [FIRST, rotation.secret]) {
      for (const form of ["base64url", "base64", "hex"] as const)
        expect(stored).not.toContain(secret.toString(form));
    }
    // Whoever has the number and not the token has nothing.
    expect(rotate(family, FIRST, 1, RULES, "other")).not.toMatchObject({ secret: rotation.secret });
  });

  it("gives nothing twice without a grace", () => {
    const rules = { ...RULES, graceMs: 0 };
    const rotation = rotate(family, FIRST, 1, rules, "n");
    if (rotation.outcome !== "rotated") throw new Error(rotation.outcome);
    expect(rotate(rotation.family, FIRST, 1, rules, "n").outcome).toBe("reused");
  });
});
