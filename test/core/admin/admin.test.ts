import { describe, expect, it, onTestFinished } from "vitest";
import { Admin } from "../../../core/admin/admin.ts";
import type { Control, ReloadFailure, ReloadResult, State } from "../../../core/control.ts";
import { GatewayMetrics } from "../../../core/observe/metrics.ts";
import type { Reply } from "../../../core/reply.ts";
import { bodyText, exchange, FakeLog, type RequestInit } from "../../support/harness.ts";

/** A control plane that says what the test wants. */
class FakeControl {
  log = new FakeLog();
  metrics = new GatewayMetrics();
  state: State = "ready";
  generation = 3;
  failure: ReloadFailure | undefined;
  urls = ["http://127.0.0.1:8080"];
  loaded = { config: { hash: "abc" }, effective: () => ({ routes: "masked" }) };
  result: ReloadResult = { result: "activated", generation: 4 };
  reloads = 0;
  async reload(): Promise<ReloadResult> {
    this.reloads++;
    return this.result;
  }
}

function setUp(token = "") {
  const control = new FakeControl();
  const admin = new Admin({ address: "127.0.0.1:0", token }, control as unknown as Control);
  const ask = async (target: string, request: RequestInit & { host?: string } = {}): Promise<Reply> => {
    const { host = "127.0.0.1:9901", ...rest } = request;
    return admin.handle(exchange({ target, ...rest, init: { authority: host } }));
  };
  const read = async (target: string, request?: RequestInit): Promise<[number, Record<string, unknown>]> => {
    const reply = await ask(target, request);
    return [reply.status, JSON.parse(await bodyText(reply))];
  };
  return { control, admin, ask, read };
}

const GUARDED = ["/metrics", "/admin/config", "/admin/stats"];
const OPEN = ["/health/live", "/health/ready"];

describe("the admin interface", () => {
  it("says that it lives", async () => {
    expect(await setUp().read("/health/live")).toEqual([200, { status: "live" }]);
  });

  it.each<[State, number, number]>([
    ["ready", 3, 200],
    ["ready", 0, 503],
    ["starting", 0, 503],
    ["starting", 1, 503],
    ["draining", 3, 503],
    ["stopped", 3, 503],
  ])("is ready or not: %s with generation %d", async (state, generation, status) => {
    const { control, read } = setUp();
    Object.assign(control, { state, generation });
    expect(await read("/health/ready")).toEqual([status, { status: state, generation }]);
  });

  it("gives the metrics", async () => {
    const { control, ask } = setUp();
    control.metrics.active = 5;
    const reply = await ask("/metrics");
    expect([reply.status, reply.headers.get("content-type")]).toEqual([
      200,
      expect.stringMatching(/^text\/plain; version/),
    ]);
    expect(await bodyText(reply)).toContain("sluice_active_requests 5");
  });

  it("shows the configuration that serves, and why the one on disk does not", async () => {
    const { control, read } = setUp();
    expect(await read("/admin/config")).toEqual([
      200,
      { generation: 3, hash: "abc", config: { routes: "masked" } },
    ]);
    control.failure = {
      at: 1_700_000_000_000,
      problems: [{ code: "CONFIG_TYPE", message: "m", pointer: "/a" }],
    };
    const error = {
      at: "2023-11-14T22:13:20.000Z",
      problems: [{ code: "CONFIG_TYPE", message: "m", pointer: "/a" }],
    };
    expect((await read("/admin/config"))[1]).toMatchObject({ generation: 3, error });
    expect((await read("/admin/stats"))[1]).toMatchObject({ error });
  });

  it("reloads, and says what became of it", async () => {
    const { control, read } = setUp();
    expect(await read("/admin/config/reload", { method: "POST" })).toEqual([200, control.result]);
    control.result = { result: "refused", generation: 3, problems: [] };
    expect(await read("/admin/config/reload", { method: "POST" })).toEqual([422, control.result]);
    expect(control.reloads).toBe(2);
  });

  it("gives numbers", async () => {
    const { control, read } = setUp();
    control.metrics.route("a").record("GET", 200, 1);
    control.metrics.active = 1;
    expect((await read("/admin/stats"))[1]).toMatchObject({
      generation: 3,
      hash: "abc",
      state: "ready",
      uptimeSeconds: expect.any(Number),
      listeners: ["http://127.0.0.1:8080"],
      activeRequests: 1,
      memory: { rssBytes: expect.any(Number), heapUsedBytes: expect.any(Number) },
      requests: 1,
      byStatus: { 200: 1 },
      errors: {},
    });
  });

  it("lists its pages where there is none", async () => {
    for (const path of ["/", "/admin", "/constructor", "/__proto__"]) {
      const [status, body] = await setUp().read(path);
      expect([status, body["pages"]]).toEqual([404, expect.arrayContaining(["/metrics", "/health/live"])]);
    }
  });

  it("knows the method of each page", async () => {
    const { ask, control } = setUp();
    for (const [method, path, allow] of [
      ["POST", "/metrics", "GET"],
      ["GET", "/admin/config/reload", "POST"],
      ["PUT", "/health/live", "GET"],
    ] as const) {
      const reply = await ask(path, { method });
      expect([reply.status, reply.headers.get("allow")]).toEqual([405, allow]);
    }
    expect(control.reloads).toBe(0);
    expect((await ask("/health/live", { method: "HEAD" })).status).toBe(200);
  });

  it("is not to be kept by caches", async () => {
    expect((await setUp().ask("/admin/stats")).headers.get("cache-control")).toBe("no-store");
  });
});

