import { expect, it } from "vitest";
import { createVitals, Vitals } from "../../../core/threads/vitals.ts";

it("tells others when a thread's loop came round last, and which route a request began on", () => {
  const memory = createVitals(2);
  const [own, seen, other] = [new Vitals(memory, 0), new Vitals(memory, 0), new Vitals(memory, 1)];
  expect([seen.beatAt, seen.lastRoute]).toEqual([0, undefined]);
  own.beat(1234.5);
  own.begin(7, 0);
  expect([seen.beatAt, seen.lastRoute]).toEqual([1234.5, { generation: 7, route: 0 }]);
  own.begin(8, 3);
  expect(seen.lastRoute).toEqual({ generation: 8, route: 3 });
  expect([other.beatAt, other.lastRoute]).toEqual([0, undefined]);
  own.clear();
  expect([seen.beatAt, seen.lastRoute]).toEqual([0, undefined]);
});

it("tells others which call of a script a thread runs, and when none", () => {
  const memory = createVitals(2);
  const [own, seen, other] = [new Vitals(memory, 1), new Vitals(memory, 1), new Vitals(memory, 0)];
  expect(seen.runningScript).toBeUndefined();
  own.enterScript(0x1000_0000, 12.25);
  expect(seen.runningScript).toEqual({ id: 0x1000_0000, sequence: 1, sinceMs: 12.25 });
  own.leaveScript();
  expect(seen.runningScript).toBeUndefined();
  own.enterScript(5, 13);
  expect(seen.runningScript).toEqual({ id: 5, sequence: 2, sinceMs: 13 });
  expect([seen.beatAt, seen.lastRoute, other.runningScript]).toEqual([0, undefined, undefined]);
  own.clear();
  expect(seen.runningScript).toBeUndefined();
});
