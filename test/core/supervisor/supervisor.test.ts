import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Supervisor } from "../../../core/supervisor/supervisor.ts";
import { FakeChild, FakeSocket } from "../../support/fake-child.ts";

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

const GREET = { name: "greet", version: "c0ffee", file: "plugins/greet.ts" };

function setUp() {
  const children: FakeChild[] = [];
  const said: string[] = [];
  const notified: Record<string, string>[] = [];
  const supervisor = new Supervisor({
    spawn(handover, fds) {
      const child = new FakeChild(handover, fds);
      children.push(child);
      return child.asChild();
    },
    notify: (state) => void notified.push(state),
    say: (line) => void said.push(line),
  });
  let status: number | undefined;
  void supervisor.ended.then((ended) => {
    status = ended;
  });
  return {
    supervisor,
    children,
    said,
    notified,
    /** The process that was started last. */
    get last() {
      return children.at(-1)!;
    },
    /** The exit status, once there is one. */
    async status() {
      await vi.advanceTimersByTimeAsync(0);
      return status;
    },
  };
}

describe("the first process", () => {
  it("begins with nothing", () => {
    const { last } = setUp();
    expect([last.handover, last.fds]).toEqual([
      { kind: "start", restarts: 0, lastCrash: null, sockets: [], note: 4, quarantined: [] },
      [],
    ]);
  });

  it("that ends before it serves has said why: its status is the supervisor's", async () => {
    const { last, said, children, status } = setUp();
    last.end(1);
    expect(await status()).toBe(1);
    expect([said, children.length]).toEqual([[], 1]);
  });

  it("that is killed before it serves has not", async () => {
    const { last, said, status } = setUp();
    last.end(null, "SIGKILL");
    expect(await status()).toBe(137);
    expect(said).toEqual(["the gateway did not start: killed by SIGKILL"]);
  });

  it("may be impossible to start", async () => {
    const { last, said, status } = setUp();
    last.pid = undefined;
    last.connected = false;
    last.notes.emit("close");
    last.emit("error", new Error("spawn node ENOENT"));
    expect(await status()).toBe(127);
    expect(said).toEqual(["the gateway did not start: could not be started: spawn node ENOENT"]);
  });
});

describe("a process that ends without being asked", () => {
  it("is replaced at once, then later and later, until it is given up", async () => {
    const gateway = setUp();
    gateway.last.ready();
    const begins: number[] = [];
    for (let i = 1; i <= 7; i++) {
      const crashedAt = Date.now();
      gateway.last.end(null, "SIGSEGV");
      await vi.runAllTicks();
      while (gateway.children.length === i) await vi.advanceTimersToNextTimerAsync();
      begins.push(Date.now() - crashedAt);
    }
    expect(begins[0]).toBe(0);
    expect(begins.slice(1)).toEqual([100, 200, 400, 800, 1600, 3200]);
    gateway.last.end(null, "SIGSEGV");
    expect(await gateway.status()).toBe(70);
    expect(gateway.said.at(-1)).toMatch(/ended 8 times in a row .* killed by SIGSEGV; giving up$/);
  });

  it("leaves a note with what it said last, also when that comes after its end", () => {
    const gateway = setUp();
    gateway.last.ready();
    const first = gateway.last;
    vi.advanceTimersByTime(2500);
    first.exit(null, "SIGABRT");
    first.say({ type: "beat", generation: 7, running: ["users"] });
    first.connected = false;
    first.emit("disconnect");
    first.write({ thread: 1, script: GREET }, 3);
    expect(gateway.children).toHaveLength(1);
    first.notes.emit("close");
    expect(gateway.last.handover).toEqual({
      kind: "restart",
      restarts: 1,
      lastCrash: {
        at: Date.now(),
        pid: first.pid,
        reason: "killed by SIGABRT",
        uptimeSeconds: 2.5,
        generation: 7,
        running: ["users"],
        scripts: [GREET],
      },
      sockets: [],
      note: 4,
      quarantined: [GREET],
    });
  });

  it("is one that ended with status 0, too", () => {
    const gateway = setUp();
    gateway.last.ready();
    gateway.last.end(0);
    expect(gateway.last.handover).toMatchObject({ kind: "restart", lastCrash: { reason: "exit status 0" } });
  });

  it("may be one that hangs", () => {
    const gateway = setUp();
    gateway.last.ready();
    const [first] = gateway.children;
    for (let i = 0; i < 100; i++) {
      vi.advanceTimersByTime(500);
      first!.say({ type: "beat", generation: 1, running: [] });
    }
    expect(first!.kills).toEqual([]);
    vi.advanceTimersByTime(11_000);
    expect(first!.kills).toEqual(["SIGKILL"]);
    expect(gateway.last.handover.lastCrash?.reason).toBe("stalled: no sign of life for 10 s");
  });
});