describe("with a token", () => {
  const bearer = (token: string): RequestInit => ({ headers: { authorization: `Bearer ${token}` } });

  it("all but the health checks ask for it", async () => {
    const { ask, control } = setUp("s3cret");
    for (const path of OPEN) expect((await ask(path)).status).toBe(200);
    for (const path of GUARDED) {
      for (const request of [
        {},
        bearer("wrong"),
        bearer("s3cretx"),
        bearer(""),
        { headers: { authorization: "Basic s3cret" } },
      ]) {
        const reply = await ask(path, request);
        expect([reply.status, reply.headers.get("www-authenticate")]).toEqual([401, "Bearer"]);
      }
      expect((await ask(path, bearer("s3cret"))).status).toBe(200);
      expect((await ask(path, { headers: { Authorization: "bearer  s3cret" } })).status).toBe(200);
    }
    expect((await ask("/admin/config/reload", { method: "POST" })).status).toBe(401);
    expect(control.reloads).toBe(0);
  });

  it("does not tell methods to those without it", async () => {
    expect((await setUp("s3cret").ask("/metrics", { method: "PUT" })).status).toBe(401);
  });

  it("takes over another one", async () => {
    const { admin, ask } = setUp("old");
    admin.update({ address: "127.0.0.1:0", token: "new" });
    expect((await ask("/metrics", bearer("old"))).status).toBe(401);
    expect((await ask("/metrics", bearer("new"))).status).toBe(200);
    admin.update({ address: "127.0.0.1:0", token: "" });
    expect((await ask("/metrics")).status).toBe(200);
  });

  it("any name and origin may be used", async () => {
    const request = { ...bearer("t"), host: "admin.example.com" };
    expect((await setUp("t").ask("/metrics", request)).status).toBe(200);
  });
});

describe("without a token", () => {
  const status = async (host: string, origin?: string): Promise<number> =>
    (await setUp().ask("/admin/stats", { host, headers: origin === undefined ? {} : { origin } })).status;

  it.each(["127.0.0.1:9901", "localhost:9901", "LOCALHOST", "[::1]:9901", "127.0.0.2"])(
    "may be asked as %s",
    async (host) => {
      expect(await status(host)).toBe(200);
      expect(await status(host, `http://${host}`)).toBe(200);
    },
  );

  it.each(["evil.example", "127.0.0.1.evil.example:9901", "10.0.0.1", "", "localhost.evil.example"])(
    "may not be asked as %j, a name that a web page had resolve to this machine",
    async (host) => expect(await status(host)).toBe(403),
  );

  it.each(["https://evil.example", "http://localhost:1", "null"])(
    "may not be asked by a page from %s",
    async (origin) => {
      expect(await status("localhost:9901", origin)).toBe(403);
    },
  );

  it("answers health checks under any name", async () => {
    expect((await setUp().ask("/health/live", { host: "10.0.0.1" })).status).toBe(200);
  });
});

describe("the admin listener", () => {
  it("serves over HTTP, counting nothing", async () => {
    const { admin, control } = setUp();
    await admin.listen();
    onTestFinished(() => admin.close());
    const reply = await fetch(`${admin.url}/health/live`);
    expect([reply.status, await reply.json()]).toEqual([200, { status: "live" }]);
    expect((await fetch(`${admin.url}/admin/config/reload`, { method: "POST" })).status).toBe(200);
    const big = await fetch(`${admin.url}/admin/config/reload`, {
      method: "POST",
      headers: { host: "[" },
      body: "x",
    });
    expect(big.status).toBeLessThan(500);
    expect(control.metrics.totals()).toEqual({ requests: 0, byStatus: {}, errors: {} });
    expect(control.log.lines).toEqual([]);
    expect(admin.onStart()).toBeUndefined();
    expect(admin.onEnd()).toBeUndefined();
    expect(admin.onRefused()).toBeUndefined();
  });
});
