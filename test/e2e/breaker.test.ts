import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { config, startGateway, type TestGateway } from "../support/gateway.ts";
import { startUpstream, type TestUpstream } from "../support/upstream.ts";

const ADMIN = { address: "127.0.0.1:0" };

/** An upstream that fails as long as it is told to. */
async function fickle(): Promise<TestUpstream & { fails: boolean; count: number }> {
  const state = { fails: false, count: 0 };
  const upstream = await startUpstream((_request, response) => {
    state.count++;
    response.statusCode = state.fails ? 500 : 200;
    response.end(state.fails ? "failed" : "well");
  });
  return Object.defineProperties(upstream, {
    fails: { get: () => state.fails, set: (fails: boolean) => void (state.fails = fails) },
    count: { get: () => state.count },
  }) as TestUpstream & { fails: boolean; count: number };
}

const route = (breaker: object, targets: string[]) => ({
  upstreams: { users: { targets } },
  routes: [
    {
      name: "all",
      match: { path: "/*" },
      pipeline: [{ plugin: "breaker", ...breaker }],
      upstream: "users",
    },
  ],
});

const becomes = (gateway: TestGateway, state: string) =>
  gateway.logged((line) => String(line["msg"]).startsWith("circuit") && line["state"] === state);

async function statuses(url: string, count: number): Promise<number[]> {
  const all: number[] = [];
  for (let i = 0; i < count; i++) {
    const answer = await fetch(url);
    await answer.text();
    all.push(answer.status);
  }
  return all;
}

describe("a breaker in a gateway", () => {
  it("keeps requests from an upstream that fails, and comes back when it does", async () => {
    await using upstream = await fickle();
    const options = { errorRate: "50%", minRequests: 4, openFor: "2s", halfOpen: 1, recovery: "0s" };
    await using gateway = await startGateway(config(route(options, [upstream.url])));
    upstream.fails = true;
    expect(await statuses(gateway.url, 4)).toEqual([500, 500, 500, 500]);
    const rejected = await fetch(gateway.url);
    expect([rejected.status, rejected.headers.get("retry-after")]).toEqual([
      503,
      expect.stringMatching(/^[12]$/),
    ]);
    expect(await rejected.json()).toMatchObject({ code: "CIRCUIT_OPEN", status: 503 });
    expect(upstream.count).toBe(4);
    upstream.fails = false;
    await becomes(gateway, "half-open");
    expect(await statuses(gateway.url, 3)).toEqual([200, 200, 200]);
  });

  it("says once that a circuit is open, not for each request that it refuses", async () => {
    await using upstream = await fickle();
    const lines: string[] = [];
    const log = { logTo: { write: (text: string) => void lines.push(text) } };
    const options = { by: "route", consecutiveFailures: 1 };
    await using gateway = await startGateway(config(route(options, [upstream.url])), log);
    upstream.fails = true;
    expect(await statuses(gateway.url, 6)).toEqual([500, 503, 503, 503, 503, 503]);
    const warnings = lines.filter((line) => line.includes('"level":"warn"'));
    expect(warnings).toEqual([expect.stringContaining('"msg":"circuit opened"')]);
    for (const name of ["route", "stage"]) expect(warnings[0]!.split(`"${name}":`)).toHaveLength(2);
  });

  it("by target leaves out one that is gone, and asks it again when it is back", async () => {
    await using a = await fickle();
    const b = await fickle();
    const { port } = b;
    const options = { by: "target", consecutiveFailures: 2, openFor: "2s", halfOpen: 1, recovery: "0s" };
    await using gateway = await startGateway(config(route(options, [a.url, b.url])));
    expect(await statuses(gateway.url, 4)).toEqual([200, 200, 200, 200]);
    await b.close();
    const meanwhile = await statuses(gateway.url, 4);
    expect(meanwhile.filter((status) => status === 502)).toHaveLength(2);
    await becomes(gateway, "open");
    expect(await statuses(gateway.url, 6)).toEqual(Array(6).fill(200));
    await using back = await startUpstream((_request, response) => void response.end("b is back"), port);
    await becomes(gateway, "half-open");
    const texts = [];
    for (let i = 0; i < 4; i++) texts.push(await (await fetch(gateway.url)).text());
    expect(texts.toSorted()).toEqual(["b is back", "b is back", "well", "well"]);
    expect(back.server.listening).toBe(true);
  });

  it("is read, forced and reset through the admin listener, and what is forced survives a reload", async () => {
    await using upstream = await fickle();
    const parts = { admin: ADMIN, ...route({ consecutiveFailures: 2 }, [upstream.url]) };
    let source = config(parts);
    const folder = await mkdtemp(join(tmpdir(), "sluice-breaker-"));
    const file = join(folder, "gateway.json");
    const write = (): Promise<void> => writeFile(file, JSON.stringify(source));
    try {
      await write();
      await using gateway = await startGateway(file);
      await statuses(gateway.url, 1);
      const page = `${gateway.adminUrl}/admin/circuit-breakers`;
      const list = (await (await fetch(page)).json()) as { id: string; state: string }[];
      expect(list).toMatchObject([{ id: "upstream:users", state: "closed", requests: 1 }]);
      const patch = (body: unknown): Promise<Response> =>
        fetch(`${page}/${encodeURIComponent(list[0]!.id)}`, { method: "PATCH", body: JSON.stringify(body) });
      const refused = await patch({ force: "shut" });
      expect([refused.status, await refused.json()]).toMatchObject([
        422,
        { problems: [{ pointer: "/force" }] },
      ]);
      expect(await (await patch({ force: "open" })).json()).toMatchObject({ state: "open", forced: "open" });
      expect(await statuses(gateway.url, 1)).toEqual([503]);

      source = config({ ...parts, ...route({ consecutiveFailures: 3 }, [upstream.url]) });
      await write();
      expect(await gateway.reload()).toMatchObject({ result: "activated" });
      expect(await statuses(gateway.url, 1)).toEqual([503]);
      const metrics = await (await fetch(`${gateway.adminUrl}/metrics`)).text();
      expect(metrics).toContain('sluice_circuit_state{by="upstream",upstream="users"} 2');
      expect(metrics).toContain('sluice_circuit_rejected_total{by="upstream",upstream="users"} 2');

      await patch({ force: null, reset: true });
      expect(await statuses(gateway.url, 2)).toEqual([200, 200]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