describe("sockets", () => {
  it("are kept for the next process, which may drop them", () => {
    const gateway = setUp();
    const [a, b] = [new FakeSocket(20), new FakeSocket(21)];
    gateway.last.ready();
    gateway.last.say({ type: "hold", key: "a" }, a);
    gateway.last.say({ type: "hold", key: "b" }, b);
    gateway.last.end(1);
    expect(gateway.last.fds).toEqual([20, 21]);
    expect(gateway.last.handover.sockets).toEqual([
      ["a", 5],
      ["b", 6],
    ]);
    gateway.last.ready();
    gateway.last.say({ type: "drop", keys: ["a", "unknown"] });
    expect([a.isClosed, b.isClosed]).toEqual([true, false]);
    gateway.last.end(1);
    vi.advanceTimersByTime(1000);
    expect(gateway.last.fds).toEqual([21]);
  });

  it("that come twice are kept once", () => {
    const gateway = setUp();
    const [old, young] = [new FakeSocket(20), new FakeSocket(21)];
    gateway.last.ready();
    gateway.last.say({ type: "hold", key: "a" }, old);
    gateway.last.say({ type: "hold", key: "a" }, young);
    expect([old.isClosed, young.isClosed]).toEqual([true, false]);
  });

  it("are given back when they are asked for", () => {
    const gateway = setUp();
    const socket = new FakeSocket(20);
    gateway.last.ready();
    gateway.last.say({ type: "hold", key: "a" }, socket);
    gateway.last.say({ type: "handBack", key: "a" });
    gateway.last.say({ type: "handBack", key: "b" });
    expect(gateway.last.told).toEqual([
      { type: "socket", key: "a", socket },
      { type: "socket", key: "b" },
    ]);
  });

  it("are let go before processes are told to stop, so that nobody waits in vain", async () => {
    const gateway = setUp();
    const socket = new FakeSocket(20);
    gateway.last.ready();
    gateway.last.say({ type: "hold", key: "a" }, socket);
    gateway.supervisor.stop();
    expect(socket.isClosed).toBe(true);
    expect(gateway.last.told).toEqual([{ type: "stop", mode: "drain" }]);
    const late = new FakeSocket(21);
    gateway.last.say({ type: "hold", key: "late" }, late);
    expect(late.isClosed).toBe(true);
    gateway.last.end(0);
    expect(await gateway.status()).toBe(0);
  });

  it("of a process that hands over are no longer its own to keep", () => {
    const gateway = setUp();
    const [old] = gateway.children;
    old!.ready();
    gateway.supervisor.upgrade();
    gateway.last.ready();
    const socket = new FakeSocket(20);
    gateway.last.say({ type: "hold", key: "a" }, socket);
    old!.say({ type: "drop", keys: ["a"] });
    const late = new FakeSocket(21);
    old!.say({ type: "hold", key: "a" }, late);
    expect([socket.isClosed, late.isClosed]).toEqual([false, true]);
  });
});

