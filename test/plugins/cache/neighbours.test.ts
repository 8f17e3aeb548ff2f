import { afterEach, describe, expect, it, vi } from "vitest";
import { HeaderList } from "../../../core/headers.ts";
import { createSharedMemory, SharedMemory } from "../../../core/threads/shared-memory.ts";
import type { Entry } from "../../../plugins/cache/entry.ts";
import { type Held, type Holder, Neighbours } from "../../../plugins/cache/neighbours.ts";
import { entryOf } from "../../support/cache-entries.ts";
import { FakeClock } from "../../support/harness.ts";

const NO_HEADERS = new HeaderList();
const WAIT_MS = 1000;
const always = (): boolean => true;

const entry = (text: string): Entry => entryOf({ key: "k", body: Buffer.from(text) });
const textOf = (held: Held): string => (held as Entry).body.toString();

const open: Neighbours[] = [];
afterEach(() => {
  vi.useRealTimers();
  for (const each of open.splice(0)) each.close();
});

/** What the caches of as many threads have, by key; a promise is on its way. */
function openThreads(threads: number) {
  const clock = new FakeClock();
  const memory = createSharedMemory(threads, clock.monotonic(), clock.now());
  return Array.from({ length: threads }, (_, thread) => {
    const has = new Map<string, Held | Promise<Entry | undefined>>();
    const asked: string[] = [];
    const holder: Holder = {
      lookUp(key, headers) {
        asked.push(`${key} ${headers.get("accept") ?? "-"}`);
        return has.get(key);
      },
      replace: (_entry, same) => void has.set(same.key, same),
      drop: (key, url) => void has.delete(url ?? key),
    };
    const shared = new SharedMemory(memory, thread);
    const neighbours = new Neighbours("cache test", shared, clock, holder);
    open.push(neighbours);
    /** What the control thread does when a thread has ended. */
    const end = (): void => new SharedMemory(memory, threads).forgetThread(thread);
    return { has, asked, neighbours, end };
  });
}

