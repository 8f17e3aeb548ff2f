import { describe, expect, it } from "vitest";
import type { Body, Exchange, Handler, Reply, Sink } from "../../../core/plugin.ts";
import { cache } from "../../../plugins/cache.ts";
import { PassingBodies } from "../../../plugins/cache/passing-bodies.ts";
import { bodyText, buildStage, exchange, FakeHost, reply } from "../../support/harness.ts";

const LARGE = 400_000;

/** Comes in pieces, as fast as it is taken. */
class Pieces implements Body {
  readonly length = LARGE;
  #left = LARGE / 10_000;
  #sink: Sink | undefined;

  start(sink: Sink): void {
    this.#sink = sink;
    this.resume();
  }

  resume(): void {
    while (this.#left > 0) {
      this.#left--;
      if (!this.#sink!.write(Buffer.alloc(10_000))) return;
    }
    this.#sink!.end();
  }

  cancel(): void {}
}

async function openCache() {
  const host = new FakeHost();
  const next: Handler = () => {
    const made = reply(200, { "cache-control": "max-age=60", "content-length": String(LARGE) });
    made.body = new Pieces();
    return made;
  };
  const handler = await buildStage(cache, { memory: { max: "1MB" } }, next, host);
  const ask = async (path: string): Promise<{ x: Exchange; got: Reply; said: string }> => {
    const x = exchange({ target: path });
    const got = await handler(x);
    return { x, got, said: got.headers.get("cache-status")! };
  };
  const take = async (path: string): Promise<string> => {
    const { x, got, said } = await ask(path);
    await bodyText(got);
    x.end();
    return said;
  };
  const passing = (): number => Object.values(host.collected("sluice_cache_passing_bytes"))[0]!;
  return { ask, take, passing };
}

describe("large bodies that went from memory", () => {
  it("are counted until the last client has them", async () => {
    const { ask, take, passing } = await openCache();
    await take("/a");
    const readers = [await ask("/a"), await ask("/a")];
    expect(readers.map(({ said }) => said)).toEqual(Array(2).fill("sluice; hit; ttl=60"));
    expect(passing()).toBe(0);
    for (const path of ["/b", "/c"]) await take(path);
    expect(await take("/c")).toContain("hit");
    expect(passing()).toBe(LARGE);
    readers[0]!.x.end();
    expect(passing()).toBe(LARGE);
    readers[1]!.x.end();
    expect(passing()).toBe(0);
  });

  it("are counted for those too who asked first", async () => {
    const { ask, take, passing } = await openCache();
    const first = await ask("/a");
    first.got.body!.start({ write: () => false, end() {}, fail() {} });
    await expect.poll(() => take("/a")).toContain("hit");
    for (const path of ["/b", "/c"]) await take(path);
    expect(passing()).toBe(LARGE);
    first.x.end();
    expect(passing()).toBe(0);
  });

  it("take as much as memory, and then nothing more is stored", async () => {
    const { ask, take, passing } = await openCache();
    const readers: Exchange[] = [];
    const all = Array.from("abcdefgh", (name) => `/${name}`);
    for (const path of all) {
      await take(path);
      readers.push((await ask(path)).x);
    }
    expect(passing()).toBeGreaterThan(1024 ** 2 - LARGE);
    expect(passing()).toBeLessThan(1024 ** 2 + LARGE);
    expect(await take("/i")).toContain("uri-miss");
    expect(await take("/i")).toContain("uri-miss");
    for (const x of readers) x.end();
    expect(passing()).toBe(0);
    await take("/i");
    expect(await take("/i")).toContain("hit");
  });
});

it("what passes is not counted while it is kept, in whatever order it comes and goes", () => {
  const passing = new PassingBodies(1);
  const body = Buffer.alloc(LARGE);
  passing.keep(body);
  const loan = passing.lend(body);
  passing.release(body);
  expect(passing.bytes).toBe(LARGE);
  passing.keep(body);
  expect(passing.bytes).toBe(0);
  passing.release(body);
  loan.onExchangeEnd();
  loan.onExchangeEnd();
  expect(passing.bytes).toBe(0);
  passing.lend(Buffer.alloc(1000));
  expect(passing.bytes).toBe(0);
});
