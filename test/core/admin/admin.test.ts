import { describe, expect, it, onTestFinished } from "vitest";
import { Admin } from "../../../core/admin/admin.ts";
import type { Control, ReloadFailure, ReloadResult, State } from "../../../core/control.ts";
import { ConfigError } from "../../../core/errors.ts";
import { MergedMetrics } from "../../../core/observe/merged-metrics.ts";
import { GatewayMetrics } from "../../../core/observe/metrics.ts";
import type { Reply } from "../../../core/reply.ts";
import { bodyText, exchange, FakeLog, type RequestInit } from "../../support/harness.ts";

/** A control plane that says what the test wants. */
class FakeControl {
  log = new FakeLog();
  metrics = new MergedMetrics(new GatewayMetrics(), "0");
  state: State = "ready";
  generation = 3;
  failure: ReloadFailure | undefined;
  urls = ["http://127.0.0.1:8080"];
  loaded = { config: { hash: "abc" }, effective: () => ({ routes: "masked" }) };
  result: ReloadResult = { result: "activated", generation: 4 };
  /** What there is to look at, by collection and id. */
  collections: Record<string, Record<string, { describe(): object; change?(patch: unknown): void }>> = {};
  reloads = 0;
  async reload(): Promise<ReloadResult> {
    this.reloads++;
    return this.result;
  }
  async inspect(collection: string): Promise<Record<string, object>> {
    const all = Object.entries(this.collections[collection] ?? {});
    return Object.fromEntries(all.map(([id, thing]) => [id, thing.describe()]));
  }
  async change(collection: string, id: string, patch: unknown): Promise<object | undefined> {
    const thing = this.collections[collection]?.[id];
    thing?.change?.(patch);
    return thing?.describe();
  }
}

function setUp(token = "") {
  const control = new FakeControl();
  const targets = [{ id: "a:1" }, { id: "a:1/base" }, { id: "unix:/run/a.sock" }];
  control.collections = {
    upstreams: { users: { describe: () => ({ name: "users", targets }) } },
    "circuit-breakers": { x: { describe: () => ({ id: "x", state: "closed" }) } },
  };
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

const GUARDED = [
  "/metrics",
  "/admin/config",
  "/admin/stats",
  "/admin/upstreams",
  "/admin/upstreams/users",
  "/admin/upstreams/users/targets/a:1",
  "/admin/circuit-breakers",
  "/admin/circuit-breakers/x",
  "/admin/scripts",
];
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
    control.metrics.own.active = 5;
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
    control.metrics.own.route("a").record("GET", 200, 1);
    control.metrics.own.active = 1;
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
      ["POST", "/admin/upstreams", "GET"],
      ["PUT", "/admin/upstreams/users/targets/a:1", "GET, PATCH"],
      ["DELETE", "/admin/circuit-breakers/x", "GET, PATCH"],
      ["OPTIONS", "/admin/circuit-breakers/x", "GET, PATCH"],
    ] as const) {
      const reply = await ask(path, { method });
      expect([reply.status, reply.headers.get("allow")]).toEqual([405, allow]);
    }
    expect(control.reloads).toBe(0);
    for (const path of ["/health/live", ...GUARDED])
      expect((await ask(path, { method: "HEAD" })).status).toBe(200);
    expect((await ask("/admin/upstreams/orders", { method: "HEAD" })).status).toBe(404);
  });

  it("is not to be kept by caches", async () => {
    expect((await setUp().ask("/admin/stats")).headers.get("cache-control")).toBe("no-store");
  });
});

describe("the pages of upstreams", () => {
  it("list all, give one, and give a target of one", async () => {
    const { read } = setUp();
    const users = { name: "users", targets: [{ id: "a:1" }, { id: "a:1/base" }, { id: "unix:/run/a.sock" }] };
    expect(await read("/admin/upstreams")).toEqual([200, [users]]);
    expect(await read("/admin/upstreams/users")).toEqual([200, users]);
    for (const id of ["a:1", "a:1/base", "unix:/run/a.sock"]) {
      const path = `/admin/upstreams/users/targets/${encodeURIComponent(id)}`;
      expect(await read(path)).toEqual([200, { id }]);
    }
    expect(await read("/admin/upstreams/users/targets/a:1")).toEqual([200, { id: "a:1" }]);
  });

  it("name what there is where there is nothing", async () => {
    const { read } = setUp();
    const error = "there is none of this name";
    for (const name of ["orders", "", "%20", "constructor", "__proto__"]) {
      expect(await read(`/admin/upstreams/${name}`)).toEqual([404, { error, known: ["users"] }]);
      expect(await read(`/admin/upstreams/${name}/targets/a:1`)).toEqual([404, { error, known: ["users"] }]);
    }
    const known = ["a:1", "a:1/base", "unix:/run/a.sock"];
    for (const request of [{}, { method: "PATCH", body: "{}" }])
      expect(await read("/admin/upstreams/users/targets/a:2", request)).toEqual([404, { error, known }]);
  });

  it.each([
    "/admin/upstreams/%",
    "/admin/upstreams/users/targets/%zz",
    "/admin/upstreams/users/targets/a/base",
  ])("are none at %s", async (path) => {
    const [status, body] = await setUp().read(path);
    expect([status, body["error"]]).toEqual([404, "no such page"]);
  });

  it("set a target, and give what it is then", async () => {
    const { control, read } = setUp();
    const target = { id: "a:1/base", weight: 1 };
    control.collections["upstreams"] = {
      users: {
        describe: () => ({ targets: [target] }),
        change: (patch) => {
          expect(patch).toEqual({ target: "a:1/base", set: { weight: 4 } });
          target.weight = 4;
        },
      },
    };
    const request = { method: "PATCH", body: '{ "weight": 4 }' };
    expect(await read("/admin/upstreams/users/targets/a:1%2Fbase", request)).toEqual([200, target]);
    expect(target.weight).toBe(4);
  });

  it("refuse what cannot be set, and what is not JSON", async () => {
    const { control, read } = setUp();
    const problem = { code: "CONFIG_VALUE", message: "no", pointer: "/weight" };
    control.collections["upstreams"]!["users"]!.change = () => {
      throw new ConfigError([problem]);
    };
    const path = "/admin/upstreams/users/targets/a:1";
    expect(await read(path, { method: "PATCH", body: '{"weight":-1}' })).toEqual([
      422,
      { problems: [problem] },
    ]);
    for (const body of ["", "{", "weight=4"])
      expect(await read(path, { method: "PATCH", body })).toEqual([400, { error: "the body must be JSON" }]);
  });

  it("pass on failures that are nobody's fault", async () => {
    const { control, ask } = setUp();
    control.collections["upstreams"]!["users"]!.change = () => {
      throw new Error("broken");
    };
    const request = { method: "PATCH", body: "{}" };
    await expect(ask("/admin/upstreams/users/targets/a:1", request)).rejects.toThrow("broken");
    const large = { method: "PATCH", body: " ".repeat(70_000) };
    await expect(ask("/admin/upstreams/users/targets/a:1", large)).rejects.toMatchObject({
      code: "BODY_TOO_LARGE",
    });
  });
});

