/** Load shedding in a whole gateway: who is refused, and who is answered all the same. */
import { describe, expect, it, onTestFinished, vi } from "vitest";
import type { Plugin } from "../../core/plugin.ts";
import { catalogue } from "../../plugins/index.ts";
import { proxyTo, startGateway } from "../support/gateway.ts";
import { buildWithUpstreams, catalogueOf, checked, fakePlugin, surroundings } from "../support/generation.ts";
import { exchange } from "../support/harness.ts";
import { startUpstream } from "../support/upstream.ts";

/** More memory than this is in use, always. */
const OVERLOADED = { memory: { from: "1B", full: "2B" } };
const admin = { address: "127.0.0.1:0" };

/** Makes the consumer of what the client says; a stand-in for authentication. */
const identify: Plugin = fakePlugin("identify", () => (next) => (x) => {
  const tier = x.headers.get("x-tier");
  if (tier !== undefined) x.consumer = { name: "ann", roles: [], tier };
  return next(x);
});

describe("an overloaded gateway", () => {
  it("refuses requests with 503, whatever the route, and asks no upstream", async () => {
    await using upstream = await startUpstream();
    await using gateway = await startGateway(
      proxyTo(upstream.url, {}, { admin, overload: { ...OVERLOADED, retryAfter: "4s" } }),
    );
    for (let i = 0; i < 5; i++) {
      const reply = await fetch(`${gateway.url}/x`, { method: "POST", body: "some" });
      expect([reply.status, reply.headers.get("retry-after")]).toEqual([503, "4"]);
      expect(await reply.json()).toMatchObject({ code: "OVERLOADED", status: 503 });
    }
    expect(upstream.seen).toEqual([]);
    await gateway.logged((line) => line["code"] === "OVERLOADED");
    const warnings = gateway.lines.filter(({ level }) => level === "warn");
    expect(warnings).toMatchObject([{ reason: "memory", pressure: 1 }]);
  });

  it("still answers health checks, metrics and the admin interface", async () => {
    await using upstream = await startUpstream();
    await using gateway = await startGateway(proxyTo(upstream.url, {}, { admin, overload: OVERLOADED }));
    expect((await fetch(gateway.url)).status).toBe(503);
    for (const path of ["/health/live", "/health/ready", "/metrics", "/admin/config", "/admin/upstreams"]) {
      expect([path, (await fetch(gateway.adminUrl + path)).status]).toEqual([path, 200]);
    }
    const metrics = await (await fetch(`${gateway.adminUrl}/metrics`)).text();
    expect(metrics).toContain("\nsluice_overload_pressure 1\n");
    expect(metrics).toContain('\nsluice_shed_total{tier="",reason="memory"} 1\n');
    expect(metrics).toContain('sluice_errors_total{code="OVERLOADED"} 1');
    expect(metrics).toContain('sluice_http_requests_total{route="",method="GET",status="503"} 1');
  });

  it("serves consumers of a tier that is never shed, once it knows who they are", async () => {
    await using upstream = await startUpstream();
    const overload = { ...OVERLOADED, priorities: { gold: 100, silver: 99 } };
    await using gateway = await startGateway(
      proxyTo(upstream.url, { pipeline: [{ plugin: "identify" }] }, { overload }),
      { plugins: [identify] },
    );
    const ask = async (tier?: string): Promise<number> =>
      (await fetch(gateway.url, tier === undefined ? {} : { headers: { "x-tier": tier } })).status;
    expect([await ask("gold"), await ask("silver"), await ask()]).toEqual([200, 503, 503]);
    expect(upstream.seen).toHaveLength(1);
  });

  it("serves again after a reload without it", async () => {
    await using upstream = await startUpstream();
    await using gateway = await startGateway(proxyTo(upstream.url, {}, { overload: OVERLOADED }));
    expect((await fetch(gateway.url)).status).toBe(503);
    await gateway.reload(proxyTo(upstream.url));
    expect((await fetch(gateway.url)).status).toBe(200);
  });

  it("sheds while the event loop is late, and says so", async () => {
    const busy = fakePlugin("busy", () => (next) => (x) => {
      const until = performance.now() + 50;
      while (performance.now() < until);
      return next(x);
    });
    await using upstream = await startUpstream();
    const overload = { eventLoopDelay: { from: "1ms", full: "5ms" } };
    await using gateway = await startGateway(
      proxyTo(upstream.url, { pipeline: [{ plugin: "busy" }] }, { overload }),
      { plugins: [busy] },
    );
    let status = 200;
    while (status === 200) status = (await fetch(gateway.url)).status;
    expect(status).toBe(503);
    expect(await gateway.logged((line) => line["reason"] === "event-loop-delay")).toMatchObject({
      level: "warn",
    });
  });

  it("sheds nothing while there is little to do", async () => {
    await using upstream = await startUpstream();
    const overload = {
      memory: { from: "500GB", full: "600GB" },
      eventLoopDelay: { from: "50s", full: "60s" },
    };
    await using gateway = await startGateway(proxyTo(upstream.url, {}, { overload }));
    for (let i = 0; i < 20; i++) expect((await fetch(gateway.url)).status).toBe(200);
  });
});

