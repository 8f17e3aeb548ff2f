/** What a process leaves behind about the scripts that it ran when it ended. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Supervisor } from "../../../core/supervisor/supervisor.ts";
import { FakeChild } from "../../support/fake-child.ts";

const GREET = { name: "greet", version: "c0ffee", file: "plugins/greet.ts" };
const SHOUT = { name: "shout", version: "decaf", file: "plugins/shout.ts" };

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

function setUp() {
  const children: FakeChild[] = [];
  const said: string[] = [];
  const supervisor = new Supervisor({
    spawn(handover, fds) {
      const child = new FakeChild(handover, fds);
      children.push(child);
      return child.asChild();
    },
    notify() {},
    say: (line) => void said.push(line),
  });
  return {
    supervisor,
    said,
    /** The process that was started last. */
    get last() {
      return children.at(-1)!;
    },
  };
}

describe("a process that ends without being asked", () => {
  it("names the scripts that ran, and no other", () => {
    const gateway = setUp();
    gateway.last.ready();
    const first = gateway.last;
    first.write({ thread: 0, script: SHOUT });
    first.write({ thread: 0 });
    first.write({ thread: 1, script: GREET });
    first.write({ thread: 0, script: GREET });
    first.write({ thread: 1, script: GREET, stalled: "the script greet has kept the thread for 1020 ms" });
    first.end(null, "SIGKILL");
    expect(gateway.last.handover).toMatchObject({
      lastCrash: { reason: "the script greet has kept the thread for 1020 ms", scripts: [GREET] },
      quarantined: [GREET],
    });
    expect(gateway.said.at(-1)).toMatch(/kept the thread for 1020 ms; it ran the script greet; starting/);
  });

  it("has its scripts kept from running in all that come after it, until a process says otherwise", () => {
    const gateway = setUp();
    gateway.last.ready();
    gateway.last.write({ thread: 0, script: GREET });
    gateway.last.end(null, "SIGKILL");
    gateway.last.ready({ quarantined: [GREET] });
    gateway.last.write({ thread: 0, script: SHOUT });
    gateway.last.end(null, "SIGKILL");
    vi.advanceTimersByTime(60_000);
    expect(gateway.last.handover.quarantined).toEqual([GREET, SHOUT]);
    gateway.last.ready({ quarantined: [GREET, SHOUT] });
    gateway.last.say({ type: "beat", generation: 1, running: [], quarantined: [SHOUT] });
    gateway.supervisor.upgrade();
    expect(gateway.last.handover.quarantined).toEqual([SHOUT]);
  });
});
