import { describe, expect, it } from "vitest";
import { GradientLimit, type GradientOptions } from "../../../plugins/concurrency/gradient.ts";

const OPTIONS: GradientOptions = {
  min: 3,
  max: 1000,
  initial: 10,
  tolerance: 0.25,
  windowMs: 200,
  baselineMs: 60_000,
};

/** A small pseudo-random sequence, the same in every run. */
function sequence(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state / 2_147_483_648;
  };
}

/** An upstream of `capacity` workers that each take about `serviceMs`, behind a limit, with more clients than fit. */
class Simulation {
  capacity: number;
  serviceMs: number;
  clients: number;
  /** Share of exchanges that time out whatever the load. */
  failing = 0;
  /** Highest and lowest limit since it was last asked. */
  highest = 0;
  lowest = Number.POSITIVE_INFINITY;
  readonly limit: GradientLimit;
  #now = 0;
  #inFlight = 0;
  /** When each worker is free. */
  #workers: number[];
  readonly #ends: { at: number; startedAt: number }[] = [];
  readonly #random = sequence(7);
  readonly #spread: number;

  constructor(capacity: number, serviceMs: number, clients: number, options = OPTIONS, spread = 0.2) {
    this.capacity = capacity;
    this.serviceMs = serviceMs;
    this.clients = clients;
    this.#spread = spread;
    this.limit = new GradientLimit(options, () => 0.5);
    this.#workers = Array.from({ length: capacity }, () => 0);
  }

  /** Runs for a while. Clients ask again as soon as they may. */
  run(ms: number): void {
    const until = this.#now + ms;
    this.highest = 0;
    this.lowest = Number.POSITIVE_INFINITY;
    while (this.#now < until) {
      while (this.#inFlight < this.limit.limit && this.#inFlight < this.clients) this.#start();
      const { startedAt, at } = this.#ends.shift()!;
      this.#now = at;
      if (this.#random() < this.failing) this.limit.failed(this.#now, this.#inFlight);
      else this.limit.answered(startedAt, this.#now, this.#inFlight);
      this.#inFlight--;
      this.highest = Math.max(this.highest, this.limit.limit);
      this.lowest = Math.min(this.lowest, this.limit.limit);
    }
  }

  #start(): void {
    if (this.#workers.length !== this.capacity) {
      this.#workers.sort((a, b) => a - b).length = Math.min(this.capacity, this.#workers.length);
      while (this.#workers.length < this.capacity) this.#workers.push(this.#now);
    }
    let free = 0;
    for (const [i, at] of this.#workers.entries()) if (at < this.#workers[free]!) free = i;
    const service = this.serviceMs * (1 - this.#spread + 2 * this.#spread * this.#random());
    const at = Math.max(this.#now, this.#workers[free]!) + service;
    this.#workers[free] = at;
    const entry = { at, startedAt: this.#now };
    const place = this.#ends.findIndex((other) => other.at > at);
    this.#ends.splice(place === -1 ? this.#ends.length : place, 0, entry);
    this.#inFlight++;
    this.limit.entered(this.#inFlight);
  }
}

describe("the gradient limit", () => {
  it.each([
    [20, 50],
    [100, 10],
    [8, 200],
  ])("comes near what the upstream can take: %i at once, %i ms each", (capacity, serviceMs) => {
    const simulation = new Simulation(capacity, serviceMs, 2000);
    simulation.run(60_000);
    simulation.run(20_000);
    expect(simulation.highest).toBeLessThan(capacity * 2);
    expect(simulation.limit.limit).toBeGreaterThan(capacity * 0.8);
  });

  it("stays there for long, and not too far below while the baseline is measured", () => {
    const simulation = new Simulation(40, 25, 2000);
    simulation.run(60_000);
    simulation.run(300_000);
    expect(simulation.highest).toBeLessThan(80);
    expect(simulation.lowest).toBeGreaterThanOrEqual(20);
  });

  it("measures the baseline under light load", () => {
    const simulation = new Simulation(40, 25, 2000);
    simulation.run(200_000);
    expect(simulation.limit.baseline).toBeGreaterThan(20);
    expect(simulation.limit.baseline).toBeLessThan(30);
  });

  it("falls when the upstream can take less, and rises again when it can take more", () => {
    const simulation = new Simulation(100, 20, 2000);
    simulation.run(60_000);
    expect(simulation.limit.limit).toBeGreaterThan(80);
    simulation.capacity = 20;
    simulation.run(20_000);
    expect(simulation.limit.limit).toBeLessThan(45);
    simulation.capacity = 100;
    simulation.run(60_000);
    expect(simulation.limit.limit).toBeGreaterThan(80);
  });

  it("takes a latency that stays higher for normal in the end", () => {
    const simulation = new Simulation(50, 20, 2000, { ...OPTIONS, baselineMs: 1_000_000 });
    simulation.run(30_000);
    simulation.serviceMs = 100;
    simulation.run(10_000);
    expect(simulation.lowest).toBeLessThan(20);
    simulation.run(120_000);
    expect(simulation.limit.baseline).toBeGreaterThan(80);
    expect(simulation.limit.limit).toBeGreaterThan(40);
  });

  it("does not sink under a latency that varies within the tolerance", () => {
    const simulation = new Simulation(60, 20, 50, OPTIONS, 0.6);
    simulation.run(200_000);
    expect(simulation.limit.limit).toBeGreaterThan(40);
  });

  it("does not grow while hardly any of it is used", () => {
    const simulation = new Simulation(100, 20, 4);
    simulation.run(50_000);
    expect(simulation.limit.limit).toBe(OPTIONS.initial);
  });

  it("falls to `min` and not below when everything times out, and comes back", () => {
    const simulation = new Simulation(50, 20, 2000);
    simulation.run(30_000);
    simulation.failing = 1;
    simulation.run(20_000);
    expect([simulation.limit.limit, simulation.lowest]).toEqual([OPTIONS.min, OPTIONS.min]);
    simulation.failing = 0;
    simulation.run(60_000);
    expect(simulation.highest).toBeGreaterThan(40);
  });

  it("hardly minds a few failures", () => {
    const simulation = new Simulation(50, 20, 2000);
    simulation.failing = 0.01;
    simulation.run(100_000);
    expect(simulation.limit.limit).toBeGreaterThan(40);
  });

  it("never rises above `max`", () => {
    const simulation = new Simulation(100, 20, 2000, { ...OPTIONS, max: 60 });
    simulation.run(60_000);
    expect(simulation.highest).toBe(60);
  });

  it("judges by windows of at least the set length and twice the latency", () => {
    const limit = new GradientLimit(OPTIONS, () => 0.5);
    let now = 1000;
    const answer = (ms: number): void => {
      limit.entered(10);
      limit.answered(now - ms, now, 10);
    };
    for (let i = 0; i < 25; i++) answer(10);
    expect(limit.limit).toBe(10);
    for (let i = 0; i < 100; i++) answer(10);
    now = 1199;
    answer(10);
    expect(limit.limit).toBe(10);
    now = 1200;
    answer(150);
    expect(limit.limit).toBe(11);
    // The latency of that window is still 10 ms; this one rises, and so does the length of the next.
    now = 1400;
    for (let i = 0; i < 30; i++) answer(150);
    const shrunk = limit.limit;
    expect(shrunk).toBeLessThan(11);
    now = 1699;
    for (let i = 0; i < 30; i++) answer(150);
    expect(limit.limit).toBe(shrunk);
    now = 1700;
    answer(150);
    expect(limit.limit).toBeLessThan(shrunk);
  });
});
