/** examples/classic.yaml: a key, a limit and a breaker in front of two servers. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { createTestGateway } from "../../core/testing/test-gateway.ts";
import { type RunningCli, startCli } from "../support/cli.ts";
import { ROOT } from "../support/pack.ts";
import { startUpstream } from "../support/upstream.ts";

const CONFIG = join(ROOT, "examples/classic.yaml");
const MOBILE = { headers: { "x-api-key": "key-of-the-mobile-app" } };
const WEBSITE = { headers: { "x-api-key": "key-of-the-website" } };

/** Starts the example, as it is but for the ports. */
async function startExample(targets: readonly [string, string]): Promise<RunningCli> {
  const folder = await mkdtemp(join(tmpdir(), "sluice-classic-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, "gateway.yaml");
  const changed = (await readFile(CONFIG, "utf8"))
    .replace("http://127.0.0.1:8081", targets[0])
    .replace("http://127.0.0.1:8082", targets[1])
    .replace("127.0.0.1:8080", "127.0.0.1:0")
    .replace("127.0.0.1:9901", "127.0.0.1:0");
  await writeFile(file, changed);
  return startCli(["-c", file, "--no-watch"]);
}

/** Status of a reply, and the code of a problem. */
async function statusOf(url: string, init: object = MOBILE): Promise<[status: number, code: unknown]> {
  const reply = await fetch(`${url}/users/1`, init);
  const { code } = (await reply.json()) as { code?: unknown };
  return [reply.status, code];
}

describe("the classic gateway", () => {
  it("wants a key, and asks both servers", async () => {
    await using one = await startUpstream();
    await using other = await startUpstream();
    await using gateway = await startExample([one.url, other.url]);
    expect(await statusOf(gateway.url, {})).toEqual([401, "UNAUTHENTICATED"]);
    const wrong = { headers: { "x-api-key": "key-of-somebody-else" } };
    expect(await statusOf(gateway.url, wrong)).toEqual([401, "UNAUTHENTICATED"]);
    expect([one.seen, other.seen]).toEqual([[], []]);

    for (let i = 0; i < 4; i++) expect(await statusOf(gateway.url)).toEqual([200, undefined]);
    expect([one.seen.length, other.seen.length]).toEqual([2, 2]);
    expect(one.seen[0]!.headers["x-consumer-name"]).toBe("mobile");
  });

  it("lets 400 in at once and 200 a second, of each key", async () => {
    await using one = await startUpstream();
    await using other = await startUpstream();
    await using gateway = await startExample([one.url, other.url]);
    await statusOf(gateway.url, WEBSITE); // all is compiled
    const before = performance.now();
    const replies = await Promise.all(Array.from({ length: 600 }, () => statusOf(gateway.url)));
    const seconds = (performance.now() - before) / 1000;
    const passed = replies.filter(([status]) => status === 200).length;
    expect(passed).toBeGreaterThanOrEqual(400);
    expect(passed).toBeLessThanOrEqual(400 + 200 * seconds);
    expect(replies.filter(([, code]) => code === "RATE_LIMITED")).toHaveLength(600 - passed);
    expect(one.seen.length + other.seen.length).toBe(1 + passed);
    expect(await statusOf(gateway.url, WEBSITE)).toEqual([200, undefined]);
  });

  it("leaves the servers alone after six failures in a row", async () => {
    await using one = await startUpstream((_request, response) => void response.writeHead(500).end("{}"));
    await using other = await startUpstream((_request, response) => void response.writeHead(500).end("{}"));
    await using gateway = await startExample([one.url, other.url]);
    for (let i = 0; i < 6; i++) expect(await statusOf(gateway.url)).toEqual([500, undefined]);
    const refused = await fetch(`${gateway.url}/users/1`, MOBILE);
    expect(refused.status).toBe(503);
    expect(await refused.json()).toMatchObject({ code: "CIRCUIT_OPEN" });
    expect(Number(refused.headers.get("retry-after"))).toBeLessThanOrEqual(15);
  });

  it("does so to the millisecond", async () => {
    const gateway = await createTestGateway(CONFIG, { env: {} });
    onTestFinished(() => gateway.close());
    const count = async (times: number, status: number): Promise<number> => {
      let counted = 0;
      for (let i = 0; i < times; i++) {
        const reply = await gateway.fetch("/users/1", MOBILE);
        if (reply.status === status) counted++;
      }
      return counted;
    };
    expect(await count(500, 200)).toBe(400);
    gateway.clock.advance(1000);
    expect(await count(300, 200)).toBe(200);
    gateway.clock.advance(4);
    expect(await count(1, 429)).toBe(1);
    gateway.clock.advance(1);
    expect(await count(2, 200)).toBe(1);

    gateway.clock.advance(2000);
    gateway.upstream("users").reply({ status: 500 });
    expect(await count(10, 500)).toBe(6);
    gateway.clock.advance(14_999);
    expect(await count(1, 503)).toBe(1);
    gateway.upstream("users").reply({ status: 200 });
    gateway.clock.advance(1);
    expect(await count(2, 200)).toBe(2);
  });
});
