/** Targets set by operators, over the real admin listener. */
import { describe, expect, it } from "vitest";
import { config, startGateway, type TestGateway } from "../support/gateway.ts";
import { startUpstream } from "../support/upstream.ts";

const named = (name: string) => startUpstream((_request, response) => void response.end(name));

async function admin(gateway: TestGateway, path: string, patch?: unknown) {
  const init = patch === undefined ? {} : { method: "PATCH", body: JSON.stringify(patch) };
  const reply = await fetch(`${gateway.adminUrl}/admin/upstreams${path}`, init);
  // biome-ignore lint/suspicious/noExplicitAny: what JSON holds is checked by the expectations
  return { status: reply.status, body: (await reply.json()) as any };
}

/** Who answers how many of some requests. */
async function shares(gateway: TestGateway, requests: number): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (let i = 0; i < requests; i++) {
    const name = await (await fetch(gateway.url)).text();
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

describe("A target that an operator sets", () => {
  it("goes by it at once, and in later generations, until it is taken back", async () => {
    await using a = await named("a");
    await using b = await named("b");
    const source = (more: object = {}) =>
      config({
        admin: { address: "127.0.0.1:0" },
        upstreams: { users: { targets: [a.url, b.url], ...more } },
        routes: [
          {
            name: "all",
            match: {},
            pipeline: [{ plugin: "balance", upstream: "users", strategy: "weighted-round-robin" }],
          },
        ],
      });
    await using gateway = await startGateway(source());
    expect(await shares(gateway, 8)).toEqual({ a: 4, b: 4 });

    const [atA, atB] = [a, b].map(({ port }) => `/users/targets/${encodeURIComponent(`127.0.0.1:${port}`)}`);
    expect(await admin(gateway, atA!, { weight: 3 })).toMatchObject({
      status: 200,
      body: { weight: 3, configuredWeight: 1, state: "active" },
    });
    expect(await shares(gateway, 8)).toEqual({ a: 6, b: 2 });
    expect((await gateway.reload(source({ timeouts: { connect: "2s" }, connections: 7 }))).result).toBe(
      "activated",
    );
    expect(await shares(gateway, 8)).toEqual({ a: 6, b: 2 });

    expect((await admin(gateway, atA!, { state: "disabled" })).body).toMatchObject({ eligible: false });
    expect(await shares(gateway, 4)).toEqual({ b: 4 });
    await admin(gateway, atB!, { state: "draining" });
    const refused = await fetch(gateway.url);
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "1"]);
    expect(await refused.json()).toMatchObject({ code: "UPSTREAM_UNAVAILABLE" });

    await admin(gateway, atA!, { state: "active", weight: null });
    await admin(gateway, atB!, { state: "active" });
    expect(await shares(gateway, 8)).toEqual({ a: 4, b: 4 });
    expect((await admin(gateway, "")).body).toMatchObject([
      {
        name: "users",
        panic: false,
        targets: [
          { weight: 1, inFlight: 0 },
          { weight: 1, inFlight: 0 },
        ],
      },
    ]);
  });

  it("is refused what is not valid, with every problem", async () => {
    await using a = await named("a");
    const source = config({
      admin: { address: "127.0.0.1:0" },
      upstreams: { users: { targets: [a.url] } },
      routes: [{ name: "all", match: {}, upstream: "users" }],
    });
    await using gateway = await startGateway(source);
    const at = `/users/targets/127.0.0.1:${a.port}`;
    const { status, body } = await admin(gateway, at, { weight: -1, state: "off", wieght: 2 });
    expect(status).toBe(422);
    expect(body.problems.map(({ pointer }: { pointer: string }) => pointer).sort()).toEqual([
      "/state",
      "/weight",
      "/wieght",
    ]);
    expect((await admin(gateway, "/users/targets/nobody", { weight: 1 })).body.known).toEqual([
      `127.0.0.1:${a.port}`,
    ]);
    expect((await admin(gateway, at)).body).toMatchObject({ weight: 1, state: "active" });
  });
});
