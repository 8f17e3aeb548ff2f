import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { MemoryStore } from "../../../core/store/memory.ts";
import { FakeClock } from "../../support/harness.ts";

const KEYS = ["a", "b", "c", "d", "e", "f"];
/** What one entry with a key and a value of one letter takes. */
const SMALL = 162;

let clock: FakeClock;
beforeEach(() => {
  clock = new FakeClock();
});

/** What happens to a store, in plain data. */
type Step =
  | { do: "get" | "delete"; key: string }
  | { do: "set"; key: string; value: string; ttlMs?: number; ifAbsent: boolean; ifValue?: string }
  | { do: "incr"; key: string; by: number; ttlMs?: number }
  | { do: "wait"; ms: number }
  | { do: "sweep" };

const key = fc.constantFrom(...KEYS);
const ttlMs = fc.integer({ min: 1, max: 50 });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constantFrom("get" as const, "delete" as const), key }),
  fc.record(
    {
      do: fc.constant("set" as const),
      key,
      value: fc.constantFrom("x", "7", "-3", "y".repeat(50)),
      ttlMs,
      ifAbsent: fc.boolean(),
      ifValue: fc.constantFrom("x", "7"),
    },
    { requiredKeys: ["do", "key", "value", "ifAbsent"] },
  ),
  fc.record(
    { do: fc.constant("incr" as const), key, by: fc.integer({ min: -9, max: 9 }), ttlMs },
    { requiredKeys: ["do", "key", "by"] },
  ),
  fc.record({ do: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 30 }) }),
  fc.constant({ do: "sweep" as const }),
);

/** The same, as simply as can be: a list, and who was used last is at its end. */
class Model {
  entries: { key: string; value: string; until: number }[] = [];
  readonly #room: number;

  constructor(room: number) {
    this.#room = room;
  }

  static bytes({ key, value }: { key: string; value: string }): number {
    return SMALL - 2 + key.length + value.length;
  }

  take(step: Step, now: number): unknown {
    if (step.do === "wait") return undefined;
    if (step.do === "sweep") return void (this.entries = this.entries.filter(({ until }) => until > now));
    this.entries = this.entries.filter((entry) => entry.key !== step.key || entry.until > now);
    const old = this.entries.find((entry) => entry.key === step.key);
    const others = this.entries.filter((entry) => entry !== old);
    const until = (ttl: number | undefined): number => (ttl === undefined ? Infinity : now + ttl);
    switch (step.do) {
      case "get":
        if (old !== undefined) this.entries = [...others, old];
        return old?.value;
      case "delete":
        this.entries = others;
        return old !== undefined;
      case "set":
        if (step.ifAbsent && old !== undefined) return false;
        if (step.ifValue !== undefined && old?.value !== step.ifValue) return false;
        this.#put(others, { key: step.key, value: step.value, until: until(step.ttlMs) });
        return true;
      case "incr": {
        const sum = Number(old?.value ?? 0) + step.by;
        if (Number.isNaN(sum)) return "STORE_VALUE_INVALID";
        this.#put(others, { key: step.key, value: String(sum), until: old?.until ?? until(step.ttlMs) });
        return sum;
      }
    }
  }

  #put(others: Model["entries"], entry: Model["entries"][number]): void {
    this.entries = [...others, entry];
    while (this.bytes > this.#room) this.entries.shift();
  }

  get bytes(): number {
    return this.entries.reduce((sum, entry) => sum + Model.bytes(entry), 0);
  }
}

async function take(store: MemoryStore, step: Step): Promise<unknown> {
  const lifetime = "ttlMs" in step && step.ttlMs !== undefined ? { ttlMs: step.ttlMs } : {};
  switch (step.do) {
    case "get":
    case "delete":
      return store[step.do](step.key);
    case "set":
      return store.set(step.key, step.value, {
        ...lifetime,
        ifAbsent: step.ifAbsent,
        ...(step.ifValue === undefined ? {} : { ifValue: step.ifValue }),
      });
    case "incr":
      return store.incr(step.key, step.by, lifetime).catch((error: { code: string }) => error.code);
    case "wait":
      return clock.advance(step.ms);
    case "sweep":
      return store.sweep();
  }
}

describe("a store in memory", () => {
  it.each([1e6, 4 * SMALL])("does what a simple one does, with room for %d bytes", async (room) => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const store = new MemoryStore(room, clock);
        const model = new Model(room);
        for (const each of steps) {
          expect(await take(store, each)).toEqual(model.take(each, clock.monotonic()));
          expect([store.size, store.bytes]).toEqual([model.entries.length, model.bytes]);
        }
      }),
      { numRuns: 300 },
    );
  });

  it("lets go of what was used longest ago, and of no more than it must", async () => {
    const store = new MemoryStore(3 * SMALL, clock);
    for (const name of ["a", "b", "c"]) await store.set(name, "1");
    await store.get("a");
    await store.set("d", "1");
    expect(await Promise.all(["a", "b", "c", "d"].map((name) => store.get(name)))).toEqual([
      "1",
      undefined,
      "1",
      "1",
    ]);
    expect(store.bytes).toBe(3 * SMALL);
  });

  it("sweeps what nobody asks for any more, a part at a time", async () => {
    const store = new MemoryStore(1e9, clock);
    for (let i = 0; i < 12_000; i++) await store.set(`key ${i}`, "x", { ttlMs: i % 2 === 0 ? 10 : 1000 });
    clock.advance(10);
    const sizes = [1, 2, 3, 4].map(() => {
      store.sweep();
      return store.size;
    });
    expect(sizes[0]).toBe(9500);
    expect(sizes.at(-1)).toBe(6000);
    clock.advance(1000);
    for (let i = 0; i < 4; i++) store.sweep();
    expect([store.size, store.bytes]).toEqual([0, 0]);
  });
});
