/** That the options of a cache reach what goes by them. */
import { describe, expect, it } from "vitest";
import { createValidator } from "../../../core/config/validate.ts";
import type { ConfigError, Handler, Reply } from "../../../core/plugin.ts";
import { cache } from "../../../plugins/cache.ts";
import { compileRules } from "../../../plugins/cache/rules.ts";
import type { Options } from "../../../plugins/cache/schema.ts";
import { bodyText, buildStage, exchange, FakeHost, reply } from "../../support/harness.ts";

/** What the cache says of the first and the second of the same requests. */
async function statuses(options: Record<string, unknown>, answer: () => Reply, host = new FakeHost()) {
  const next: Handler = () => answer();
  const handler = await buildStage(cache, options, next, host);
  const said: string[] = [];
  for (let i = 0; i < 2; i++) {
    const x = exchange();
    const got = await handler(x);
    await bodyText(got);
    x.end();
    said.push(got.headers.getAll("cache-status").at(-1)!);
  }
  return said;
}

/** What is refused, with so many threads that hardly any memory is left to each. */
function pointersOf(options: Record<string, unknown>): string[] {
  expect(createValidator(cache.schema)(options)).toEqual([]);
  try {
    compileRules(options as Options, 256);
    return [];
  } catch (error) {
    return (error as ConfigError).problems.map(({ pointer }) => pointer);
  }
}

const FRESH = { "cache-control": "max-age=60" };

describe("options of a cache", () => {
  it.each<[Record<string, unknown>, () => Reply]>([
    [{ statuses: { 200: "1m" } }, () => reply(200, {}, "text")],
    [{ ttl: "1m" }, () => reply(200, {}, "text")],
    [{ statuses: { "500-599": "1m" } }, () => reply(502, {}, "text")],
    [{ ignoreCacheControl: true, ttl: "1m" }, () => reply(200, { "cache-control": "no-store" }, "text")],
  ])("have stored what would not be: %j", async (options, answer) => {
    expect((await statuses(options, answer))[1]).toBe("sluice; hit; ttl=60");
    expect((await statuses({}, answer))[1]).toContain("fwd=uri-miss; detail=");
  });

  it.each<[Record<string, unknown>, string]>([
    [{ maxBody: "3B" }, "text"],
    [{ memory: { max: "1MB" } }, "x".repeat(524_000)], // with all that an entry takes beside it
  ])("have not stored what would be: %j", async (options, text) => {
    const all = await statuses(options, () => reply(200, FRESH, text));
    for (const each of all) expect(each).toBe("sluice; fwd=uri-miss; ttl=60; detail=too-large");
    expect((await statuses({}, () => reply(200, FRESH, text)))[1]).toContain("hit");
  });

  it.each<[Record<string, unknown>, string]>([
    [{ strategy: "write-behind" }, "/strategy"],
    [{ compressAbove: "1KB" }, "/compressAbove"],
    [{ memory: { max: "1023KB" } }, "/memory/max"],
    [{ maxBody: "33MB" }, "/maxBody"],
    [{ store: "main", maxBody: "65MB" }, "/maxBody"],
    [{ maxBody: "8MB", memory: { max: "15MB" } }, "/maxBody"],
    [{ warm: { rate: "1/1s" } }, "/warm"],
    [{ methods: ["POST"], warm: { urls: ["https://example.com/"] } }, "/warm"],
    [{ purgeHeader: "Cache-Tag" }, "/purgeHeader"],
  ])("that would change nothing are refused: %j", (options, pointer) => {
    expect(pointersOf(options)).toEqual([pointer]);
  });

  it.each<Record<string, unknown>>([
    { maxBody: "32MB" },
    { memory: { max: "1MB" } },
    { store: "main", memory: { max: "1KB" }, strategy: "write-through", compressAbove: "1B" },
    { store: "main", maxBody: "64MB" },
    { warm: { sitemaps: ["https://example.com/sitemap.xml"] } },
  ])("that change something are taken on machines of any size: %j", (options) => {
    expect(pointersOf(options)).toEqual([]);
  });

  it("say how many variants are kept", async () => {
    const next: Handler = () => reply(200, { ...FRESH, vary: "x-a" }, "text");
    const handler = await buildStage(cache, { variants: 1 }, next, new FakeHost());
    const ask = async (value: string): Promise<string> => {
      const got = await handler(exchange({ headers: { "x-a": value } }));
      await bodyText(got);
      return got.headers.get("cache-status")!;
    };
    for (const value of ["1", "2"]) expect(await ask(value)).toContain("stored");
    expect(await ask("2")).toContain("hit");
    expect(await ask("1")).toContain("fwd=vary-miss");
  });

  it.each<[Record<string, unknown>]>([[{ wait: "20ms" }], [{ waiting: 0 }]])(
    "say who waits for whom: %j",
    async (coalesce) => {
      const gate = Promise.withResolvers<void>();
      let asked = 0;
      const next: Handler = async () => {
        if (++asked === 2) gate.resolve();
        await gate.promise;
        return reply(200, FRESH, "text");
      };
      const handler = await buildStage(cache, { coalesce }, next, new FakeHost());
      await Promise.all([handler(exchange()), handler(exchange())]);
      expect(asked).toBe(2);
    },
  );

  it("are compiled as they are said, with the memory shared by threads", () => {
    const options: Record<string, unknown> = { memory: { max: "8MB", evict: "lfu" }, variants: 3 };
    expect(createValidator(cache.schema)(options)).toEqual([]); // sets what is not said
    const { memory } = compileRules(options as Options, 4);
    expect(memory).toEqual({ maxBytes: 2 * 1024 ** 2, evict: "lfu", variants: 3 });
  });
});
