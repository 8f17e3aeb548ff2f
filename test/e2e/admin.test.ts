/** The admin interface, over its real listener. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { proxyTo, startGateway, type TestGateway } from "../support/gateway.ts";
import { get, header, openRaw, type RawReply, request } from "../support/raw-http.ts";
import { type ServerResponse, startUpstream, type TestUpstream } from "../support/upstream.ts";

const TOKEN = "correct horse battery staple";
const ADMIN = { address: "127.0.0.1:0" };

let upstream: TestUpstream;
let folder: string;
let gateway: TestGateway | undefined;

beforeAll(async () => {
  upstream = await startUpstream();
  folder = await mkdtemp(join(tmpdir(), "sluice-admin-"));
});

afterEach(async () => {
  await gateway?.stop();
  gateway = undefined;
});

afterAll(async () => {
  await upstream.close();
  await rm(folder, { recursive: true });
});

const start = async (admin: object = ADMIN, parts: object = {}): Promise<TestGateway> =>
  (gateway = await startGateway(proxyTo(upstream.url, {}, { admin, ...parts })));

/** Sends a request to the admin listener; `lines` are whole header lines. */
async function ask(to: TestGateway, text: string): Promise<RawReply> {
  const { hostname, port } = new URL(to.adminUrl!);
  await using client = await openRaw(Number(port), hostname);
  return await client.ask(text);
}

/** A request as a program on this machine makes it. */
const local = (target: string, lines: string[] = [], method = "GET"): string =>
  `${[`${method} ${target} HTTP/1.1`, "Host: 127.0.0.1:9901", ...lines].join("\r\n")}\r\n\r\n`;

// biome-ignore lint/suspicious/noExplicitAny: what JSON holds is checked by the expectations
const json = (reply: RawReply): any => JSON.parse(reply.body.toString());

const GUARDED = ["/metrics", "/admin/config", "/admin/stats"];

describe("Health", () => {
  it("is live and ready once a generation serves", async () => {
    const to = await start();
    expect(json(await ask(to, local("/health/live")))).toEqual({ status: "live" });
    const ready = await ask(to, local("/health/ready"));
    expect([ready.status, json(ready)]).toEqual([200, { status: "ready", generation: 1 }]);
    expect(header(ready, "cache-control")).toBe("no-store");
  });

  it("is not ready while the gateway drains", async () => {
    let take!: (response: ServerResponse) => void;
    const taken = new Promise<ServerResponse>((resolve) => (take = resolve));
    await using slow = await startUpstream((_request, response) => take(response));
    await using to = await startGateway(proxyTo(slow.url, {}, { admin: ADMIN }));
    const { hostname, port } = new URL(to.adminUrl!);
    await using busy = await openRaw(to.port);
    await using probe = await openRaw(Number(port), hostname);
    void busy.send(get("/slow"));
    const response = await taken;
    const stopping = to.stop();
    const ready = await probe.ask(local("/health/ready"));
    expect([ready.status, json(ready)["status"]]).toEqual([503, "draining"]);
    expect((await probe.ask(local("/health/live"))).status).toBe(200);
    response.end();
    const reply = await busy.read();
    expect([reply.status, header(reply, "connection")]).toEqual([200, "close"]);
    await stopping;
  });

  it("needs no token", async () => {
    const to = await start({ ...ADMIN, token: TOKEN });
    expect((await ask(to, local("/health/live"))).status).toBe(200);
    expect((await ask(to, local("/health/ready"))).status).toBe(200);
  });
});

describe("The token", () => {
  it("is asked for, and every wrong one gets the same answer", async () => {
    const to = await start({ ...ADMIN, token: TOKEN });
    for (const page of GUARDED) {
      const answers: unknown[] = [];
      for (const lines of [
        [],
        ["Authorization:"],
        ["Authorization: Bearer"],
        ["Authorization: Bearer wrong"],
        [`Authorization: Bearer ${TOKEN.slice(1)}`],
        [`Authorization: Bearer ${TOKEN}x`],
        [`Authorization: Basic ${TOKEN}`],
        [`Authorization: ${TOKEN}`],
        [`X-Token: ${TOKEN}`],
      ]) {
        const reply = await ask(to, local(page, lines));
        expect(header(reply, "www-authenticate")).toBe("Bearer");
        answers.push([reply.status, reply.body.toString()]);
      }
      expect(answers).toEqual(answers.map(() => [401, '{\n  "error": "a valid token is needed"\n}\n']));
      expect((await ask(to, local(page, [`Authorization: Bearer ${TOKEN}`]))).status).toBe(200);
      expect((await ask(to, local(page, [`authorization: bearer ${TOKEN}`]))).status).toBe(200);
    }
    const reload = await ask(to, local("/admin/config/reload", [], "POST"));
    expect(reload.status).toBe(401);
    expect(to.generation).toBe(1);
  });

  it("makes the Host and the origin of no matter", async () => {
    const to = await start({ ...ADMIN, token: TOKEN });
    const lines = [`Authorization: Bearer ${TOKEN}`, "Origin: https://tools.test"];
    const reply = await ask(
      to,
      `GET /admin/stats HTTP/1.1\r\nHost: gateway.test\r\n${lines.join("\r\n")}\r\n\r\n`,
    );
    expect(reply.status).toBe(200);
  });
});

