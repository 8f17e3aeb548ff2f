import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Circuits, type CircuitsOptions } from "../../../plugins/breaker/circuits.ts";
import { Registry } from "../../../plugins/breaker/registry.ts";
import { FakeHost } from "../../support/harness.ts";

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

function create(options: Partial<CircuitsOptions> = {}, host = new FakeHost(), registry = createRegistry(host)) {
  const topicOf = (key: string) => ({ id: `key:${key}`, about: { key }, labels: { by: "key" } });
  const circuits = new Circuits(JSON.stringify(options), { ...OPTIONS, ...options }, topicOf, registry, host);
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
