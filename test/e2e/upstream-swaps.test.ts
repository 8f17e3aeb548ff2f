/** Configurations whose upstreams change in every way, one after another, under load and with clients that give up. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type ClientRequest, get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { config, startGateway } from "../support/gateway.ts";
import { startLoad } from "../support/load.ts";
import { startUpstream, type TestUpstream } from "../support/upstream.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluice-swaps-"));
});

afterEach(() => rm(folder, { recursive: true, force: true }));

const isOk = (status: number, body: string): string | undefined =>
  status === 200 ? undefined : `status ${status}: ${body}`;

/** Where targets come from, in turn: a file, a list, a name. */
const sources = (all: readonly TestUpstream[]): unknown[] => [
  { file: "targets.json" },
  all.map(({ url }) => url),
  { dns: { host: "127.0.0.1", port: all[0]!.port } },
];

/** The nth of configurations that have nothing in common but their routes. */
const variant = (n: number, all: readonly TestUpstream[]): object => {
  const active = { path: "/", interval: n % 2 === 0 ? "10ms" : "20ms" };
  const health = n % 4 === 3 ? undefined : { active, passive: { failures: 3, ejectFor: "50ms" } };
  const second = n % 2 === 0 ? "other" : "another"; // a renamed upstream is a new one
  return config({
    admin: { address: "127.0.0.1:0" },
    upstreams: {
      main: { targets: sources(all)[n % 3], connections: 8 + (n % 3), ...(health && { health }) },
      [second]: { targets: [all[1]!.url] },
    },
    routes: [
      {
        name: "all",
        match: { path: "/*" },
        pipeline: [
          { plugin: "concurrency", max: 3 + (n % 2), queue: 100, queueTimeout: "10s" },
          { plugin: "mirror", upstream: second },
          { plugin: "retry", attempts: 3, perTryTimeout: "10s", budget: "100%" },
          { plugin: "breaker", by: ["upstream", "target", "route"][n % 3], minRequests: 100 + (n % 2) },
        ],
        upstream: "main",
      },
      {
        name: "split",
        match: { path: "/split" },
        pipeline: [
          {
            plugin: "split",
            failover: n % 2 === 0,
            branches: [
              { upstream: "main", weight: 1 },
              { upstream: second, weight: 1, strategy: "consistent-hash" },
            ],
          },
        ],
      },
    ],
  });
};

const QUEUED = 'sluice_concurrency_queued{route="all",stage="concurrency"}';

const metricsOf = async (adminUrl: string): Promise<string[]> =>
  (await (await fetch(`${adminUrl}/metrics`)).text()).split("\n");

/** Waits until the metrics have a line. */
async function untilMetric(adminUrl: string, line: string): Promise<void> {
  while (!(await metricsOf(adminUrl)).includes(line));
}

/** Waits until all gauges of work under way are 0, and gives them. */
async function untilIdle(adminUrl: string): Promise<string[]> {
  for (;;) {
    const lines = await metricsOf(adminUrl);
    const gauges = lines.filter((line) => /^sluice_\w*(in_flight|queued|active_requests)\b/.test(line));
    if (gauges.every((line) => line.endsWith(" 0"))) return gauges;
  }
}

describe("upstreams that a swap changes, removes, renames and finds elsewhere", () => {
  it("cost no client a request, and nothing is left under way", async () => {
    await using a = await startUpstream((_request, response) => response.end("ok"));
    await using b = await startUpstream((_request, response) => response.end("ok"));
    const file = join(folder, "gateway.json");
    const write = (n: number): Promise<void> => writeFile(file, JSON.stringify(variant(n, [a, b])));
    await writeFile(join(folder, "targets.json"), JSON.stringify([a.url, b.url]));
    await write(0);
    await using gateway = await startGateway(file);
    const loads = [startLoad(gateway.url, 6, isOk), startLoad(`${gateway.url}/split`, 2, isOk)];
    for (let n = 1; n <= 40; n++) {
      await write(n);
      expect(await gateway.reload()).toMatchObject({ result: "activated" });
      await Promise.all(loads.map((load) => load.answeredMore(4)));
    }
    for (const load of loads) await load.stop();
    expect(loads.flatMap(({ failures }) => failures)).toEqual([]);
    expect(await untilIdle(gateway.adminUrl!)).toContain(`${QUEUED} 0`);
    expect(gateway.lines.filter(({ level }) => level === "warn" || level === "error")).toEqual([]);
  });

  it("forget clients that gave up, in queues, in attempts and over swaps", async () => {
    const held = Promise.withResolvers<void>();
    let arrived = 0;
    await using upstream = await startUpstream(() => {
      if (++arrived === 4) held.resolve();
    });
    const file = join(folder, "gateway.json");
    const write = (max: number): Promise<void> =>
      writeFile(
        file,
        JSON.stringify(
          config({
            admin: { address: "127.0.0.1:0" },
            upstreams: { main: { targets: [upstream.url] } },
            routes: [
              {
                name: "all",
                match: { path: "/*" },
                pipeline: [
                  { plugin: "concurrency", max, queue: 20, queueTimeout: "60s" },
                  { plugin: "retry", perTryTimeout: "60s" },
                  { plugin: "breaker" },
                ],
                upstream: "main",
              },
            ],
          }),
        ),
      );
    await write(4);
    await using gateway = await startGateway(file);
    const ask = (count: number): ClientRequest[] =>
      Array.from({ length: count }, () => get(gateway.url, { agent: false }).on("error", () => {}));
    const inside = ask(4);
    await held.promise;
    const waiting = ask(8);
    await untilMetric(gateway.adminUrl!, `${QUEUED} 8`);
    await write(5);
    expect(await gateway.reload()).toMatchObject({ result: "activated" });
    for (const client of waiting) client.destroy();
    await untilMetric(gateway.adminUrl!, `${QUEUED} 0`);
    for (const client of inside) client.destroy();
    expect(await untilIdle(gateway.adminUrl!)).toContain(`${QUEUED} 0`);
    expect(arrived).toBe(4); // nobody who waited was sent when places became free
  });
});
