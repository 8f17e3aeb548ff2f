/** Caches on two threads of a real process: requests at the same time, changes while bodies come, a full memory. */
import { afterEach, beforeEach, expect, it } from "vitest";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bodyOf, CachedGateway, caching, type Origin, startOrigin } from "../support/cached-gateways.ts";
import { startCli } from "../support/cli.ts";
import { connectTo, startThreaded } from "../support/threads.ts";

let using: AsyncDisposableStack;
let origin: Origin;
beforeEach(async () => {
  using = new AsyncDisposableStack();
  origin = using.use(await startOrigin());
});
afterEach(() => using.disposeAsync());

const MAX_BYTES = 1024 ** 2;

it("two threads send one request for a thousand, keep what comes over a reload, and never take more memory than allowed", async () => {
  const folder = using.adopt(mkdtempSync(join(tmpdir(), "sluice-cache-")), (path) =>
    rmSync(path, { recursive: true }),
  );
  const file = join(folder, "gateway.json");
  const write = (ttl: string): void =>
    writeFileSync(file, JSON.stringify(caching(origin.url, { ttl, memory: { max: "1MB" } }, { threads: 2 })));
  write("1m");
  const cli = await startCli(["-c", file, "--no-supervise"]);
  const gateway = using.use(new CachedGateway(cli));

  const gate = Promise.withResolvers<void>();
  origin.gate = gate.promise;
  const all = Array.from({ length: 1000 }, () => gateway.ask("/a", true));
  await expect.poll(() => origin.asked.get("/a")).toBe(1);
  write("2m");
  await cli.logged((line) => line["generation"] === 2);
  gate.resolve(); // many are still on their way, to either thread and either generation
  const replies = await Promise.all(all);
  expect(new Set(replies.map(({ status, text }) => `${status} ${text}`))).toEqual(
    new Set([`200 ${bodyOf("/a")}`]),
  );
  const again = await Promise.all(Array.from({ length: 10 }, () => gateway.ask("/a", true)));
  for (const { cache } of again) expect(cache).toMatch(/^sluice; hit/);
  expect(origin.asked.get("/a")).toBe(1);
  expect(await gateway.metric("requests_total", 'result="miss"')).toBe(1);

  const soak = async (name: string): Promise<void> => {
    for (let i = 0; i < 1000; i += 50) {
      const paths = Array.from({ length: 50 }, (_, n) => `/${name}-${"x".repeat(n)}-${i}`);
      const got = await Promise.all(paths.map((path) => gateway.ask(path, true)));
      for (const [n, { text }] of got.entries()) expect(text).toBe(bodyOf(paths[n]!));
      expect(await gateway.metric("bytes")).toBeLessThanOrEqual(MAX_BYTES);
    }
  };
  await soak("first");
  const evicted = await gateway.metric("evictions_total", 'reason="size"');
  expect(evicted).toBeGreaterThan(200);
  const entries = await gateway.metric("entries");
  await soak("second");
  expect(await gateway.metric("evictions_total", 'reason="size"')).toBeGreaterThan(evicted + 700);
  expect(await gateway.metric("entries")).toBeLessThan(entries * 1.1);
});

it("a thread that dies while it fetches holds nobody up, and is replaced by one that asks the other", async () => {
  const stages = [{ plugin: "tell-thread" }, { plugin: "cache", coalesce: { wait: "30s" } }];
  const proxied = caching(origin.url, {}) as { routes: { pipeline: object[] }[] };
  const [route] = proxied.routes;
  const gateway = using.use(
    await startThreaded({
      ...proxied,
      threads: 2,
      routes: [
        { ...route, pipeline: stages },
        { name: "die", match: { path: "/exit" }, pipeline: [{ plugin: "hostile" }] },
        {
          name: "which",
          match: { path: "/which" },
          pipeline: [{ plugin: "tell-thread" }, { plugin: "hostile" }],
        },
      ],
    }),
  );
  const connect = async (thread: number) =>
    using.adopt(await connectTo(thread, gateway.url), (connection) => connection.close());
  const [here, there, killer] = [await connect(0), await connect(1), await connect(1)];
  const gate = Promise.withResolvers<void>();
  origin.gate = gate.promise;
  const lost = there.ask("a").catch(() => "lost");
  await expect.poll(() => origin.asked.get("/a")).toBe(1);
  const began = performance.now();
  const waiting = here.ask("a");
  await killer.ask("exit").catch(() => {});
  expect(await lost).toBe("lost");
  await expect.poll(() => origin.asked.get("/a")).toBe(2);
  expect(performance.now() - began).toBeLessThan(3000);
  gate.resolve();
  expect(await waiting).toBe(bodyOf("/a"));
  await gateway.logged((line) => line["msg"] === "a new data thread serves");
  const anew = await connect(1);
  expect(await anew.ask("a")).toBe(bodyOf("/a"));
  expect(origin.asked.get("/a")).toBe(2);
});
