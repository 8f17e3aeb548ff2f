import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import type { OverloadConfig } from "../../../core/config/checked.ts";
import { overloadSchema } from "../../../core/config/overload-schema.ts";
import { createValidator } from "../../../core/config/validate.ts";
import { GatewayError } from "../../../core/errors.ts";
import { type MemoryReadings, OverloadMonitor, ShedCounts } from "../../../core/overload/monitor.ts";
import { textReply } from "../../../core/reply.ts";
import { exchange, FakeHost } from "../../support/harness.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const GB = 1024 ** 3;

/** Memory as a test says it is. */
class FakeMemory implements MemoryReadings {
  process = 0;
  heap = 0;
  processBytes(): number {
    return this.process;
  }
  heapShare(): number {
    return this.heap;
  }
  limitBytes(): number {
    return 10 * GB;
  }
}

function setUp(options: Record<string, unknown>, memory = new FakeMemory()) {
  const config = structuredClone(options);
  expect(createValidator(overloadSchema)(config)).toEqual([]);
  const host = new FakeHost();
  const counts = new ShedCounts();
  const monitor = new OverloadMonitor(config as unknown as OverloadConfig, host, counts, memory);
  onTestFinished(() => monitor.close());
  const handle = monitor.stage(() => textReply(200, "served"));
  /** Lets time pass; the timer comes `lateMs` too late each time. */
  const pass = (samples: number, lateMs = 0): void => {
    for (let i = 0; i < samples; i++) {
      host.clock.advance(100 + lateMs);
      vi.advanceTimersByTime(100);
    }
  };
  /** Sends one request of a tier; true when it was served. */
  const isServed = (tier?: string): boolean => {
    const x = exchange();
    if (tier !== undefined) x.consumer = { name: "ann", roles: [], tier };
    try {
      void handle(x);
      return true;
    } catch (error) {
      expect(error).toBeInstanceOf(GatewayError);
      expect((error as GatewayError).code).toBe("OVERLOADED");
      return false;
    }
  };
  /** Memory at a share between the levels of the default: 80 % and 95 %. */
  const press = (pressure: number): void => {
    memory.heap = 0.8 + 0.15 * pressure;
    pass(100);
  };
  return { monitor, host, counts, memory, pass, press, isServed };
}

describe("the pressure", () => {
  it("is none while the event loop is on time, and comes when it is late", () => {
    const { monitor, pass } = setUp({ eventLoopDelay: { from: "100ms", full: "500ms" } });
    pass(10);
    expect(monitor.pressure).toBe(0);
    pass(10, 90);
    expect(monitor.pressure).toBe(0);
    pass(30, 300);
    expect(monitor.pressure).toBeCloseTo(0.5, 1);
    pass(30, 600);
    expect([monitor.pressure, monitor.isShut]).toEqual([1, true]);
    pass(30);
    expect([monitor.pressure, monitor.isShut]).toEqual([0, false]);
  });

  it("is of the process's memory against the limit that there is", () => {
    const memory = new FakeMemory();
    const { monitor, pass } = setUp({ memory: {} }, memory);
    memory.process = 8 * GB;
    pass(100);
    expect(monitor.pressure).toBe(0);
    memory.process = 8.75 * GB;
    pass(100);
    expect(monitor.pressure).toBeCloseTo(0.5, 2);
  });

  it("is of the heap against V8's limit, when that is nearer", () => {
    const { monitor, press } = setUp({ memory: {} });
    press(0.5);
    expect(monitor.pressure).toBeCloseTo(0.5, 2);
  });

  it("is of the process's memory against a limit that is set", () => {
    const memory = new FakeMemory();
    memory.process = 0.9 * GB;
    expect(setUp({ memory: {} }, memory).monitor.pressure).toBe(0);
    expect(setUp({ memory: { limit: "1GB" } }, memory).monitor.pressure).toBeGreaterThan(0.5);
  });

  it("is of the process's memory alone when levels are sizes", () => {
    const memory = new FakeMemory();
    memory.heap = 0.99;
    memory.process = 1.5 * GB;
    const { monitor } = setUp({ memory: { from: "1GB", full: "2GB" } }, memory);
    expect(monitor.pressure).toBeCloseTo(0.5, 5);
  });

  it("is the highest of the signals", () => {
    const memory = new FakeMemory();
    memory.heap = 0.9;
    const { monitor, pass, host } = setUp({ memory: {}, eventLoopDelay: {} }, memory);
    expect(monitor.pressure).toBeCloseTo(2 / 3, 2);
    pass(30, 450);
    expect(monitor.pressure).toBeCloseTo(0.875, 2);
    expect(host.collected("sluice_overload_signal")).toEqual({
      '{"signal":"event-loop-delay"}': expect.closeTo(0.875, 2) as number,
      '{"signal":"memory"}': expect.closeTo(2 / 3, 2) as number,
    });
    expect(host.collected("sluice_overload_pressure")["{}"]).toBe(monitor.pressure);
    expect(host.collected("sluice_overload_event_loop_delay_seconds")["{}"]).toBeCloseTo(0.45, 2);
  });

  it("is known from the start", () => {
    const memory = new FakeMemory();
    memory.heap = 1;
    expect(setUp({ memory: {} }, memory).monitor.pressure).toBe(1);
  });

  it("reads this process when nobody says otherwise", () => {
    const config = {
      memory: { from: "1B", full: "2B" },
      priorities: {},
      defaultPriority: 0,
      retryAfter: "1s",
    };
    const sized = new OverloadMonitor(config, new FakeHost());
    onTestFinished(() => sized.close());
    expect(sized.pressure).toBe(1);
    for (const [limit, pressure] of [
      ["1KB", 1],
      ["1000GB", 0],
    ] as const) {
      const memory = { from: "90%", full: "95%", limit };
      const monitor = new OverloadMonitor({ ...config, memory }, new FakeHost());
      onTestFinished(() => monitor.close());
      expect(monitor.pressure).toBe(pressure);
    }
    const whole = new OverloadMonitor({ ...config, memory: { from: "90%", full: "95%" } }, new FakeHost());
    onTestFinished(() => whole.close());
    expect(whole.pressure).toBe(0);
  });
});

