import { describe, expect, it } from "vitest";
import { ProcessWatch, REQUESTS_STALLED } from "../../../core/supervisor/process-watch.ts";

/** A watch over a thread that is as `state` says and uses `share` of the time between two checks. */
function setUp(state: string | undefined, share: number) {
  let cpuMs = 5000;
  const watch = new ProcessWatch(REQUESTS_STALLED, () =>
    state === undefined ? undefined : { state, cpuMs: (cpuMs += 500 * share) },
  );
  const checksUntilStalled = (limit = 1000): number => {
    for (let i = 1; i <= limit; i++) if (watch.check() !== undefined) return i;
    return Infinity;
  };
  return { watch, checksUntilStalled };
}

describe("a process is stalled", () => {
  it("when it has been busy for two seconds without a sign of life", () => {
    const { watch } = setUp("R", 1);
    const said = Array.from({ length: 5 }, () => watch.check());
    expect(said).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
      expect.stringMatching(/^stalled: busy for 2 s/),
    ]);
  });

  it("when it sleeps for ten seconds without one", () => {
    expect(setUp("S", 0).checksUntilStalled()).toBe(21);
  });

  it("after ten seconds where the kernel does not tell what it does", () => {
    expect(setUp(undefined, 0).checksUntilStalled()).toBe(21);
  });
});

describe("a process is not stalled", () => {
  it("while there are signs of life, however busy it is", () => {
    const { watch } = setUp("R", 1);
    for (let i = 0; i < 100; i++) {
      expect(watch.check()).toBeUndefined();
      if (i % 3 === 0) watch.beat();
    }
  });

  it("while it waits for a core, longer than it may be busy", () => {
    expect(setUp("R", 0.1).checksUntilStalled()).toBe(41);
    expect(setUp("R", 0).checksUntilStalled()).toBe(Infinity);
  });

  it("while it is excused, however busy it is; afterwards it is as ever", () => {
    const { watch, checksUntilStalled } = setUp("R", 1);
    watch.excuse(10_000);
    expect(checksUntilStalled()).toBe(24);
    watch.beat();
    watch.excuse(10_000);
    watch.check();
    watch.excuse(0);
    expect(checksUntilStalled()).toBe(4);
  });

  it("while somebody has stopped it, or it waits for a disk", () => {
    for (const state of ["T", "t", "D"]) expect(setUp(state, 0).checksUntilStalled()).toBe(Infinity);
  });
});
