/** What becomes of a process that scripts do harm to, and what it leaves behind. */
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
    children,
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

describe("a process that gives up", () => {
  const REASON = "the data thread 1 cannot be ended";

  function giveUp() {
    const gateway = setUp();
    const old = gateway.last;
    old.ready();
    old.write({ thread: 1, script: GREET });
    old.say({ type: "giveUp", reason: REASON });
    return { gateway, old, next: gateway.last };
  }

  it("serves until another does, which is not to run its scripts", () => {
    const { gateway, old, next } = giveUp();
    expect(next.handover).toMatchObject({
      kind: "replacement",
      restarts: 1,
      lastCrash: { pid: old.pid, reason: REASON, scripts: [GREET] },
      quarantined: [GREET],
    });
    old.say({ type: "giveUp", reason: "the data thread 0 cannot be ended" });
    expect([old.kills, old.told.map(({ type }) => type)]).toEqual([[], ["log"]]);
    next.ready({ quarantined: [GREET] });
    expect(old.told.at(-1)).toEqual({ type: "stop", mode: "handover" });
    const told = next.told.length;
    old.end(null, "SIGKILL");
    expect([gateway.said, next.told.length, gateway.children.length]).toEqual([[], told, 2]);
  });

  it("is not waited for when it ends before that", () => {
    const { gateway, old, next } = giveUp();
    old.end(null, "SIGKILL");
    vi.advanceTimersByTime(10_000);
    expect(gateway.last).toBe(next);
    next.ready();
    expect(gateway.children).toHaveLength(2);
  });

  it("ends at once when the other does not start, and another is tried", () => {
    const { gateway, old, next } = giveUp();
    next.end(1);
    expect(old.kills).toEqual(["SIGKILL"]);
    expect(gateway.last.handover).toMatchObject({ kind: "restart", restarts: 1, quarantined: [GREET] });
  });

  it("ends at once when it does not serve yet, or another is starting already", () => {
    const gateway = setUp();
    gateway.last.ready();
    const old = gateway.last;
    gateway.supervisor.upgrade();
    const next = gateway.last;
    next.say({ type: "giveUp", reason: REASON });
    expect([old.kills, next.kills]).toEqual([[], ["SIGKILL"]]);
    gateway.supervisor.upgrade();
    old.say({ type: "giveUp", reason: REASON });
    expect(old.kills).toEqual(["SIGKILL"]);
  });

  it("leaves no bad status behind when all are told to stop", async () => {
    const { gateway, old, next } = giveUp();
    gateway.supervisor.stop();
    next.end(0);
    old.end(null, "SIGKILL");
    expect(await gateway.supervisor.ended).toBe(0);
  });
});