describe("the monitor", () => {
  const all = new Map([...catalogueOf(identify), ...catalogue]);
  const build = async (parts: object, around = surroundings(all)) => {
    const respond = { plugin: "respond", status: 200 };
    const config = await checked(
      { routes: [{ name: "all", match: { path: "/*" }, pipeline: [respond] }], ...parts },
      all,
    );
    return { around, generation: await buildWithUpstreams(1, config, around) };
  };

  it("is kept while its options stay, and closed with the last generation that uses it", async () => {
    const { around, generation } = await build({ overload: OVERLOADED });
    const keys = around.kept.keys();
    expect(keys).toHaveLength(2);
    const { generation: second } = await build({ overload: OVERLOADED, drainTimeout: "9s" }, around);
    expect(around.kept.keys()).toEqual(keys);
    await generation.retire(0);
    expect(() => second.handle(exchange())).toThrow("overloaded");
    await second.retire(0);
    expect(around.kept.keys()).toEqual([]);
    expect((await around.metrics.render()).text).not.toContain("sluice_overload_pressure 1");
  });

  it("is not there when it is not configured", async () => {
    const { around, generation } = await build({});
    expect(around.kept.keys()).toEqual([]);
    expect((await generation.handle(exchange())).status).toBe(200);
    await generation.retire(0);
  });

  it("considers a request once, also in routes with several stages that answer", async () => {
    const rss = vi.spyOn(process.memoryUsage, "rss").mockReturnValue(1.5 * 1024 ** 3);
    onTestFinished(() => rss.mockRestore());
    let asked = 0;
    const random = (): number => {
      asked++;
      return 0.9;
    };
    const pipeline = [
      { plugin: "respond", when: { method: "DELETE" }, status: 405 },
      { plugin: "respond", status: 200 },
    ];
    const parts = {
      overload: { memory: { from: "1GB", full: "2GB" } },
      routes: [{ name: "all", match: { path: "/*" }, pipeline }],
    };
    const { generation } = await build(parts, { ...surroundings(all), random });
    expect((await generation.handle(exchange())).status).toBe(200);
    expect(asked).toBe(1);
    await generation.retire(0);
  });

  it("stands right before the first stage that answers, in routes with several", async () => {
    const parts = {
      overload: { ...OVERLOADED, priorities: { gold: 100 } },
      routes: [
        {
          name: "all",
          match: { path: "/*" },
          pipeline: [
            { plugin: "identify" },
            { plugin: "respond", when: { method: "DELETE" }, status: 405 },
            { plugin: "respond", status: 200 },
          ],
        },
      ],
    };
    const { generation } = await build(parts);
    const ask = async (method: string, tier = ""): Promise<number | string> => {
      try {
        return (await generation.handle(exchange({ method, headers: { "x-tier": tier } }))).status;
      } catch (error) {
        return (error as { code: string }).code;
      }
    };
    expect(await ask("DELETE")).toBe("OVERLOADED");
    expect(await ask("GET")).toBe("OVERLOADED");
    expect([await ask("DELETE", "gold"), await ask("GET", "gold")]).toEqual([405, 200]);
    await generation.retire(0);
  });
});