describe("the pages of circuit breakers", () => {
  it("list, give and change what stages expose", async () => {
    const { control, read } = setUp();
    expect(await read("/admin/circuit-breakers")).toEqual([200, [{ id: "x", state: "closed" }]]);
    expect(await read("/admin/circuit-breakers/x")).toEqual([200, { id: "x", state: "closed" }]);
    const breaker = { id: "users/a:1", state: "closed" };
    control.collections["circuit-breakers"] = {
      "users/a:1": { describe: () => breaker, change: (patch) => void Object.assign(breaker, patch) },
    };
    const path = "/admin/circuit-breakers/users%2Fa:1";
    expect(await read(path, { method: "PATCH", body: '{"state":"open"}' })).toEqual([
      200,
      { ...breaker, state: "open" },
    ]);
    expect(await read(path)).toEqual([200, { id: "users/a:1", state: "open" }]);
    expect(await read("/admin/circuit-breakers/y", { method: "PATCH", body: "{}" })).toEqual([
      404,
      { error: "there is none of this name", known: ["users/a:1"] },
    ]);
    expect((await read(path, { method: "PATCH", body: "x" }))[0]).toBe(400);
  });

  it("are there without any, and refuse a change that is not valid", async () => {
    const { control, read } = setUp();
    control.collections = {};
    expect(await read("/admin/circuit-breakers")).toEqual([200, []]);
    control.collections = {
      "circuit-breakers": {
        x: {
          describe: () => ({}),
          change() {
            throw new ConfigError("unknown state", "/state");
          },
        },
      },
    };
    expect(await read("/admin/circuit-breakers/x", { method: "PATCH", body: '{"state":1}' })).toMatchObject([
      422,
      { problems: [{ message: "unknown state", pointer: "/state" }] },
    ]);
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
    for (const path of ["/admin/upstreams/users/targets/a:1", "/admin/circuit-breakers/x"])
      expect((await ask(path, { method: "PATCH", body: "{}" })).status).toBe(401);
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

  it("may not be asked through a proxy, our own gateway above all", async () => {
    const { ask } = setUp();
    const headers = { via: "1.1 sluice" };
    expect((await ask("/admin/config", { host: "localhost:9901", headers })).status).toBe(403);
    expect((await ask("/health/live", { host: "localhost:9901", headers })).status).toBe(200);
    expect(
      (await setUp("t").ask("/metrics", { headers: { ...headers, authorization: "Bearer t" } })).status,
    ).toBe(200);
  });

  it.each(["/admin/upstreams/users/targets/a:1", "/admin/circuit-breakers/x"])(
    "%s is not changed by a page from elsewhere",
    async (path) => {
      const { control, ask } = setUp();
      for (const things of Object.values(control.collections)) {
        for (const thing of Object.values(things)) {
          thing.change = () => {
            throw new Error("changed");
          };
        }
      }
      const patch = (host: string, origin?: string) =>
        ask(path, { method: "PATCH", body: "{}", host, headers: origin === undefined ? {} : { origin } });
      expect((await patch("localhost:9901", "https://evil.example")).status).toBe(403);
      expect((await patch("evil.example")).status).toBe(403);
      await expect(patch("localhost:9901")).rejects.toThrow("changed");
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
    expect(await control.metrics.totals()).toMatchObject({ requests: 0, byStatus: {}, errors: {} });
    expect(control.log.lines).toEqual([]);
    expect(admin.onStart()).toBeUndefined();
    expect(admin.onEnd()).toBeUndefined();
    expect(admin.onRefused()).toBeUndefined();
  });
});