describe("Without a token", () => {
  it.each([
    ["a name that resolves to us", "GET /admin/config HTTP/1.1\r\nHost: evil.test\r\n\r\n"],
    ["a name that resolves to us, and our port", "GET /metrics HTTP/1.1\r\nHost: evil.test:9901\r\n\r\n"],
    ["another origin", local("/admin/config", ["Origin: http://evil.test"])],
    ["another port's origin", local("/admin/config", ["Origin: http://127.0.0.1:3000"])],
    ["another scheme's origin", local("/admin/config", ["Origin: https://127.0.0.1:9901"])],
    ["an opaque origin", local("/admin/config", ["Origin: null"])],
    ["another origin's POST", local("/admin/config/reload", ["Origin: http://evil.test"], "POST")],
  ])("refuses %s", async (_name, text) => {
    const to = await start();
    const reply = await ask(to, text);
    expect([reply.status, json(reply)]).toEqual([403, { error: "not from another site" }]);
    expect(to.generation).toBe(1);
  });

  it.each(["127.0.0.1:9901", "localhost", "LOCALHOST:1", "[::1]:9901"])("serves Host %s", async (host) => {
    const to = await start();
    const reply = await ask(
      to,
      `GET /admin/stats HTTP/1.1\r\nHost: ${host}\r\nOrigin: http://${host}\r\n\r\n`,
    );
    expect(reply.status).toBe(200);
  });
});

