import { afterEach, describe, expect, it, vi } from "vitest";
import { createSharedMemory, SharedMemory } from "../../../core/threads/shared-memory.ts";
import type { Purge } from "../../../plugins/cache/level.ts";
import { ThreadPurges } from "../../../plugins/cache/thread-purges.ts";
import { entryOf } from "../../support/cache-entries.ts";
import { FakeClock } from "../../support/harness.ts";

const tag = (value: string): Purge => ({ kind: "tag", value, soft: false });
const tagged = (version: number) => entryOf({ tags: ["a"], version });

const open: ThreadPurges[] = [];
afterEach(() => {
  for (const each of open.splice(0)) each.close();
});

/** The purges of a cache on threads; more may be opened later, in the place of one that ended. */
function openThreads(threads: number) {
  const clock = new FakeClock();
  const memory = createSharedMemory(threads, clock.monotonic(), clock.now());
  const openThread = (thread: number): ThreadPurges => {
    const purges = new ThreadPurges("cache:users:cache:", new SharedMemory(memory, thread), clock);
    open.push(purges);
    return purges;
  };
  return { openThread, all: Array.from({ length: threads }, (_, i) => openThread(i)) };
}

describe("the purges of a cache on all threads", () => {
  it("have the same numbers where all threads are told of them", () => {
    const [one, other] = openThreads(2).all;
    one!.apply(tag("a"), "first");
    one!.apply(tag("b"), "second");
    other!.apply(tag("a"), "first");
    expect([one!.table.version, other!.table.version]).toEqual([2, 1]);
    other!.apply(tag("b"), "second");
    expect(other!.table.version).toBe(2);
    expect(other!.table.stateOf(tagged(0))).toBe("gone");
    expect(other!.table.stateOf(tagged(1))).toBe("live");
  });

  it("go on when the thread is gone that was to number them", () => {
    const [one, other] = openThreads(2).all;
    const next = vi.spyOn(Atomics, "store").mockImplementationOnce(() => 0n); // as if it ended in between
    one!.apply(tag("a"), "first");
    expect(next).toHaveBeenCalledOnce();
    next.mockRestore();
    other!.apply(tag("a"), "first");
    expect(other!.table.stateOf(tagged(0))).toBe("gone");
  });

  it("reach the other threads where one is told of them", async () => {
    const [one, other] = openThreads(2).all;
    one!.spread(tag("a"));
    expect(one!.table.stateOf(tagged(0))).toBe("gone");
    await expect.poll(() => other!.table.stateOf(tagged(0))).toBe("gone");
    expect(other!.table.version).toBe(1);
  });

  it("are known up to a number only when all before it are, whatever the order they come in", () => {
    const [one, other] = openThreads(2).all;
    one!.apply(tag("x"), "first");
    one!.apply(tag("a"), "second");
    other!.apply(tag("a"), "second");
    expect(other!.table.version).toBe(0);
    other!.apply(tag("x"), "first");
    expect(other!.table.version).toBe(2);
  });

  it("that came before a thread was there concern nothing that it has", () => {
    const { openThread, all } = openThreads(2);
    all[0]!.apply(tag("a"), "first");
    all[1]!.close();
    const late = openThread(1);
    expect(late.table.version).toBe(1);
    all[0]!.apply(tag("a"), "second");
    late.apply(tag("a"), "second");
    expect(late.table.stateOf(tagged(1))).toBe("gone");
    expect(late.table.stateOf(tagged(2))).toBe("live");
  });

  it("go on above what a store has numbered", () => {
    const [one, other] = openThreads(2).all;
    one!.table.advance(1_700_000_000_000);
    one!.apply(tag("a"), "first");
    expect(one!.table.version).toBe(1_700_000_000_001);
    other!.apply(tag("a"), "first");
    expect(other!.table.stateOf(tagged(1_700_000_000_000))).toBe("gone");
  });
});
