import { expect, it } from "vitest";
import { createSharedMemory, SharedMemory } from "../../../core/threads/shared-memory.ts";
import { MOST_AT_ONCE, Turns } from "../../../plugins/auth/turns.ts";
import { FakeClock } from "../../support/harness.ts";

const THREADS = 4;

/** The turns of all threads, and a clock that they have. */
function turnsOfThreads(): Turns[] {
  const clock = new FakeClock();
  const memory = createSharedMemory(THREADS, clock.monotonic(), clock.now());
  return Array.from({ length: THREADS }, (_, i) => new Turns({ shared: new SharedMemory(memory, i), clock }));
}

const oneTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

it("has few work at once in all threads together, and all of them in the end", async () => {
  let atOnce = 0;
  let most = 0;
  const work = async (): Promise<void> => {
    most = Math.max(most, ++atOnce);
    await oneTurn();
    atOnce--;
  };
  const threads = turnsOfThreads();
  await Promise.all(threads.flatMap((turns) => [1, 2, 3].map(() => turns.run(work))));
  expect(most).toBe(MOST_AT_ONCE);
  // Nobody waits any more, so nobody is waited for.
  const last = threads[0]!.run(work);
  expect(atOnce).toBe(1);
  await last;
});

it("lets other threads go first after each turn", async () => {
  const [busy, busyToo, other] = turnsOfThreads() as [Turns, Turns, Turns];
  let isDone = false;
  const flood = async (turns: Turns): Promise<void> => {
    while (!isDone) await turns.run(oneTurn);
  };
  const floods = [flood(busy), flood(busyToo)];
  await other.run(oneTurn);
  isDone = true;
  await Promise.all(floods);
});

it("has one work at a time in each thread where there is no room to agree", async () => {
  const shared = new SharedMemory(createSharedMemory(THREADS), 0);
  Object.assign(shared.holdings, { locate: () => -1 });
  const turns = new Turns({ shared, clock: new FakeClock() });
  const order: string[] = [];
  const work = (name: string) => async (): Promise<void> => {
    order.push(`${name} begins`);
    await oneTurn();
    order.push(`${name} ends`);
  };
  await Promise.all([turns.run(work("first")), turns.run(work("second"))]);
  expect(order).toEqual(["first begins", "first ends", "second begins", "second ends"]);
});

it("gives a turn back when the work fails", async () => {
  const turns = turnsOfThreads();
  const fail = (): Promise<never> => Promise.reject(new Error("broken"));
  for (let i = 0; i <= MOST_AT_ONCE; i++) await expect(turns[0]!.run(fail)).rejects.toThrow("broken");
  expect(await turns[1]!.run(async () => "done")).toBe("done");
});
