import { afterEach, describe, expect, it, vi } from "vitest";
import { HeaderList } from "../../../core/headers.ts";
import { createSharedMemory, SharedMemory } from "../../../core/threads/shared-memory.ts";
import type { Entry } from "../../../plugins/cache/entry.ts";
import { type Holder, Neighbours } from "../../../plugins/cache/neighbours.ts";
import { entryOf } from "../../support/cache-entries.ts";
import { FakeClock } from "../../support/harness.ts";

const NO_HEADERS = new HeaderList();

const entry = (text: string): Entry => entryOf({ key: "k", body: Buffer.from(text) });

const open: Neighbours[] = [];
afterEach(() => {
  vi.useRealTimers();
  for (const each of open.splice(0)) each.close();
});

/** What the caches of as many threads have, by key; a promise is on its way. */
function openThreads(threads: number, waitMs = 1000) {
  const clock = new FakeClock();
  const memory = createSharedMemory(threads, clock.monotonic(), clock.now());
  return Array.from({ length: threads }, (_, thread) => {
    const has = new Map<string, Entry | Promise<Entry | undefined>>();
    const asked: string[] = [];
    const holder: Holder = {
      lookUp(key, headers) {
        asked.push(`${key} ${headers.get("accept") ?? "-"}`);
        return has.get(key);
      },
      replace: (_entry, same) => void has.set(same.key, same),
      drop: (key) => void has.delete(key),
    };
    const shared = new SharedMemory(memory, thread);
    const neighbours = new Neighbours("cache test", shared, clock, holder, waitMs);
    open.push(neighbours);
    return { has, asked, neighbours };
  });
}

describe("the other threads", () => {
  it("are not asked for what nobody has: the first who needs it is written down", () => {
    const [a] = openThreads(2);
    expect(a!.neighbours.find("k", NO_HEADERS)).toBeUndefined();
    expect(a!.neighbours.find("k", NO_HEADERS)).toBeUndefined();
  });

  it("give what they have, with the request's headers to choose by", async () => {
    const [a, b] = openThreads(2);
    a!.neighbours.find("k", NO_HEADERS);
    a!.has.set("k", entry("hello"));
    const found = await b!.neighbours.find("k", new HeaderList(["accept", "text/html"]));
    expect(a!.asked).toEqual(["k text/html"]);
    expect(found).toEqual(entry("hello"));
    expect(found!.body).toBeInstanceOf(Buffer);
  });

  it("have the bytes of a body in common afterwards", async () => {
    const [a, b] = openThreads(2);
    a!.neighbours.find("k", NO_HEADERS);
    a!.has.set("k", entry("hello"));
    const found = await b!.neighbours.find("k", NO_HEADERS);
    const kept = a!.has.get("k") as Entry;
    kept.body[0] = "j".charCodeAt(0);
    expect(found!.body.toString()).toBe("jello");
  });

  it("are waited for while they fetch", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const [a, b] = openThreads(2);
    a!.neighbours.find("k", NO_HEADERS);
    const { promise, resolve } = Promise.withResolvers<Entry>();
    a!.has.set("k", promise);
    const found = b!.neighbours.find("k", NO_HEADERS);
    a!.neighbours.find("other", NO_HEADERS);
    a!.has.set("other", entry("at hand"));
    await b!.neighbours.find("other", NO_HEADERS); // what came before has been heard, too
    vi.advanceTimersByTime(900); // longer than silence, shorter than the wait
    resolve(entry("late"));
    expect((await found)!.body.toString()).toBe("late");
  });

  it("are not waited for longer than allowed", async () => {
    const [a, b] = openThreads(2, 1);
    a!.neighbours.find("k", NO_HEADERS);
    a!.has.set("k", new Promise(() => {}));
    expect(await b!.neighbours.find("k", NO_HEADERS)).toBeUndefined();
  });

  it("drop what one of them says is out of date, and nobody is written down for it", async () => {
    const [a, b] = openThreads(2);
    a!.neighbours.find("k", NO_HEADERS);
    a!.neighbours.find("other", NO_HEADERS);
    a!.has.set("k", entry("old"));
    b!.neighbours.drop("k");
    expect(b!.neighbours.find("k", NO_HEADERS)).toBeUndefined();
    await b!.neighbours.find("other", NO_HEADERS); // what came before has been heard, too
    expect(a!.has.has("k")).toBe(false);
  });

  it("are no longer asked when they had nothing: who asked is written down", async () => {
    const [a, b, c] = openThreads(3);
    a!.neighbours.find("k", NO_HEADERS);
    expect(await b!.neighbours.find("k", NO_HEADERS)).toBeUndefined();
    b!.has.set("k", entry("b's"));
    expect((await c!.neighbours.find("k", NO_HEADERS))!.body.toString()).toBe("b's");
    expect(a!.asked).toHaveLength(1);
  });

  it("are asked by whoever had it before, once one has a newer entry", async () => {
    const [a, b] = openThreads(2);
    a!.neighbours.find("k", NO_HEADERS);
    b!.has.set("k", entry("newer"));
    b!.neighbours.claim("k");
    expect((await a!.neighbours.find("k", NO_HEADERS))!.body.toString()).toBe("newer");
  });

  it("are not asked for what came to nothing", () => {
    const [a, b] = openThreads(2);
    a!.neighbours.find("k", NO_HEADERS);
    a!.neighbours.release("k");
    expect(b!.neighbours.find("k", NO_HEADERS)).toBeUndefined();
    expect(a!.asked).toEqual([]);
  });

  it("that are gone hold nobody up for long", async () => {
    const [a, b] = openThreads(2);
    a!.neighbours.find("k", NO_HEADERS);
    a!.neighbours.close();
    expect(await b!.neighbours.find("k", NO_HEADERS)).toBeUndefined();
    expect(b!.neighbours.find("k", NO_HEADERS)).toBeUndefined();
  });

  it("answer with nothing when what was under way fails", async () => {
    const [a, b] = openThreads(2);
    a!.neighbours.find("k", NO_HEADERS);
    const failing = Promise.reject(new Error("upstream"));
    failing.catch(() => {});
    a!.has.set("k", failing);
    expect(await b!.neighbours.find("k", NO_HEADERS)).toBeUndefined();
  });

  it("are of no concern where there is one thread", () => {
    const [a] = openThreads(1);
    a!.neighbours.claim("k");
    a!.neighbours.release("k");
    expect(a!.neighbours.find("k", NO_HEADERS)).toBeUndefined();
  });
});
