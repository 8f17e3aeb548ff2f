import { describe, expect, it } from "vitest";
import { CallWatch } from "../../../core/script/call-watch.ts";
import { createVitals, Vitals } from "../../../core/threads/vitals.ts";

const LOOK_MS = 10;

/** A watch over a thread that gets `share` of the time, as the kernel tells it; undefined when it tells nothing. */
function setUp(share: number | undefined, state = "R") {
  const vitals = new Vitals(createVitals(1), 0);
  let now = 5000;
  let cpuMs = 300;
  const watch = new CallWatch(vitals, () => (share === undefined ? undefined : { state, cpuMs }));
  const look = (afterMs = LOOK_MS, isLate = false) => {
    now += afterMs;
    cpuMs += afterMs * (share ?? 0);
    return watch.look(now, isLate);
  };
  return {
    vitals,
    watch,
    look,
    call: (id: number) => vitals.enterScript(id, now),
    /** How long it takes until there is something new, and what; nothing within a minute. */
    next() {
      for (let ms = LOOK_MS; ms <= 60_000; ms += LOOK_MS) {
        const event = look();
        if (event !== undefined) return [event, ms];
      }
      return undefined;
    },
  };
}

describe("a call", () => {
  it("is long when two looks see it, and over when the next does not", () => {
    const { vitals, watch, look, call } = setUp(1);
    expect(look()).toBeUndefined();
    call(7);
    expect([look(), look(), watch.call?.id, look()]).toEqual([undefined, "long", 7, undefined]);
    vitals.leaveScript();
    expect([look(), look(), watch.call]).toEqual(["over", undefined, undefined]);
  });

  it("is none of many short ones", () => {
    const { vitals, look, call } = setUp(1);
    for (let i = 0; i < 500; i++) {
      call(7);
      expect(look()).toBeUndefined();
      vitals.leaveScript();
    }
  });

  it("is over when there is another", () => {
    const { vitals, watch, look, call } = setUp(1);
    call(7);
    expect([look(), look()]).toEqual([undefined, "long"]);
    vitals.leaveScript();
    call(8);
    expect([look(), watch.call?.id, look(), look()]).toEqual(["over", 8, "long", undefined]);
  });

  it("stalls its thread after a second, which is said once", () => {
    const { call, look, next } = setUp(1);
    call(7);
    expect([look(), look()]).toEqual([undefined, "long"]);
    expect(next()).toEqual(["stalled", 1000]);
    expect(next()).toBeUndefined();
  });

  it("stalls a thread that a busy machine gives little time to when that adds up", () => {
    const { call, look, next } = setUp(0.1);
    call(7);
    expect([look(), look()]).toEqual([undefined, "long"]);
    expect(next()).toEqual(["stalled", 5000]);
  });

  it.each(["R", "D", "T"])("stalls no thread that is given no time (%s)", (state) => {
    const { call, look, next } = setUp(0, state);
    call(7);
    expect([look(), look()]).toEqual([undefined, "long"]);
    expect(next()).toBeUndefined();
  });

  it("stalls a thread that sleeps, and one that nothing is known of, after three", () => {
    for (const { call, look, next } of [setUp(0, "S"), setUp(undefined)]) {
      call(7);
      expect([look(), look()]).toEqual([undefined, "long"]);
      expect(next()).toEqual(["stalled", 3000]);
    }
  });

  it("begins anew when who looks was kept from it", () => {
    const { call, look, next } = setUp(1);
    call(7);
    expect([look(), look()]).toEqual([undefined, "long"]);
    expect(look(5000, true)).toBeUndefined();
    expect(next()).toEqual(["stalled", 1000]);
  });
});
