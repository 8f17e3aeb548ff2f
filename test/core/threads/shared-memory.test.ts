import { describe, expect, it } from "vitest";
import { createSharedMemory, SharedMemory } from "../../../core/threads/shared-memory.ts";

function open(threads: number) {
  const handle = createSharedMemory(threads, 0);
  return Array.from({ length: threads + 1 }, (_, thread) => new SharedMemory(handle, thread));
}

describe("memory that threads share", () => {
  it("has tables in which all find the same cells", () => {
    const [a, b] = open(2);
    for (const table of ["counters", "circuits", "holdings", "limits", "logs", "directory"] as const) {
      const cell = a![table].locate("key", 1000, 0);
      Atomics.add(a![table].words, cell, 1);
      expect([b![table].locate("key", 1000, 0), b![table].words[cell]]).toEqual([cell, 1]);
    }
  });

  it("has one offset of its clock from UTC", () => {
    const handle = createSharedMemory(1, 1000.25, 1_700_000_000_000);
    expect(new SharedMemory(handle, 1).utcOffsetMs).toBe(1_699_999_999_000);
  });

  it("forgets what a thread held when it has ended, and nothing else, and wakes the others", async () => {
    const [a, b, control] = open(2);
    const cells = Array.from({ length: 100 }, (_, i) => a!.holdings.locate(`key ${i}`, 1000, 0));
    for (const cell of cells) a!.holdings.words.set([1, 2, 3, 4], cell);
    const counter = a!.counters.locate("key", 1000, 0);
    a!.counters.words[counter] = 5;
    const rung = a!.rung();
    control!.forgetThread(1);
    await rung;
    for (const cell of cells) {
      expect([...b!.holdings.words.slice(cell, cell + 4)]).toEqual([1, 2, 0, 0]);
    }
    expect(b!.counters.words[counter]).toBe(5);
  });

  it("wakes a thread that waits, however often it was rung for, and no other", async () => {
    const [a, b] = open(2);
    b!.ring(0);
    let woken = 0;
    const wait = (memory: SharedMemory): Promise<void> => memory.rung().then(() => void woken++);
    const all = [wait(a!), wait(a!)];
    void wait(b!);
    b!.ring(0);
    b!.ring(0);
    await Promise.all(all);
    expect(woken).toBe(2);
    const again = wait(a!);
    b!.ring(0);
    await again;
    expect(woken).toBe(3);
  });
});
