/** What several threads share: each request comes over a connection whose thread is known. */
import type { ServerResponse } from "node:http";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, onTestFinished } from "vitest";
import { type Connection, connectTo, startThreaded, type ThreadedGateway } from "../support/threads.ts";
import { startUpstream, type TestUpstream } from "../support/upstream.ts";

let upstream: TestUpstream;
let gateway: ThreadedGateway;
let both: [Connection, Connection];
/** What the upstream answers `/` with. */
let status: number;
/** Requests to `/hold` that wait for an answer. */
let held: ServerResponse[];

beforeEach(() => {
  status = 200;
  held = [];
});

afterEach(async () => {
  for (const connection of both) connection.close();
  await gateway[Symbol.asyncDispose]();
  for (const response of held) response.end();
  await upstream.close();
});

/** Starts two threads with one route to one upstream; connections to each go past its other stages. */
async function start(options: object = {}, stages: object[] = [], others: object[] = []): Promise<void> {
  upstream = await startUpstream((request, response) => {
    if (request.url === "/hold") held.push(response);
    else response.writeHead(status).end("from the upstream");
  });
  gateway = await startThreaded({
    apiVersion: "sluice/v1",
    listeners: [{ address: "127.0.0.1:0" }],
    threads: 2,
    drainTimeout: "1s",
    upstreams: { main: { targets: [upstream.url, ...others], ...options } },
    routes: [
      {
        name: "which",
        match: { path: "/which" },
        pipeline: [{ plugin: "tell-thread" }, { plugin: "respond" }],
      },
      {
        name: "all",
        match: { path: "/*" },
        pipeline: [{ plugin: "tell-thread" }, ...stages],
        upstream: "main",
      },
    ],
  });
  both = [await connectTo(0, gateway.url), await connectTo(1, gateway.url)];
}

interface Shown {
  targets: { url: string; healthy: boolean; inFlight: number; reason: string | null; id: string }[];
}

const shown = async (): Promise<Shown> => (await gateway.control.inspect("upstreams"))["main"] as Shown;
const statuses = (): Promise<number[]> => Promise.all(both.map(async (each) => (await each.get()).status));

it("failures that eject a target are counted over all threads", async () => {
  const spare = await startUpstream((_, response) => response.writeHead(200).end());
  onTestFinished(() => spare.close());
  // The spare target is there because the last one is never ejected.
  await start(
    { health: { passive: { failures: 4, within: "1m", statuses: [500], maxEjected: "100%" } } },
    [],
    [{ url: spare.url, weight: 0 }],
  );
  status = 500;
  await both[0].get();
  await both[1].get();
  await both[0].get();
  expect((await shown()).targets[0]).toMatchObject({ healthy: true });
  await both[1].get();
  expect((await shown()).targets[0]).toMatchObject({ healthy: false, reason: "failures" });
});

it("requests under way are counted over all threads, and given back when a thread dies", async () => {
  await start();
  const waiting = both.map((each) => each.get("hold").catch((error: unknown) => error));
  await expect.poll(async () => (await shown()).targets[0]!.inFlight).toBe(2);
  const victim = await connectTo(0, gateway.url);
  onTestFinished(() => victim.close());
  gateway.source = withStages([{ plugin: "tell-thread" }, { plugin: "hostile" }]);
  await gateway.control.reload();
  await victim.get("exit").catch(() => {});
  await gateway.logged((line) => line["msg"] === "a new data thread serves");
  expect(await waiting[0]).toBeInstanceOf(Error);
  expect((await shown()).targets[0]!.inFlight).toBe(1);
  for (const response of held) response.end("done");
  expect(await waiting[1]).toMatchObject({ status: 200, text: "done" });
  await expect.poll(async () => (await shown()).targets[0]!.inFlight).toBe(0);
});

it("places of `concurrency` are those of all threads, and who waits for one on another thread gets it", async () => {
  await start({}, [{ plugin: "concurrency", max: 1, queue: 1, queueTimeout: "10s" }]);
  const first = both[0].get("hold");
  await expect.poll(() => held.length).toBe(1);
  const second = both[1].get("hold");
  const isQueued = async (): Promise<boolean> =>
    /^sluice_concurrency_queued\{.*\} 1$/m.test((await gateway.control.metrics.render()).text);
  await expect.poll(isQueued).toBe(true);
  expect(held).toHaveLength(1);
  held[0]!.end("first");
  expect(await first).toMatchObject({ thread: 0, text: "first" });
  await expect.poll(() => held.length).toBe(2);
  held[1]!.end("second");
  expect(await second).toMatchObject({ thread: 1, text: "second" });
});