describe("the other threads", () => {
  it("are not asked for what nobody has: the first who needs it is written down", () => {
    const [a] = openThreads(2);
    expect(a!.neighbours.find("k", NO_HEADERS, WAIT_MS, always)).toBeUndefined();
    expect(a!.neighbours.find("k", NO_HEADERS, WAIT_MS, always)).toBeUndefined();
  });

  it("give what they have, with the request's headers to choose by", async () => {
    const [a, b] = openThreads(2);
    a!.neighbours.find("k", NO_HEADERS, WAIT_MS, always);
    a!.has.set("k", entry("hello"));
    const found = await b!.neighbours.find("k", new HeaderList(["accept", "text/html"]), WAIT_MS, always);
    expect(a!.asked).toEqual(["k text/html"]);
    expect(found).toEqual(entry("hello"));
    expect((found as Entry).body).toBeInstanceOf(Buffer);
  });

  it("have the bytes of a body in common afterwards", async () => {
    const [a, b] = openThreads(2);
    a!.neighbours.find("k", NO_HEADERS, WAIT_MS, always);
    a!.has.set("k", entry("hello"));
    const found = await b!.neighbours.find("k", NO_HEADERS, WAIT_MS, always);
    const kept = a!.has.get("k") as Entry;
    kept.body[0] = "j".charCodeAt(0);
    expect(textOf(found)).toBe("jello");
  });

  it("are waited for while they fetch", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const [a, b] = openThreads(2);
    a!.neighbours.find("k", NO_HEADERS, WAIT_MS, always);
    const { promise, resolve } = Promise.withResolvers<Entry>();
    a!.has.set("k", promise);
    const found = b!.neighbours.find("k", NO_HEADERS, WAIT_MS, always);
    a!.neighbours.find("other", NO_HEADERS, WAIT_MS, always);
    a!.has.set("other", entry("at hand"));
    await b!.neighbours.find("other", NO_HEADERS, WAIT_MS, always); // what came before has been heard, too
    vi.advanceTimersByTime(900); // longer than silence, shorter than the wait
    resolve(entry("late"));
    expect(textOf(await found)).toBe("late");
  });

  it("are not waited for longer than allowed", async () => {
    const [a, b] = openThreads(2);
    a!.neighbours.find("k", NO_HEADERS, WAIT_MS, always);
    a!.has.set("k", new Promise(() => {}));
    expect(await b!.neighbours.find("k", NO_HEADERS, 1, always)).toBeUndefined();
  });

  it("that end while they fetch are not waited for", async () => {
    const [a, b, c] = openThreads(3);
    a!.neighbours.find("k", NO_HEADERS, WAIT_MS, always);
    a!.has.set("k", new Promise(() => {}));
    const found = [b!, c!].map(({ neighbours }) => neighbours.find("k", NO_HEADERS, 60_000, always));
    await expect.poll(() => a!.asked).toHaveLength(2);
    a!.neighbours.close();
    a!.end();
    expect(await Promise.race(found)).toBeUndefined(); // whoever is first is to fetch it
    b!.has.set("k", entry("anew"));
    c!.has.set("k", entry("anew"));
    const [ours, theirs] = await Promise.all(found);
    expect(textOf(ours ?? theirs)).toBe("anew");
  });

  it("drop what one of them says is out of date, and nobody is written down for it", async () => {
    const [a, b] = openThreads(2);
    a!.neighbours.find("k", NO_HEADERS, WAIT_MS, always);
    a!.neighbours.find("other", NO_HEADERS, WAIT_MS, always);
    a!.has.set("k", entry("old"));
    b!.neighbours.drop("k");
    expect(b!.neighbours.find("k", NO_HEADERS, WAIT_MS, always)).toBeUndefined();
    await b!.neighbours.find("other", NO_HEADERS, WAIT_MS, always); // what came before has been heard, too
    expect(a!.has.has("k")).toBe(false);
  });

  it("drop all that they have of a URL that one of them says was changed", async () => {
    const [a, b] = openThreads(2);
    a!.neighbours.find("other", NO_HEADERS, WAIT_MS, always);
    a!.has.set("example.com/a", entry("old"));
    b!.neighbours.drop("k", "example.com/a");
    await b!.neighbours.find("other", NO_HEADERS, WAIT_MS, always);
    expect(a!.has.size).toBe(0);
  });

  it("are no longer asked when they had nothing: who asked is written down", async () => {
    const [a, b, c] = openThreads(3);
    a!.neighbours.find("k", NO_HEADERS, WAIT_MS, always);
    expect(await b!.neighbours.find("k", NO_HEADERS, WAIT_MS, always)).toBeUndefined();
    b!.has.set("k", entry("b's"));
    expect(textOf(await c!.neighbours.find("k", NO_HEADERS, WAIT_MS, always))).toBe("b's");
    expect(a!.asked).toHaveLength(1);
  });

  it("are not waited for one after the other, when what the first fetches is for itself only", async () => {
    const [a, b, c, d] = openThreads(4);
    a!.neighbours.find("k", NO_HEADERS, WAIT_MS, always);
    const fetching = Promise.withResolvers<Entry | undefined>();
    a!.has.set("k", fetching.promise);
    for (const thread of [b, c, d]) thread!.has.set("k", new Promise(() => {}));
    const finding = [b, c, d].map((thread) =>
      thread!.neighbours.find("k", NO_HEADERS, Number.POSITIVE_INFINITY, always),
    );
    await vi.waitFor(() => expect(a!.asked).toHaveLength(3));
    fetching.resolve(undefined);
    expect(await Promise.all(finding)).toEqual([undefined, undefined, undefined]);
    expect([b, c, d].map((thread) => thread!.asked)).toEqual([[], [], []]);
  });

  it("are asked by whoever had it before, once one has a newer entry", async () => {
    const [a, b] = openThreads(2);
    a!.neighbours.find("k", NO_HEADERS, WAIT_MS, always);
    b!.has.set("k", entry("newer"));
    b!.neighbours.claim("k");
    expect(textOf(await a!.neighbours.find("k", NO_HEADERS, WAIT_MS, always))).toBe("newer");
  });

  it("say when what they have is for other requests, unless one has what is wanted", async () => {
    const [a, b, c] = openThreads(3);
    a!.neighbours.find("k", NO_HEADERS, WAIT_MS, always);
    a!.has.set("k", "others");
    expect(await b!.neighbours.find("k", NO_HEADERS, WAIT_MS, always)).toBe("others");
    expect(await c!.neighbours.find("k", NO_HEADERS, WAIT_MS, always)).toBeUndefined(); // b, which is fetching it
    b!.has.set("k", entry("b's"));
    a!.neighbours.claim("k");
    expect(await b!.neighbours.find("k", NO_HEADERS, WAIT_MS, always)).toBe("others");
    expect(textOf(await c!.neighbours.find("k", NO_HEADERS, WAIT_MS, always))).toBe("b's");
  });

  it("are asked by those who only look, and whom nobody is to ask", async () => {
    const [a, b] = openThreads(2);
    expect(a!.neighbours.peek("k", NO_HEADERS)).toBeUndefined();
    expect(b!.neighbours.peek("k", NO_HEADERS)).toBeUndefined();
    b!.neighbours.find("k", NO_HEADERS, WAIT_MS, always);
    b!.has.set("k", entry("b's"));
    expect(textOf(await a!.neighbours.peek("k", NO_HEADERS))).toBe("b's");
    expect(b!.neighbours.peek("k", NO_HEADERS)).toBeUndefined();
    expect(a!.asked).toEqual([]);
  });

  it("are not waited for by those who only look", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const [a, b] = openThreads(2);
    a!.neighbours.find("k", NO_HEADERS, WAIT_MS, always);
    a!.has.set("k", new Promise(() => {}));
    const found = b!.neighbours.peek("k", NO_HEADERS);
    a!.neighbours.find("other", NO_HEADERS, WAIT_MS, always);
    a!.has.set("other", entry("at hand"));
    await b!.neighbours.find("other", NO_HEADERS, WAIT_MS, always); // what came before has been heard, too
    vi.advanceTimersByTime(500);
    expect(await found).toBeUndefined();
  });

  it("are not asked for what came to nothing", () => {
    const [a, b] = openThreads(2);
    a!.neighbours.find("k", NO_HEADERS, WAIT_MS, always);
    a!.neighbours.release("k");
    expect(b!.neighbours.find("k", NO_HEADERS, WAIT_MS, always)).toBeUndefined();
    expect(a!.asked).toEqual([]);
  });

  it("that are gone hold nobody up for long", async () => {
    const [a, b] = openThreads(2);
    a!.neighbours.find("k", NO_HEADERS, WAIT_MS, always);
    a!.neighbours.close();
    expect(await b!.neighbours.find("k", NO_HEADERS, WAIT_MS, always)).toBeUndefined();
    expect(b!.neighbours.find("k", NO_HEADERS, WAIT_MS, always)).toBeUndefined();
  });

  it("answer with nothing when what was under way fails", async () => {
    const [a, b] = openThreads(2);
    a!.neighbours.find("k", NO_HEADERS, WAIT_MS, always);
    const failing = Promise.reject(new Error("upstream"));
    failing.catch(() => {});
    a!.has.set("k", failing);
    expect(await b!.neighbours.find("k", NO_HEADERS, WAIT_MS, always)).toBeUndefined();
  });

  it("are of no concern where there is one thread", () => {
    const [a] = openThreads(1);
    a!.neighbours.claim("k");
    a!.neighbours.release("k");
    expect(a!.neighbours.find("k", NO_HEADERS, WAIT_MS, always)).toBeUndefined();
  });
});
