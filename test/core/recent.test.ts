import fc from "fast-check";
import { expect, it } from "vitest";
import { Recent } from "../../core/recent.ts";

const make = (entries = 8, bytes = 1000) => new Recent<number>(entries, bytes, (value) => value);

it("keeps what is asked for, and forgets what is not", () => {
  const recent = make();
  recent.set("a", 1);
  for (let i = 0; i < 100; i++) {
    recent.set(`b${i}`, 1);
    expect(recent.get("a")).toBe(1);
  }
  expect(recent.get("b0")).toBeUndefined();
  expect(recent.get("b99")).toBe(1);
});

it("does not keep what is larger than half of the room", () => {
  const recent = make();
  recent.set("a", 501);
  expect(recent.get("a")).toBeUndefined();
});

it("never has more entries or bytes than it may, and what it has is what was set last", () => {
  const action = fc.tuple(fc.constantFrom("get", "set"), fc.nat(20), fc.integer({ min: 1, max: 60 }));
  fc.assert(
    fc.property(fc.array(action, { maxLength: 200 }), (actions) => {
      const recent = make(8, 100);
      const all = new Map<string, number>();
      for (const [what, k, value] of actions) {
        if (what === "set") {
          recent.set(`${k}`, value);
          all.set(`${k}`, value);
        }
        const found = recent.get(`${k}`);
        if (found !== undefined) expect(found).toBe(all.get(`${k}`));
        expect(recent.size).toBeLessThanOrEqual(8);
        expect(recent.bytes).toBeLessThanOrEqual(100);
      }
    }),
  );
});