describe("shedding", () => {
  it("leaves everybody alone while there is no pressure", () => {
    const { isServed, host, press } = setUp({ memory: {} });
    host.random = () => 0;
    press(0);
    expect([isServed(), isServed("free")]).toEqual([true, true]);
  });

  it("sheds by chance: the share that the pressure and the tier's priority give", () => {
    const { isServed, host, press } = setUp({
      memory: {},
      priorities: { premium: 90, free: 20, always: 100 },
      defaultPriority: 10,
    });
    const shareOf = (tier?: string): number => {
      let shed = 0;
      for (let i = 0; i < 1000; i++) {
        host.random = () => i / 1000;
        if (!isServed(tier)) shed++;
      }
      return shed / 1000;
    };
    press(0.6);
    expect(shareOf("free")).toBeCloseTo(0.5, 2);
    expect(shareOf("premium")).toBe(0);
    expect(shareOf()).toBeCloseTo(5 / 9, 2);
    expect(shareOf("unheard-of")).toBeCloseTo(5 / 9, 2);
    expect(shareOf("constructor")).toBeCloseTo(5 / 9, 2);
    press(0.95);
    expect(shareOf("premium")).toBeCloseTo(0.5, 1);
    press(1);
    expect(["premium", "free", undefined].map(shareOf)).toEqual([1, 1, 1]);
    expect(shareOf("always")).toBe(0);
  });

  it("is for all without asking who it is, only when nobody has priority 100", () => {
    const shut = (options: object): boolean => {
      const { press, monitor } = setUp({ memory: {}, ...options });
      press(1);
      return monitor.isShut;
    };
    expect(shut({})).toBe(true);
    expect(shut({ priorities: { premium: 99 } })).toBe(true);
    expect(shut({ priorities: { premium: 100 } })).toBe(false);
    expect(shut({ defaultPriority: 100 })).toBe(false);
    const { press, monitor } = setUp({ memory: {} });
    press(0.9);
    expect(monitor.isShut).toBe(false);
  });

  it("answers 503 with Retry-After", () => {
    const { monitor, press } = setUp({ memory: {}, retryAfter: "2500ms" });
    press(1);
    expect(() => monitor.refuse()).toThrow(
      expect.objectContaining({ code: "OVERLOADED", status: 503, headers: ["retry-after", "3"] }),
    );
  });

  it("counts by tier and reason; tiers that are not configured have no label", () => {
    const { isServed, host, press, pass, memory } = setUp({
      memory: {},
      eventLoopDelay: {},
      priorities: { free: 5 },
    });
    press(1);
    for (const tier of ["free", "free", "mine", undefined]) expect(isServed(tier)).toBe(false);
    memory.heap = 0;
    pass(100, 900);
    expect(isServed()).toBe(false);
    expect(host.collected("sluice_shed_total")).toEqual({
      '{"tier":"free","reason":"memory"}': 2,
      '{"tier":"","reason":"memory"}': 2,
      '{"tier":"","reason":"event-loop-delay"}': 1,
    });
  });

  it("is logged when it begins and when it is over, not for each request", () => {
    const { isServed, host, press, pass, memory } = setUp({ memory: {} });
    press(1);
    expect(host.log.lines).toEqual([]);
    for (let i = 0; i < 5; i++) isServed();
    memory.heap = 0;
    pass(20);
    memory.heap = 1;
    pass(20);
    isServed();
    expect(host.log.lines.map(({ level, fields }) => [level, fields])).toEqual([
      ["warn", { reason: "memory", pressure: 1 }],
    ]);
    memory.heap = 0;
    pass(49);
    expect(host.log.lines).toHaveLength(1);
    pass(1);
    expect(host.log.lines[1]).toMatchObject({ level: "info", fields: { shed: 6 } });
    pass(100);
    expect(host.log.lines).toHaveLength(2);
  });
});

describe("the timer", () => {
  it("is one, does not keep the process, and ends with the monitor", () => {
    vi.useRealTimers();
    const timers: NodeJS.Timeout[] = [];
    const real = globalThis.setInterval;
    const spy = vi.spyOn(globalThis, "setInterval").mockImplementation(((run: () => void, ms: number) => {
      const timer = real(run, ms);
      timers.push(timer);
      return timer;
    }) as never);
    onTestFinished(() => spy.mockRestore());
    const host = new FakeHost();
    const config = {
      memory: { from: "80%", full: "95%" },
      priorities: {},
      defaultPriority: 0,
      retryAfter: "1s",
    };
    const monitor = new OverloadMonitor(config, host);
    expect(timers.map((timer) => timer.hasRef())).toEqual([false]);
    monitor.close();
    expect((timers[0] as unknown as { _destroyed: boolean })._destroyed).toBe(true);
    expect([...host.sources.values()].every(({ size }) => size === 0)).toBe(true);
  });
});
