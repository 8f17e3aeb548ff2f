/** Targets in real processes that crash, stall and come back, behind the real command line and under load. */
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { type RunningCli, startCli } from "../support/cli.ts";
import { startLoad } from "../support/load.ts";
import { UpstreamProcess } from "../support/upstream-process.ts";

let folder: string;
let file: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluice-failover-"));
  file = join(folder, "gateway.yaml");
});

afterEach(() => rm(folder, { recursive: true, force: true }));

const ACTIVE = { path: "/", interval: "100ms", timeout: "500ms", healthyThreshold: 1, unhealthyThreshold: 1 };
const PASSIVE = { failures: 2, within: "10s", ejectFor: "300ms" };
const RETRY = { plugin: "retry", attempts: 4, on: ["connect", "reset", "timeout"], budget: "100%" };

const configOf = (
  targets: readonly UpstreamProcess[],
  pipeline: object[],
  upstream: object = {},
  more: object = {},
): object => ({
  apiVersion: "sluice/v1",
  listeners: [{ address: "127.0.0.1:0" }],
  admin: { address: "127.0.0.1:0" },
  upstreams: { users: { targets: targets.map(({ url }) => url), ...upstream } },
  routes: [{ name: "users", match: { path: "/*" }, pipeline, upstream: "users" }],
  ...more,
});

async function save(config: object): Promise<void> {
  await writeFile(`${file}.tmp`, stringify(config));
  await rename(`${file}.tmp`, file);
}

async function start(config: object): Promise<RunningCli> {
  await save(config);
  return startCli(["-c", file]);
}

const isOk = (status: number, body: string): string | undefined =>
  status === 200 ? undefined : `status ${status}: ${body}`;

/** Replies until one is from a target that is wanted, or not from one that is not. */
async function until(url: string, test: (by: string | null) => boolean): Promise<void> {
  for (;;) {
    const response = await fetch(url);
    await response.text();
    if (test(response.headers.get("x-target"))) return;
  }
}

/** Who answered each of some requests, one after another. */
async function answeredBy(url: string, count: number): Promise<Set<string | null>> {
  const names = new Set<string | null>();
  for (let i = 0; i < count; i++) {
    const response = await fetch(url);
    await response.text();
    names.add(response.headers.get("x-target"));
  }
  return names;
}

const says = (msg: string) => (line: Record<string, unknown>) => line["msg"] === msg;

describe("targets that fail under load", () => {
  it("cost no client a request when one crashes, and it is used again when it is back", async () => {
    await using a = await UpstreamProcess.start("a");
    await using b = await UpstreamProcess.start("b");
    await using c = await UpstreamProcess.start("c");
    await using cli = await start(
      configOf([a, b, c], [RETRY], { health: { active: ACTIVE, passive: PASSIVE } }),
    );
    const load = startLoad(cli.url, 6, isOk);
    await load.answeredMore(100);
    await a.kill();
    await cli.logged(says("target is unhealthy"));
    await load.answeredMore(100);
    expect([...(await answeredBy(cli.url, 12))].toSorted()).toEqual(["b", "c"]);
    await a.start();
    await cli.logged(says("target is healthy again"));
    await until(cli.url, (by) => by === "a");
    await load.stop();
    expect(load.failures).toEqual([]);
  });

  it("are given up after the per-try timeout when one stalls, and ejected until it wakes", async () => {
    await using a = await UpstreamProcess.start("a");
    await using b = await UpstreamProcess.start("b");
    await using cli = await start(
      configOf([a, b], [{ ...RETRY, perTryTimeout: "250ms" }], { health: { passive: PASSIVE } }),
    );
    const load = startLoad(cli.url, 4, isOk);
    await load.answeredMore(50);
    a.stall();
    await cli.logged(says("target is ejected"));
    await load.answeredMore(50);
    a.wake();
    await until(cli.url, (by) => by === "a");
    await load.stop();
    expect(load.failures).toEqual([]);
  });

  it("are none to wait for when all are gone: 503 with Retry-After at once, until one is back", async () => {
    await using a = await UpstreamProcess.start("a");
    await using cli = await start(configOf([a], [], { health: { active: ACTIVE } }));
    expect((await fetch(cli.url)).status).toBe(200);
    await a.kill();
    await cli.logged(says("target is unhealthy"));
    const refused = await fetch(cli.url);
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "1"]);
    expect(await refused.json()).toMatchObject({ code: "UPSTREAM_UNAVAILABLE" });
    const health = (await (await fetch(`${cli.adminUrl}/admin/upstreams/users`)).json()) as {
      targets: object[];
    };
    expect(health.targets).toMatchObject([{ eligible: false, healthy: false }]);
    await a.start();
    await cli.logged(says("target is healthy again"));
    expect((await fetch(cli.url)).status).toBe(200);
  });

  it("open the circuit, which closes when they are back", async () => {
    await using a = await UpstreamProcess.start("a");
    const breaker = { plugin: "breaker", consecutiveFailures: 3, openFor: "2s", recovery: "100ms" };
    await using cli = await start(configOf([a], [breaker]));
    expect((await fetch(cli.url)).status).toBe(200);
    await a.kill();
    const statuses: number[] = [];
    for (let i = 0; i < 4; i++) statuses.push((await fetch(cli.url)).status);
    expect(statuses).toEqual([502, 502, 502, 503]);
    const metrics = await (await fetch(`${cli.adminUrl}/metrics`)).text();
    expect(metrics).toMatch(/^sluice_circuit_state\{[^}]*\} 2$/m);
    await a.start();
    let isRecovered = false;
    const recovered = cli.logged(says("circuit lets all requests in again")).then(() => {
      isRecovered = true;
    });
    await until(cli.url, () => isRecovered);
    await recovered;
    expect((await fetch(cli.url)).status).toBe(200);
  });
});

describe("what an operator sets of a target", () => {
  it("holds at once and over a reload: a drained target gets no new requests", async () => {
    await using a = await UpstreamProcess.start("a");
    await using b = await UpstreamProcess.start("b");
    await using cli = await start(configOf([a, b], []));
    const load = startLoad(cli.url, 2, isOk);
    await load.answeredMore(20);
    const target = `${cli.adminUrl}/admin/upstreams/users/targets/127.0.0.1:${a.port}`;
    const set = (body: object): Promise<Response> =>
      fetch(target, { method: "PATCH", body: JSON.stringify(body) });
    expect((await set({ state: "draining" })).status).toBe(200);
    expect([...(await answeredBy(cli.url, 10))]).toEqual(["b"]);
    await save(configOf([a, b], [], { connections: 100 }));
    await cli.logged((line) => line["msg"] === "configuration activated" && line["generation"] === 2);
    expect([...(await answeredBy(cli.url, 10))]).toEqual(["b"]);
    expect((await set({ state: "active", weight: 5 })).status).toBe(200);
    await until(cli.url, (by) => by === "a");
    await load.stop();
    expect(load.failures).toEqual([]);
  });
});
