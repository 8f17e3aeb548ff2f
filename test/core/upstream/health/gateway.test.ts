/** A whole gateway with targets that fall ill and recover. */
import { describe, expect, it } from "vitest";
import { proxyTo, startGateway, type TestGateway } from "../../../support/gateway.ts";
import { startUpstream } from "../../../support/upstream.ts";

/** A target that tells its name, and is well or not. */
async function startMoody(name: string) {
  const mood = { status: 200, health: 200 };
  const checks: (() => void)[] = [];
  const upstream = await startUpstream((request, response) => {
    const isCheck = request.url === "/health";
    response.statusCode = isCheck ? mood.health : mood.status;
    response.end(name);
    if (isCheck) for (const resolve of checks.splice(0)) resolve();
  });
  return { ...upstream, mood, checked: () => new Promise<void>((resolve) => checks.push(resolve)) };
}

const ADMIN = { admin: { address: "127.0.0.1:0" } };

async function ask(gateway: TestGateway, times = 20): Promise<Set<string>> {
  const names = new Set<string>();
  for (let i = 0; i < times; i++) {
    const reply = await fetch(`${gateway.url}/x`);
    names.add(reply.ok ? await reply.text() : String(reply.status));
  }
  return names;
}

async function metric(gateway: TestGateway, name: string): Promise<Record<string, number>> {
  const text = await (await fetch(`${gateway.adminUrl}/metrics`)).text();
  const lines = text.matchAll(new RegExp(`^${name}\\{(.*)\\} (\\S+)$`, "gm"));
  return Object.fromEntries([...lines].map(([, labels, value]) => [labels!, Number(value)]));
}

describe("a gateway with active checks", () => {
  it("sends nothing to a target that is ill until it is well, through reloads, and tells of it", async () => {
    await using a = await startMoody("a");
    await using b = await startMoody("b");
    const active = { path: "/health", interval: "10ms", healthyThreshold: 2, unhealthyThreshold: 2 };
    const source = (connections: number, interval = "10ms") =>
      proxyTo(a.url, {}, ADMIN, {
        targets: [a.url, b.url],
        connections,
        health: { active: { ...active, interval } },
      });
    await using gateway = await startGateway(source(10));
    await Promise.all([a.checked(), b.checked()]);
    expect(await ask(gateway)).toEqual(new Set(["a", "b"]));

    b.mood.health = 503;
    const line = await gateway.logged(({ msg }) => msg === "target is unhealthy");
    expect(line).toMatchObject({ level: "warn", upstream: "main", target: b.url, reason: "status 503" });
    expect(await ask(gateway)).toEqual(new Set(["a"]));
    const labels = (of: { port: number }) => `upstream="main",target="127.0.0.1:${of.port}"`;
    expect(await metric(gateway, "sluice_upstream_target_up")).toEqual({ [labels(a)]: 1, [labels(b)]: 0 });

    // The same checks go on; others begin with what was known.
    await gateway.reload(source(11));
    expect(await ask(gateway)).toEqual(new Set(["a"]));
    await gateway.reload(source(11, "15ms"));
    expect(await ask(gateway)).toEqual(new Set(["a"]));

    b.mood.health = 200;
    const again = await gateway.logged(({ msg }) => msg === "target is healthy again");
    expect(again).toMatchObject({ level: "info", upstream: "main", target: b.url });
    expect(await ask(gateway)).toEqual(new Set(["a", "b"]));
    const checks = await metric(gateway, "sluice_upstream_health_checks_total");
    expect(Object.keys(checks).sort()).toEqual(
      [a, b].flatMap((each) => ["failure", "success"].map((r) => `${labels(each)},result="${r}"`)).sort(),
    );
    expect(checks[`${labels(a)},result="failure"`]).toBe(0);
    expect(checks[`${labels(b)},result="failure"`]).toBeGreaterThanOrEqual(2);
    expect(checks[`${labels(b)},result="success"`]).toBeGreaterThanOrEqual(3);
    expect(gateway.lines.filter(({ msg }) => msg === "target is unhealthy")).toHaveLength(1);
  });

  it("answers 503 when no target is well, and leaves no connection behind when it stops", async () => {
    await using a = await startMoody("a");
    a.mood.health = 500;
    const health = { active: { path: "/health", interval: "10ms" } };
    const gateway = await startGateway(proxyTo(a.url, {}, {}, { health }));
    await gateway.logged(({ msg }) => msg === "target is unhealthy"); // the first check decides
    expect(await ask(gateway, 1)).toEqual(new Set(["503"]));
    await gateway.stop();
    while (
      (await new Promise((resolve) => a.server.getConnections((_error, count) => resolve(count)))) !== 0
    ) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  });
});

describe("a gateway with passive health", () => {
  it("ejects a target that fails requests, through reloads, and tells of it", async () => {
    await using a = await startMoody("a");
    await using b = await startMoody("b");
    const source = (connections: number) =>
      proxyTo(a.url, {}, ADMIN, {
        targets: [a.url, b.url],
        connections,
        health: { passive: { failures: 3, ejectFor: "1h", maxEjectFor: "2h" } },
      });
    await using gateway = await startGateway(source(10));
    b.mood.status = 502;
    expect(await ask(gateway, 6)).toEqual(new Set(["a", "502"]));
    expect(await ask(gateway)).toEqual(new Set(["a"]));
    const line = await gateway.logged(({ msg }) => msg === "target is ejected");
    expect(line).toMatchObject({ level: "warn", upstream: "main", target: b.url, reason: "failures" });
    expect(Math.abs(Number(line["forMs"]) - 3_600_000)).toBeLessThan(1_000);
    await gateway.reload(source(11));
    expect(await ask(gateway)).toEqual(new Set(["a"]));
    const b0 = `upstream="main",target="127.0.0.1:${b.port}"`;
    expect(await metric(gateway, "sluice_upstream_target_up")).toMatchObject({ [b0]: 0 });
    expect(await metric(gateway, "sluice_upstream_ejections_total")).toEqual({
      [`${b0},reason="failures"`]: 1,
    });
  });
});
