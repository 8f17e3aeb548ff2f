import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { SharedCells, SharedState } from "../../../core/plugin.ts";
import { CellTable, type CellTableSize } from "../../../core/threads/cell-table.ts";
import { createSharedMemory, SharedMemory } from "../../../core/threads/shared-memory.ts";
import { Circuits, type CircuitsOptions } from "../../../plugins/breaker/circuits.ts";
import { collectCircuits, Registry } from "../../../plugins/breaker/registry.ts";
import { FakeHost } from "../../support/harness.ts";
import { NO_ROOM, KEPT_MS } from "./threads.ts";

const OPTIONS: CircuitsOptions = {
  errorRate: 0.5,
  slowCallRate: 0.5,
  minRequests: 1,
  withinMs: 10_000,
  consecutiveFailures: 1,
  openForMs: 1000,
  maxOpenForMs: 1000,
  halfOpen: 1,
  recoveryMs: 0,
  keys: 3,
};

const createRegistry = ({ shared, clock }: FakeHost): Registry => new Registry(shared.counters, clock);

function create(
  options: Partial<CircuitsOptions> = {},
  host = new FakeHost(),
  registry = createRegistry(host),
) {
  const topicOf = (key: string) => ({ id: `key:${key}`, about: { key }, labels: { by: "key" } });
  const identity = JSON.stringify({ ...options, keys: undefined });
  const circuits = new Circuits(identity, { ...OPTIONS, ...options }, topicOf, registry, host);
  circuits.attach(host);
  const open = (key: string): void => {
    const { circuit } = circuits.get(key);
    circuit.settle(circuit.admit(), "failure", host.clock.monotonic());
  };
  return {
    circuits,
    host,
    registry,
    open,
    shown: () => [...host.exposed.keys()].map((id) => id.split(":")[1]),
  };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("circuits", () => {
  it("are the same for the same key", () => {
    const { circuits } = create();
    expect(circuits.get("a")).toBe(circuits.get("a"));
    expect(circuits.get("a")).not.toBe(circuits.get("b"));
  });

  it("are at most so many; those not used for long make room", () => {
    const { circuits, shown } = create();
    for (const key of ["a", "b", "c", "d"]) circuits.get(key); // all were used: the first one goes
    expect(shown()).toEqual(["b", "c", "d"]);
    circuits.get("b");
    circuits.get("e");
    expect(shown()).toEqual(["b", "d", "e"]);
    expect(circuits.size).toBe(3);
  });

  it("that are open stay when a closed one can go", () => {
    const { circuits, open, shown } = create();
    open("a");
    for (const key of ["b", "c", "d", "e", "f", "g"]) circuits.get(key);
    expect(shown()).toContain("a");
    expect(circuits.get("a").circuit.state).toBe("open");
  });

  it("that are open make room when all are, and leave no timer", () => {
    const { circuits, open } = create();
    for (const key of ["a", "b", "c", "d", "e"]) open(key);
    expect(circuits.size).toBe(3);
    expect(vi.getTimerCount()).toBe(3);
    circuits.close();
    expect([circuits.size, vi.getTimerCount()]).toEqual([0, 0]);
  });

  it("that make room leave no counts behind, as those of targets that are gone", () => {
    const host = new FakeHost();
    const registry = createRegistry(host);
    const topicOf = (key: string) => ({ id: key, about: {}, labels: { target: key } });
    const circuits = new Circuits("", { ...OPTIONS, keys: 1 }, topicOf, registry, host);
    const { series } = circuits.get("a");
    expect(registry.series({ target: "a" })).toBe(series);
    circuits.get("b");
    expect(registry.series({ target: "a" })).not.toBe(series);
  });

  it("go on counting together under labels that they share, whichever goes", () => {
    const { circuits, open } = create({ keys: 1 });
    open("a");
    open("b");
    expect(circuits.get("b").series.transitions.open).toBe(2);
    circuits.close();
  });

  it("go on counting with other options, unless nobody did for minutes", () => {
    const { host, registry, circuits, open } = create();
    open("a");
    circuits.close();
    const opened = (): number => registry.series({ by: "key" }).transitions.open;
    const change = (options: Partial<CircuitsOptions>): Circuits => create(options, host, registry).circuits;
    host.clock.advance(599_000);
    change({ openForMs: 1 }).close();
    expect(opened()).toBe(1);
    host.clock.advance(599_000);
    change({ openForMs: 2 }).close();
    host.clock.advance(600_000);
    const used = change({ openForMs: 3 });
    used.get("a");
    change({ openForMs: 4 }).close();
    expect(opened()).toBe(1);
    used.close();
    host.clock.advance(600_000);
    change({ openForMs: 5 }).close();
    expect(opened()).toBe(0);
  });

  it("that were forced are so again when they come back", () => {
    const { circuits, host } = create({ keys: 1 });
    circuits.get("a");
    host.exposed.get("circuit-breakers/key:a")!.change!({ force: "open" });
    circuits.get("b");
    expect(host.exposed.has("circuit-breakers/key:a")).toBe(false);
    expect(circuits.get("a").circuit.state).toBe("open");
  });

  it("of one subject with different options are shown as one, the worst first, and forced together", () => {
    const host = new FakeHost();
    const registry = createRegistry(host);
    const one = create({}, host, registry);
    const two = create({ consecutiveFailures: 5, minRequests: 50 }, host, registry);
    one.open("a");
    two.open("a");
    const shown = host.exposed.get("circuit-breakers/key:a")!;
    expect(shown.describe()).toMatchObject({
      id: "key:a",
      state: "open",
      others: [{ state: "closed", failures: 1 }],
    });
    shown.change!({ force: "closed" });
    expect(one.circuits.get("a").circuit.state).toBe("closed");
    one.circuits.close();
    expect(shown.describe()).not.toHaveProperty("others");
    expect(shown.describe()).toMatchObject({ forced: "closed" });
  });

  it("are shown by each generation that has them, as long as it lives", async () => {
    const { circuits, host } = create();
    circuits.get("a");
    const next = new FakeHost();
    circuits.attach(next);
    circuits.get("b");
    expect([...next.exposed.keys()]).toEqual(["circuit-breakers/key:a", "circuit-breakers/key:b"]);
    for (const close of host.closers) await close();
    circuits.get("c");
    expect(host.exposed.has("circuit-breakers/key:c")).toBe(false);
    expect(next.exposed.has("circuit-breakers/key:c")).toBe(true);
    expect(circuits.host).toBe(next);
  });

  it("go back to the older generation's log when the newer one is thrown away", async () => {
    const { circuits, host } = create();
    const refused = new FakeHost();
    circuits.attach(refused);
    for (const close of refused.closers) await close();
    expect(circuits.host).toBe(host);
  });
});

/** Hosts of two threads of a gateway. */
function twoHosts(change: (shared: SharedState) => Partial<SharedState> = () => ({})): [FakeHost, FakeHost] {
  const [a, b] = [new FakeHost(), new FakeHost()];
  b.clock = a.clock;
  const handle = createSharedMemory(2, a.clock.monotonic());
  for (const [thread, host] of [a, b].entries()) {
    const shared = new SharedMemory(handle, thread);
    host.shared = Object.assign(shared, change(shared));
  }
  return [a, b];
}

describe("circuits of several threads", () => {
  const states = (key: string, ...all: { circuits: Circuits }[]) =>
    all.map(({ circuits }) => circuits.get(key).circuit.state);

  it("are the same for the same key and options, and no others", () => {
    const [hostA, hostB] = twoHosts();
    const [a, b, other] = [create({}, hostA), create({}, hostB), create({ minRequests: 2 }, hostB)];
    a.open("a");
    expect(states("a", a, b, other)).toEqual(["open", "open", "closed"]);
    expect(states("b", a, b)).toEqual(["closed", "closed"]);
  });

  it("come back as they were when a thread had no room for them", () => {
    const [hostA, hostB] = twoHosts();
    const [a, b] = [create({ keys: 1 }, hostA), create({}, hostB)];
    a.open("a");
    a.circuits.get("b");
    expect(states("a", a, b)).toEqual(["open", "open"]);
  });

  it("are forced and let go of by an operator also where they are met later, and by other options", () => {
    const [hostA, hostB] = twoHosts();
    const a = create({}, hostA);
    a.circuits.get("a");
    const change = (force: string | null): void =>
      hostA.exposed.get("circuit-breakers/key:a")!.change!({ force });
    change("open");
    const [b, other] = [create({}, hostB), create({ minRequests: 2 }, hostB)];
    expect(states("a", a, b, other)).toEqual(["open", "open", "open"]);
    b.circuits.close();
    other.circuits.close();
    change(null);
    expect(states("a", create({}, hostB), create({ minRequests: 2 }, hostB))).toEqual(["closed", "closed"]);
  });

  it("say of each change on the thread that made it", () => {
    const [hostA, hostB] = twoHosts();
    const [a, b] = [create({}, hostA), create({}, hostB)];
    b.circuits.get("a");
    a.open("a");
    hostA.clock.advance(1000);
    vi.advanceTimersByTime(1000);
    const { circuit } = b.circuits.get("a");
    circuit.settle(circuit.admit(), "success", hostB.clock.monotonic());
    const said = (host: FakeHost): string[] => host.log.lines.map(({ message }) => message);
    expect([said(hostA), said(hostB)]).toEqual([
      ["circuit opened", "circuit is half-open"],
      ["circuit closed"],
    ]);
    const transitions = [a, b].map(({ circuits }) => circuits.get("a").series.transitions);
    expect(transitions).toEqual([
      { open: 1, "half-open": 1, closed: 0 },
      { open: 0, "half-open": 0, closed: 1 },
    ]);
  });

  it("are counted in metrics once each, whichever threads have met them", () => {
    const [hostA, hostB] = twoHosts();
    const [a, b] = [create({}, hostA), create({}, hostB)];
    for (const { circuits, host } of [a, b]) {
      collectCircuits(host.metrics, () => circuits.seriesFor(host));
    }
    for (const key of ["a", "b"]) a.circuits.get(key);
    for (const key of ["b", "c"]) b.circuits.get(key);
    a.open("b");
    const counted = (state: string): number[] =>
      [hostA, hostB].map((host) => host.collected("sluice_circuits")[`{"by":"key","state":"${state}"}`]!);
    expect([counted("open"), counted("closed")]).toEqual([
      [1, 0],
      [1, 1],
    ]);
    const worst = [hostA, hostB].map((host) => Object.values(host.collected("sluice_circuit_state")));
    expect(worst).toEqual([[2], [2]]);
  });

  describe("without room in the memory that they share", () => {
    it("are each thread's own, which is said once", () => {
      const [hostA, hostB] = twoHosts(() => ({ circuits: NO_ROOM, counters: NO_ROOM }));
      const [a, b] = [create({}, hostA), create({}, hostB)];
      for (const key of ["a", "b"]) a.open(key);
      expect(states("a", a, b)).toEqual(["open", "closed"]);
      const warnings = hostA.log.lines.filter(({ message }) => message.startsWith("there are more circuits"));
      expect(warnings).toHaveLength(1);
    });

    it("are forced on the threads that are told to, also when they come back", () => {
      const [hostA, hostB] = twoHosts(() => ({ circuits: NO_ROOM, counters: NO_ROOM }));
      const [a, b] = [create({ keys: 1 }, hostA), create({}, hostB)];
      for (const { circuits, host } of [a, b]) {
        circuits.get("a");
        host.exposed.get("circuit-breakers/key:a")!.change!({ force: "open" });
      }
      a.circuits.get("b");
      expect(states("a", a, b)).toEqual(["open", "open"]);
    });

    it("stay forced for all when a thread meets them that has not heard of it", () => {
      const [hostA, hostB] = twoHosts(() => ({ counters: NO_ROOM }));
      const [a, b] = [create({}, hostA), create({}, hostB)];
      a.circuits.get("a");
      hostA.exposed.get("circuit-breakers/key:a")!.change!({ force: "open" });
      expect(states("a", b, a)).toEqual(["open", "open"]);
    });

    it("say nothing when there is one thread", () => {
      const [host] = twoHosts(() => ({ circuits: NO_ROOM, threads: 1 }));
      create({}, host).circuits.get("a");
      expect(host.log.lines).toEqual([]);
    });

    it("are shared as soon as there is room and they are closed", () => {
      let isFull = true;
      const full = ({ circuits }: SharedState): SharedCells => ({
        ...NO_ROOM,
        words: circuits.words,
        doubles: circuits.doubles,
        locate: (...args) => (isFull ? -1 : circuits.locate(...args)),
      });
      const [hostA, hostB] = twoHosts((shared) => ({ circuits: full(shared) }));
      const [a, b] = [create({}, hostA), create({}, hostB)];
      a.circuits.get("a");
      a.open("b");
      isFull = false;
      b.open("a");
      expect(states("a", a)).toEqual(["closed"]);
      hostA.clock.advance(KEPT_MS);
      expect(states("a", a)).toEqual(["half-open"]);
      expect(states("b", a, b)).toEqual(["half-open", "closed"]);
    });
  });

  describe("when others need the room", () => {
    /** Hosts with little memory, and a function that others fill it with. */
    const crowded = () => {
      const small = (size: CellTableSize): ((thread: number) => CellTable) => {
        const memory = CellTable.create(size, 2, new FakeHost().clock.monotonic());
        return (thread) => new CellTable(memory, size, 2, thread);
      };
      const circuitsOf = small({ capacity: 32, cellWords: 64 });
      const countersOf = small({ capacity: 32, cellWords: 4 });
      const hosts = twoHosts(({ thread }) => ({
        circuits: circuitsOf(thread),
        counters: countersOf(thread),
      }));
      const { circuits, counters } = hosts[0].shared;
      /** Gives the cells that others got. */
      const crowd = (): number[] => {
        const now = hosts[0].clock.monotonic();
        return Array.from({ length: 64 }, (_, i) => {
          counters.locate(`other ${i}`, 1000, now);
          return circuits.locate(`other ${i}`, 1000, now);
        }).filter((at) => at !== -1);
      };
      return { hosts, crowd, words: circuits.words };
    };

    it("are forgotten if nobody used them for long, but not what is forced", () => {
      const { hosts, crowd, words } = crowded();
      const [host, other] = hosts;
      const made = create({ consecutiveFailures: 2, minRequests: 9 }, host);
      made.open("a");
      made.circuits.get("b");
      host.exposed.get("circuit-breakers/key:b")!.change!({ force: "open" });
      host.clock.advance(10 * KEPT_MS);
      const others = crowd();
      expect(others).toHaveLength(32);
      made.open("a");
      expect(states("a", made)).toEqual(["closed"]);
      expect(states("b", made, create({}, other))).toEqual(["open", "open"]);
      expect(others.filter((at) => words.subarray(at, at + 64).some((word) => word !== 0))).toEqual([]);
    });

    it("stay as long as they are open", () => {
      const { hosts, crowd } = crowded();
      const options = { openForMs: 100_000, maxOpenForMs: 100_000 };
      create(options, hosts[0]).open("a");
      hosts[0].clock.advance(99_999);
      expect(crowd()).toHaveLength(31);
      expect(states("a", create(options, hosts[1]))).toEqual(["open"]);
    });
  });
});