it("places that a thread held are free when it dies", async () => {
  const concurrency = { plugin: "concurrency", max: 2 };
  await start({}, [concurrency]);
  const lost = both[0].get("hold").catch((error: unknown) => error);
  await expect.poll(() => held.length).toBe(1);
  gateway.source = withStages([{ plugin: "tell-thread" }, concurrency, { plugin: "hostile" }]);
  await gateway.control.reload();
  const victim = await connectTo(0, gateway.url);
  onTestFinished(() => victim.close());
  await victim.get("exit").catch(() => {});
  await gateway.logged((line) => line["msg"] === "a new data thread serves");
  expect(await lost).toBeInstanceOf(Error);
  const waiting = both[1].get("wait").catch(() => {});
  await gateway.logged((line) => line["msg"] === "waiting");
  const others = [await connectTo(1, gateway.url), await connectTo(0, gateway.url)];
  onTestFinished(() => others.forEach((each) => each.close()));
  expect(await others[0]!.get()).toMatchObject({ status: 200 });
  const alsoWaiting = others[1]!.get("wait").catch(() => {});
  await expect.poll(() => gateway.lines.filter((line) => line["msg"] === "waiting").length).toBe(2);
  expect(await others[0]!.get()).toMatchObject({ status: 503 });
  both[1].close();
  others[1]!.close();
  await Promise.all([waiting, alsoWaiting]);
});

it("what an operator sets of a target holds on all threads", async () => {
  await start();
  const { id } = (await shown()).targets[0]!;
  await gateway.control.change("upstreams", "main", { target: id, set: { state: "disabled" } });
  expect(await statuses()).toEqual([503, 503]);
  await gateway.control.change("upstreams", "main", { target: id, set: { state: "active" } });
  expect(await statuses()).toEqual([200, 200]);
});

it("targets that are found reach all threads", async () => {
  const folder = await mkdtemp(join(tmpdir(), "sluice-sharing-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const other = await startUpstream((_, response) => response.writeHead(201).end());
  onTestFinished(() => other.close());
  const file = join(folder, "targets.json");
  await writeFile(file, JSON.stringify([other.url]));
  await start({ targets: { file } });
  expect(await statuses()).toEqual([201, 201]);
  await writeFile(`${file}.new`, JSON.stringify([upstream.url]));
  await rename(`${file}.new`, file);
  await expect.poll(statuses).toEqual([200, 200]);
});

/** The configuration with other stages on the route for everything. */
function withStages(pipeline: object[]): object {
  const { routes } = gateway.source as { routes: object[] };
  return { ...gateway.source, routes: [routes[0], { name: "all", match: { path: "/*" }, pipeline }] };
}

it("targets are checked once, and what checks find holds on all threads", async () => {
  let checks = 0;
  let health = 200;
  const ill = await startUpstream((request, response) => {
    if (request.url === "/health") checks++;
    response.writeHead(request.url === "/health" ? health : 201).end();
  });
  onTestFinished(() => ill.close());
  const active = { path: "/health", interval: "20ms", jitter: "0%", unhealthyThreshold: 1 };
  await start({ targets: [ill.url], health: { active } });
  expect(await statuses()).toEqual([201, 201]);
  health = 503;
  expect(await gateway.logged(({ msg }) => msg === "target is unhealthy")).not.toHaveProperty("thread");
  expect(await statuses()).toEqual([503, 503]);
  health = 200;
  await gateway.logged(({ msg }) => msg === "target is healthy again");
  expect(await statuses()).toEqual([201, 201]);
  const { text } = await gateway.control.metrics.render();
  const counted = text.matchAll(/^sluice_upstream_health_checks_total\{.*\} (\d+)$/gm);
  const sum = [...counted].reduce((sum, [, count]) => sum + Number(count), 0);
  expect(Math.abs(checks - sum)).toBeLessThanOrEqual(1);
});

it("an upstream is looked after until no thread has a request of its generation left", async () => {
  await start();
  const waiting = both[1].get("hold");
  await expect.poll(() => held.length).toBe(1);
  gateway.source = withStages([{ plugin: "tell-thread" }, { plugin: "hostile" }]);
  gateway.source = { ...gateway.source, upstreams: {} };
  await gateway.control.reload();
  const isKnown = async (): Promise<boolean> =>
    (await gateway.control.metrics.render()).text.includes("sluice_upstream_target_in_flight{");
  expect(await isKnown()).toBe(true);
  held[0]!.end("done");
  expect(await waiting).toMatchObject({ text: "done" });
  await expect.poll(isKnown).toBe(false);
});

it("upstreams are looked after also while all threads are replaced at once", async () => {
  await start();
  const { routes } = gateway.source as { routes: object[] };
  const exit = { name: "exit", match: { path: "/exit" }, pipeline: [{ plugin: "hostile" }] };
  gateway.source = { ...gateway.source, routes: [exit, ...routes] };
  await gateway.control.reload();
  await Promise.all(both.map((each) => each.get("exit").catch(() => {})));
  const isBack = ({ msg }: Record<string, unknown>): boolean => msg === "a new data thread serves";
  await expect.poll(() => gateway.lines.filter(isBack).length).toBe(2);
  const { id } = (await shown()).targets[0]!;
  await gateway.control.change("upstreams", "main", { target: id, set: { state: "disabled" } });
  both = [await connectTo(0, gateway.url), await connectTo(1, gateway.url)];
  expect(await statuses()).toEqual([503, 503]);
});