describe("Metrics", () => {
  /** Samples by name and labels; throws on a line that is not of the text format. */
  async function scrape(to: TestGateway): Promise<Map<string, number>> {
    const reply = await ask(to, local("/metrics"));
    expect(header(reply, "content-type")).toMatch(/^text\/plain; version=0\.0\.4/);
    const samples = new Map<string, number>();
    for (const line of reply.body.toString().trimEnd().split("\n")) {
      if (line === "" || /^# (HELP|TYPE) \w+ .+$/.test(line)) continue;
      const match = /^(\w+(?:\{(?:\w+="(?:[^"\\]|\\.)*",?)+\})?) (-?[\d.e+-]+|NaN|\+Inf)$/i.exec(line);
      if (match === null) throw new Error(`not a sample: ${line}`);
      samples.set(match[1]!, Number(match[2]));
    }
    return samples;
  }

  it("count requests, durations and errors", async () => {
    const to = await start();
    await using client = await openRaw(to.port);
    await client.ask(get("/a"));
    await client.ask(get("/b?c=d"));
    await client.ask(request("POST", "/", ["Content-Length: 1"], "a"));
    await using bad = await openRaw(to.port);
    await bad.ask("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n");
    const samples = await scrape(to);
    expect(samples.get('sluice_http_requests_total{route="all",method="GET",status="200"}')).toBe(2);
    expect(samples.get('sluice_http_requests_total{route="all",method="POST",status="200"}')).toBe(1);
    expect(samples.get('sluice_http_request_duration_seconds_count{route="all"}')).toBe(3);
    expect(samples.get('sluice_http_request_duration_seconds_bucket{route="all",le="+Inf"}')).toBe(3);
    expect(samples.get('sluice_upstream_request_duration_seconds_count{upstream="main"}')).toBe(3);
    expect(samples.get('sluice_errors_total{code="HOST_INVALID"}')).toBe(1);
    expect(samples.get("sluice_active_requests")).toBe(0);
    expect(samples.get("sluice_config_generation")).toBe(1);
    expect(samples.get('sluice_config_reloads_total{result="failure"}')).toBe(0);
    expect(samples.get("process_resident_memory_bytes")).toBeGreaterThan(0);
    expect(samples.get("nodejs_version_info") ?? 1).toBe(1);
  });

  it("have labels that clients cannot make up", async () => {
    const to = await start(ADMIN, {
      routes: [{ name: "only", match: { path: "/only" }, upstream: "main" }],
    });
    await using client = await openRaw(to.port);
    await client.ask(request("PURGE", "/only"));
    await client.ask(request("PROPFIND", "/only"));
    for (let i = 0; i < 20; i++) {
      await client.ask(request(["REPORT", "MKCOL", "TRACE"][i % 3]!, `/made-up-${i}`, [`Host${i}: x`]));
    }
    const samples = await scrape(to);
    expect(samples.get('sluice_http_requests_total{route="only",method="OTHER",status="200"}')).toBe(2);
    expect(samples.get('sluice_http_requests_total{route="",method="OTHER",status="404"}')).toBe(20);
    expect([...samples.keys()].filter((key) => key.includes("made-up") || key.includes("PURGE"))).toEqual([]);
    expect([...samples.keys()].filter((key) => key.startsWith("sluice_http_requests_total"))).toHaveLength(2);
  });
});

describe("The configuration", () => {
  const write = (file: string, value: unknown): Promise<void> => writeFile(file, JSON.stringify(value));

  it("is shown with secrets masked", async () => {
    const to = await start({ ...ADMIN, token: TOKEN });
    const reply = await ask(to, local("/admin/config", [`Authorization: Bearer ${TOKEN}`]));
    const shown = json(reply);
    expect(shown).toMatchObject({ generation: 1, config: { apiVersion: "sluice/v1" } });
    expect(shown.error).toBeUndefined();
    expect(shown.hash).toMatch(/^[0-9a-f]{16,}$/);
    expect(JSON.stringify(shown.config)).toContain(upstream.url);
    expect(reply.body.toString()).not.toContain(TOKEN);
  });

  it("is reloaded: 200 for a good one, 422 for a bad one, which changes nothing and is told until the next good one", async () => {
    const file = join(folder, "gateway.json");
    const good = proxyTo(upstream.url, {}, { admin: ADMIN }) as Record<string, unknown>;
    await write(file, good);
    const to = (gateway = await startGateway(file));
    const reload = (): Promise<RawReply> => ask(to, local("/admin/config/reload", [], "POST"));

    const unchanged = await reload();
    expect([unchanged.status, json(unchanged)["result"]]).toEqual([200, "unchanged"]);

    await write(file, { ...good, routes: [{ name: "all", match: {}, upstream: "mian" }] });
    const refused = await reload();
    expect(refused.status).toBe(422);
    expect(json(refused)).toMatchObject({ result: "refused" });
    expect(refused.body.toString()).toContain("mian");
    expect(to.generation).toBe(1);
    for (const page of ["/admin/config", "/admin/stats"]) {
      const told = json(await ask(to, local(page)));
      expect(told.generation).toBe(1);
      expect(told.error.problems).not.toEqual([]);
    }
    await using client = await openRaw(to.port);
    expect((await client.ask(get("/"))).status).toBe(200);

    await write(file, { ...good, routes: [{ name: "renamed", match: {}, upstream: "main" }] });
    const applied = await reload();
    expect(applied.status).toBe(200);
    expect(to.generation).toBe(2);
    expect(json(await ask(to, local("/admin/config"))).error).toBeUndefined();
    const metrics = (await ask(to, local("/metrics"))).body.toString();
    expect(metrics).toContain('sluice_config_reloads_total{result="failure"} 1');
    expect(metrics).toContain("sluice_config_generation 2");
  });
});

describe("Stats", () => {
  it("sum up what the gateway does", async () => {
    const to = await start();
    await using client = await openRaw(to.port);
    await client.ask(get("/"));
    const stats = json(await ask(to, local("/admin/stats")));
    expect(stats).toMatchObject({
      generation: 1,
      state: "ready",
      listeners: [to.url],
      activeRequests: 0,
      requests: 1,
      byStatus: { 200: 1 },
      errors: {},
    });
    expect(stats.memory.rssBytes).toBeGreaterThan(0);
    expect(stats.uptimeSeconds).toBeGreaterThanOrEqual(0);
  });
});

describe("Other requests", () => {
  it("get 404 with the pages that there are", async () => {
    const to = await start();
    for (const target of ["/", "/admin", "/metrics/", "/Metrics", "/health", "/constructor", "/__proto__"]) {
      const reply = await ask(to, local(target));
      expect(reply.status).toBe(404);
      expect(json(reply).pages).toContain("/health/live");
    }
  });

  it("get 405 with Allow", async () => {
    const to = await start();
    const post = await ask(to, local("/metrics", ["Content-Length: 0"], "POST"));
    expect([post.status, header(post, "allow")]).toEqual([405, "GET"]);
    const reload = await ask(to, local("/admin/config/reload"));
    expect([reload.status, header(reload, "allow")]).toEqual([405, "POST"]);
    expect(to.generation).toBe(1);
  });

  it("by HEAD get the head of a GET", async () => {
    const to = await start();
    for (const page of ["/health/live", "/admin/stats", "/metrics"]) {
      const reply = await ask(to, local(page, [], "HEAD"));
      expect(reply.status).toBe(200);
      expect(Number(header(reply, "content-length"))).toBeGreaterThan(10);
      expect(reply.body.length).toBe(0);
    }
  });

  it("that are not HTTP are refused as by any listener", async () => {
    const to = await start();
    const reply = await ask(to, "GET /health/live HTTP/1.1\r\nHost: a/b\r\n\r\n");
    expect([reply.status, json(reply).code]).toEqual([400, "HOST_INVALID"]);
    expect((await ask(to, local("/health/live"))).status).toBe(200);
  });

  it("by query are the same pages", async () => {
    const to = await start();
    expect((await ask(to, local("/health/live?x=y"))).status).toBe(200);
  });
});