describe("an upgrade", () => {
  it("hands over when the new process serves", async () => {
    const gateway = setUp();
    const [old] = gateway.children;
    old!.ready();
    gateway.supervisor.upgrade();
    const next = gateway.last;
    expect(next.handover.kind).toBe("upgrade");
    expect(old!.told.map(({ type }) => type)).toEqual(["log"]);
    next.ready();
    expect(old!.told.at(-1)).toEqual({ type: "stop", mode: "handover" });
    expect(next.told).toEqual([
      expect.objectContaining({ type: "log", fields: { old: old!.pid, new: next.pid } }),
    ]);
    old!.end(0);
    vi.advanceTimersByTime(5000);
    expect(gateway.children).toHaveLength(2);
    gateway.supervisor.stop();
    next.end(0);
    expect(await gateway.status()).toBe(0);
  });

  it("fails when the new process does not serve within a minute", () => {
    const gateway = setUp();
    const [old] = gateway.children;
    old!.ready();
    gateway.supervisor.upgrade();
    const keepAlive = setInterval(() => old!.say({ type: "beat", generation: 1, running: [] }), 500);
    vi.advanceTimersByTime(60_000);
    clearInterval(keepAlive);
    expect(gateway.last.kills).toEqual(["SIGKILL"]);
    expect(old!.told.at(-1)).toMatchObject({
      type: "log",
      level: "error",
      fields: { pid: gateway.last.pid, reason: "not ready after 60 s" },
    });
    expect(old!.kills).toEqual([]);
    gateway.supervisor.upgrade();
    expect(gateway.children).toHaveLength(3);
  });

  it("is refused while there is nothing to upgrade, or another one is under way", () => {
    const gateway = setUp();
    gateway.supervisor.upgrade();
    expect(gateway.said).toEqual(["no upgrade: no gateway serves now"]);
    gateway.last.ready();
    gateway.supervisor.upgrade();
    gateway.supervisor.upgrade();
    expect(gateway.children).toHaveLength(2);
    expect(gateway.children[0]!.told.at(-1)).toMatchObject({ message: "no upgrade: one is under way" });
  });

  it("under way takes the place of a restart, and is followed by one when it fails", () => {
    const gateway = setUp();
    gateway.last.ready();
    gateway.supervisor.upgrade();
    gateway.children[0]!.end(null, "SIGKILL");
    vi.advanceTimersByTime(5000);
    expect(gateway.children).toHaveLength(2);
    gateway.last.end(1);
    expect(gateway.children).toHaveLength(3);
    expect(gateway.last.handover.kind).toBe("restart");
  });

  it("whose old process ends badly while it drains is reported, and nothing else", () => {
    const gateway = setUp();
    gateway.last.ready();
    gateway.supervisor.upgrade();
    gateway.last.ready();
    gateway.children[0]!.end(null, "SIGSEGV");
    expect(gateway.children).toHaveLength(2);
    expect(gateway.last.told.at(-1)).toMatchObject({
      level: "warn",
      fields: { reason: "killed by SIGSEGV" },
    });
  });
});

describe("stopping", () => {
  it("ends all processes, and the status is that of the one that ended badly", async () => {
    const gateway = setUp();
    gateway.last.ready();
    gateway.supervisor.upgrade();
    gateway.supervisor.stop();
    for (const child of gateway.children) {
      expect(child.told.at(-1)).toEqual({ type: "stop", mode: "drain" });
    }
    gateway.children[0]!.end(3);
    expect(await gateway.status()).toBeUndefined();
    gateway.children[1]!.end(0);
    expect(await gateway.status()).toBe(3);
  });

  it("asked for twice is at once, and by force when that does not help", async () => {
    const gateway = setUp();
    gateway.last.ready();
    gateway.supervisor.stop();
    gateway.supervisor.stop();
    expect(gateway.last.told).toEqual([
      { type: "stop", mode: "drain" },
      { type: "stop", mode: "now" },
    ]);
    expect(gateway.last.kills).toEqual([]);
    vi.advanceTimersByTime(1500);
    expect(gateway.last.kills).toEqual(["SIGKILL"]);
    expect(await gateway.status()).toBe(1);
  });

  it("needs no process", async () => {
    const gateway = setUp();
    gateway.last.ready();
    gateway.last.end(1);
    gateway.last.end(1);
    gateway.supervisor.stop();
    expect(await gateway.status()).toBe(0);
    vi.advanceTimersByTime(60_000);
    expect(gateway.children).toHaveLength(2);
  });
});

describe("a reload", () => {
  it("is passed on, and told to the service manager", () => {
    const gateway = setUp();
    gateway.last.ready();
    gateway.supervisor.reload();
    expect(gateway.last.told).toEqual([{ type: "reload" }]);
    gateway.last.say({ type: "reloaded", result: "refused" });
    expect(gateway.notified.map((state) => state["READY"] ?? state["RELOADING"])).toEqual(["1", "1", "1"]);
    expect(gateway.notified.at(-1)!["STATUS"]).toContain("refused");
  });

  it("that is over while all is stopped does not make it ready again", () => {
    const gateway = setUp();
    gateway.last.ready();
    gateway.supervisor.reload();
    gateway.supervisor.stop();
    gateway.last.say({ type: "reloaded", result: "activated" });
    expect(Object.keys(gateway.notified.at(-1)!)).toContain("STOPPING");
  });

  it("is refused while nothing serves", () => {
    const gateway = setUp();
    gateway.supervisor.reload();
    expect(gateway.said).toEqual(["no reload: no gateway serves now"]);
    expect(gateway.notified).toEqual([]);
  });
});
