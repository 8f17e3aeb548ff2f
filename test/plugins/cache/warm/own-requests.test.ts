import { describe, expect, it } from "vitest";
import type { CacheReading, WarmAnswer } from "../../../../core/cache-view.ts";
import type { WarmOptions } from "../../../../core/warm-options.ts";
import { cache } from "../../../../plugins/cache.ts";
import { buildStage, exchange, FakeHost, reply } from "../../../support/harness.ts";

async function warmed(options: object = {}) {
  const host = new FakeHost();
  host.adopts = (x) => x.originalPath !== "/foreign";
  const asked: string[] = [];
  const handler = await buildStage(
    cache,
    { ...options },
    (x) => {
      asked.push(`${x.scheme} ${x.authority} ${x.originalPath} ${x.headers.get("accept-encoding") ?? "-"}`);
      const isPrivate = x.path === "/private";
      return reply(200, { "cache-control": isPrivate ? "private" : "max-age=60" }, "text");
    },
    host,
  );
  const shown = host.exposed.get("caches/test:stage")!;
  const warm = async (): Promise<CacheReading["warm"]> => ((await shown.describe()) as CacheReading).warm;
  return { host, asked, handler, shown, warm };
}

const rate = "1000/1s";
const list: WarmOptions = { urls: [], sitemaps: [], rate, concurrency: 1, headers: {} };

describe("requests by which a cache is warmed", () => {
  it("begin when the generation serves, and store what clients then get", async () => {
    const urls = ["https://a.example/1", "http://b.example:81/2?c", "http://a/private", "http://a/foreign"];
    const headers = { "accept-encoding": "gzip" };
    const { host, asked, handler, warm } = await warmed({ warm: { urls, rate, headers, concurrency: 1 } });
    expect(await warm()).toBeNull();
    for (const begin of host.beginners) begin();
    await expect.poll(async () => (await warm())?.state).toBe("done");
    expect(asked).toEqual(["https a.example /1 gzip", "http b.example:81 /2 gzip", "http a /private gzip"]);
    expect(await warm()).toMatchObject({
      stored: 2,
      failed: 2,
      remaining: 0,
      lastErrors: [
        { url: "http://a/private", reason: "status 200, private" },
        { url: "http://a/foreign", reason: "not a URL of this route" },
      ],
    });
    const init = { authority: "b.example:81" };
    const { headers: got } = await handler(exchange({ target: "/2?c", init }));
    expect(got.get("cache-status")).toMatch(/^sluice; hit/);
  });

  it("are made when operators say so, for one list at a time", async () => {
    const { host, shown, warm, asked } = await warmed({ key: { host: false } });
    for (const begin of host.beginners) begin();
    const urls = ["/1", "ftp://a/2"];
    const answer = (await shown.ask!({ kind: "warm", options: { ...list, urls } })) as WarmAnswer;
    expect(answer).toEqual({ isBusy: false });
    await expect.poll(async () => (await warm())?.state).toBe("done");
    expect(await warm()).toMatchObject({
      lastErrors: [{ url: "ftp://a/2", reason: "not a URL of this route" }],
    });
    expect(asked).toEqual(["http localhost /1 -"]);
    await shown.ask!({ kind: "warm", options: { ...list, urls: ["/2", "/3"], rate: "1/1h" } });
    expect(await shown.ask!({ kind: "warm", options: list })).toEqual({ isBusy: true });
    await shown.ask!({ kind: "stop-warming" });
    await expect.poll(async () => (await warm())?.state).toBe("stopped");
  });
});
