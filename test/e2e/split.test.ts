/** A split between real upstreams: shares, keys and cookies, through reloads. */
import { describe, expect, it, vi } from "vitest";
import { config, startGateway, type TestGateway } from "../support/gateway.ts";
import { startUpstream, type TestUpstream } from "../support/upstream.ts";

/** A generator of the same numbers each time. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const startNamed = (name: string): Promise<TestUpstream> =>
  startUpstream((request, response) => {
    response.setHeader("x-saw", String(request.headers["x-variant"] ?? ""));
    response.end(name);
  });

async function startBoth() {
  const [canary, stable] = [await startNamed("canary"), await startNamed("stable")];
  const splitBy = (options: object, weight: number): object =>
    config({
      admin: { address: "127.0.0.1:0" },
      upstreams: { canary: { targets: [canary.url] }, stable: { targets: [stable.url] } },
      routes: [
        {
          name: "all",
          match: { path: "/*" },
          pipeline: [
            {
              plugin: "split",
              branches: [
                { upstream: "canary", weight, when: { header: { "x-canary": true } } },
                { upstream: "stable", weight: 100 - weight },
              ],
              ...options,
            },
          ],
        },
      ],
    });
  const close = async (): Promise<void> => {
    await Promise.all([canary.close(), stable.close()]);
  };
  return { canary, stable, splitBy, [Symbol.asyncDispose]: close };
}

const ask = async (gateway: TestGateway, headers: Record<string, string> = {}): Promise<string> =>
  (await fetch(gateway.url, { headers })).text();

describe("a split between real upstreams", () => {
  it("gives each its share, and counts it", async () => {
    const spy = vi.spyOn(Math, "random").mockImplementation(seeded(3));
    try {
      await using both = await startBoth();
      await using gateway = await startGateway(both.splitBy({ requestHeader: "x-variant" }, 20));
      let canary = 0;
      for (let round = 0; round < 50; round++) {
        const names = await Promise.all(Array.from({ length: 20 }, () => ask(gateway)));
        canary += names.filter((name) => name === "canary").length;
      }
      expect(canary).toBeGreaterThan(200 - 4 * 13);
      expect(canary).toBeLessThan(200 + 4 * 13);
      const metrics = await (await fetch(`${gateway.adminUrl}/metrics`)).text();
      expect(metrics).toContain(
        `sluice_split_requests_total{route="all",stage="split",branch="canary"} ${canary}`,
      );
      expect(metrics).toContain(
        `sluice_split_requests_total{route="all",stage="split",branch="stable"} ${1000 - canary}`,
      );
      const reply = await fetch(gateway.url, { headers: { "x-canary": "1", "x-variant": "mine" } });
      expect([await reply.text(), reply.headers.get("x-saw")]).toEqual(["canary", "canary"]);
    } finally {
      spy.mockRestore();
    }
  });

  it("keeps clients where they are through a reload, and moves them only to what grows", async () => {
    await using both = await startBoth();
    await using gateway = await startGateway(both.splitBy({ by: { header: "x-user" } }, 20));
    const users = Array.from({ length: 200 }, (_, i) => ({ "x-user": `user-${i}` }));
    const ways = (): Promise<string[]> => Promise.all(users.map((headers) => ask(gateway, headers)));
    const before = await ways();
    expect(new Set(before)).toEqual(new Set(["canary", "stable"]));
    expect(
      await gateway.reload(both.splitBy({ by: { header: "x-user" }, replyHeader: "x-b" }, 20)),
    ).toMatchObject({
      result: "activated",
    });
    expect(await ways()).toEqual(before);
    await gateway.reload(both.splitBy({ by: { header: "x-user" } }, 60));
    const after = await ways();
    expect(before.flatMap((way, i) => (way === "canary" && after[i] !== "canary" ? [i] : []))).toEqual([]);
    expect(after.filter((way) => way === "canary").length).toBeGreaterThan(
      before.filter((way) => way === "canary").length,
    );
  });

  it("remembers a client by a cookie, whatever the weights become", async () => {
    await using both = await startBoth();
    const cookie = { cookie: { name: "ab", maxAge: "1d" } };
    await using gateway = await startGateway(both.splitBy(cookie, 100));
    const first = await fetch(gateway.url);
    expect(await first.text()).toBe("canary");
    const set = first.headers.get("set-cookie")!;
    expect(set).toBe("ab=canary; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax");
    await gateway.reload(both.splitBy(cookie, 1));
    for (let i = 0; i < 20; i++) {
      const again = await fetch(gateway.url, { headers: { cookie: set.split(";")[0]! } });
      expect([await again.text(), again.headers.get("set-cookie")]).toEqual(["canary", null]);
    }
  });

  it("finds another branch when no target of one is to be used", async () => {
    await using both = await startBoth();
    const parts = both.splitBy({ failover: true }, 100) as { upstreams: Record<string, object> };
    await using gateway = await startGateway(parts);
    expect(await ask(gateway)).toBe("canary");
    const out = { canary: { targets: [{ url: both.canary.url, weight: 0 }] } };
    await gateway.reload({ ...parts, upstreams: { ...parts.upstreams, ...out } });
    expect(await ask(gateway)).toBe("stable");
  });
});
