import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  createTestGateway,
  type TestGateway,
  type TestGatewayOptions,
} from "../../../core/testing/test-gateway.ts";

const GREET = `import { definePlugin } from "sluice/plugin";
import { shout } from "./lib/shout.ts";
export default definePlugin({
  schema: {
    type: "object",
    properties: { greeting: { type: "string", default: "hello" } },
    additionalProperties: false,
  },
  request(req, ctx) {
    ctx.log.debug("greets", { path: req.path });
    if (req.query.has("early")) return ctx.reply({ status: 202, body: { early: true } });
    if (req.query.has("throw")) throw new Error("boom");
    if (req.query.has("loop")) for (;;);
    req.headers.set("x-greeting", shout(ctx.options.greeting));
    req.headers.set("x-seen", [req.ip, req.consumer?.name, ctx.now()].join());
  },
  response(res) {
    res.headers.append("set-cookie", "a=1");
    res.headers.append("set-cookie", "b=2");
  },
});
`;

let folder: string;
const open: TestGateway[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluice-test-gateway-"));
  await mkdir(join(folder, "plugins/lib"), { recursive: true });
  await writeFile(join(folder, "plugins/greet.ts"), GREET);
  await writeFile(
    join(folder, "plugins/lib/shout.ts"),
    "export const shout = (text: string) => `${text}!`;\n",
  );
});

afterEach(async () => {
  vi.restoreAllMocks();
  await Promise.all(open.splice(0).map((gw) => gw.close()));
  await rm(folder, { recursive: true, force: true });
});

async function create(
  pipeline: object[],
  parts: Record<string, unknown> = {},
  options?: TestGatewayOptions,
): Promise<TestGateway> {
  const routes = [{ name: "all", match: {}, pipeline, upstream: "app" }];
  const gw = await createTestGateway({ pluginsDir: join(folder, "plugins"), routes, ...parts }, options);
  open.push(gw);
  return gw;
}

/** What is written to standard error from now on. */
function watchErrors(): string[] {
  const texts: string[] = [];
  vi.spyOn(process.stderr, "write").mockImplementation((text) => texts.push(String(text)) > 0);
  return texts;
}

describe("a test gateway", () => {
  it("runs scripts in the real pipeline between a client and a fake upstream", async () => {
    const gw = await create([{ plugin: "greet", greeting: "hi" }]);
    gw.upstream("app").reply({ status: 201, headers: { "x-from": "app" }, body: { users: [1] } });
    const res = await gw.fetch("/users/7?full=1", {
      method: "POST",
      headers: { accept: ["a", "b"] },
      body: { name: "Ann" },
      ip: "203.0.113.7",
      consumer: { name: "mobile" },
    });
    expect(res.status).toBe(201);
    expect(await res.json()).toEqual({ users: [1] });
    expect(await res.text()).toBe('{"users":[1]}');
    expect([...(await res.bytes())]).toEqual([...Buffer.from('{"users":[1]}')]);
    expect(res.headers.get("content-type")).toBe("application/json");
    expect(res.headers.get("X-From")).toBe("app");
    expect(res.headers.getSetCookie()).toEqual(["a=1", "b=2"]);
    const { last, requests } = gw.upstream("app");
    expect(requests).toHaveLength(1);
    expect(last!.method).toBe("POST");
    expect(last!.url).toBe("/users/7?full=1");
    expect(last!.headers).toMatchObject({
      host: "app.test",
      accept: "a, b",
      "x-greeting": "hi!",
      "x-seen": `203.0.113.7,mobile,${Date.UTC(2026, 0, 1)}`,
      "content-type": "application/json",
    });
    expect(last!.json()).toEqual({ name: "Ann" });
    expect(last!.text()).toBe('{"name":"Ann"}');
    expect(gw.logs).toEqual([
      { level: "debug", script: "greet", message: "greets", fields: { path: "/users/7" } },
    ]);
  });

  it("gives a script's own reply, with nothing sent upstream", async () => {
    const gw = await create([{ plugin: "greet" }]);
    const res = await gw.fetch("http://shop.example/x?early");
    expect([res.status, await res.json()]).toEqual([202, { early: true }]);
    expect(gw.upstream("app").requests).toEqual([]);
    expect(gw.upstream("app").last).toBeUndefined();
  });

  it("replies what it is told: once, by a function, a bare 200 by default", async () => {
    const gw = await create([]);
    const app = gw.upstream("app");
    const first = await gw.fetch("/");
    expect([first.status, await first.text()]).toEqual([200, ""]);
    app.reply(async (request) => ({ body: `asked for ${request.url}` }));
    app.replyOnce({ status: 404 });
    expect((await gw.fetch("/a")).status).toBe(404);
    expect(await (await gw.fetch("/b c")).text()).toBe("asked for /b%20c");
    expect(app.requests.map(({ url }) => url)).toEqual(["/", "/a", "/b%20c"]);
  });

  it("fails as it is told, so that retries can be tested", async () => {
    const gw = await create([{ plugin: "retry", attempts: 2, on: ["connect", "reset"], budget: "100%" }]);
    const app = gw.upstream("app");
    app.failOnce("connect");
    expect((await gw.fetch("/")).status).toBe(200);
    app.failOnce("reset");
    expect((await gw.fetch("/")).status).toBe(200);
    expect(app.requests).toHaveLength(4);
    app.fail("timeout");
    const late = await gw.fetch("/");
    expect([late.status, (await late.json()).code]).toEqual([504, "UPSTREAM_TIMEOUT"]);
    app.fail("connect");
    const refused = await gw.fetch("/");
    expect([refused.status, (await refused.json()).code]).toEqual([502, "UPSTREAM_CONNECT_FAILED"]);
  });

  it("throws what the test's own reply has thrown", async () => {
    const gw = await create([]);
    gw.upstream("app").reply(() => {
      throw new Error("in the test");
    });
    await expect(gw.fetch("/")).rejects.toThrow("in the test");
  });

  it("tells the reason of a failed script beside the test, and not in the reply", async () => {
    const gw = await create([{ plugin: "greet" }]);
    const texts = watchErrors();
    const res = await gw.fetch("/?throw");
    expect(res.status).toBe(500);
    expect(await res.json()).toMatchObject({ code: "SCRIPT_THREW" });
    expect(await res.text()).not.toContain("boom");
    expect(texts.join("")).toContain("SCRIPT_THREW  script greet: Error: boom\n");
    expect(texts.join("")).toMatch(/ {3}12 \| .*throw new Error\("boom"\);\n {6}\| +\^\^\^/);
    expect(texts.join("")).toMatch(/at .*plugins\/greet\.ts:12:/);
  });

  it("has the limits of the sandbox, and tells of a demotion", async () => {
    const gw = await create([{ plugin: "greet" }]);
    const texts = watchErrors();
    expect((await (await gw.fetch("/?loop")).json()).code).toBe("SCRIPT_TIMEOUT");
    // A machine that gives it no time is not held against it.
    while (!texts.join("").includes("sluice: the script is demoted")) await gw.fetch("/?loop");
  });

  it("lets nobody in whom the gateway would not", async () => {
    const gw = await create([{ plugin: "greet" }]);
    expect((await gw.fetch("/%00")).status).toBe(400);
    expect((await gw.fetch("/", { headers: { host: "a b" } })).status).toBe(400);
    await gw.fetch("/", { headers: { "x-forwarded-for": "1.2.3.4", "x-consumer-name": "admin" } });
    expect(gw.upstream("app").last!.headers["x-forwarded-for"]).toBe("127.0.0.1");
    expect(gw.upstream("app").last!.headers["x-consumer-name"]).toBeUndefined();
  });

  it("answers HEAD without a body, and what has no route", async () => {
    const gw = await create([], { routes: [{ name: "a", match: { path: "/a" }, upstream: "app" }] });
    gw.upstream("app").reply({ body: "text" });
    const head = await gw.fetch("/a", { method: "HEAD" });
    expect([head.headers.get("content-length"), await head.text()]).toEqual(["4", ""]);
    expect((await gw.fetch("/b")).status).toBe(404);
  });

  it("plays the servers that scripts ask, and says which one the test has forgotten", async () => {
    await writeFile(
      join(folder, "plugins/flag.ts"),
      `import { definePlugin } from "sluice/plugin";
export default definePlugin({
  async request(req, ctx) {
    const authorization = ctx.secrets["token"].withPrefix("Bearer ");
    try {
      const res = await ctx.fetch("https://flags.example/v1" + req.url, { headers: { authorization } });
      req.headers.set("x-flag", res.status + " " + res.text());
    } catch (error) {
      req.headers.set("x-flag", String(error.message));
    }
  },
});
`,
    );
    const grants = { fetch: ["flags.example"], secrets: { token: "s3cret" } };
    const gw = await create([{ plugin: "flag", grants }]);
    const ask = async (url: string): Promise<string> => {
      await gw.fetch(url);
      return gw.upstream("app").last!.headers["x-flag"]!;
    };
    gw.onFetch("flags.example", { status: 404, body: "none" });
    gw.onFetch("https://flags.example/v1/a", ({ headers }) => ({ body: headers["authorization"] }));
    gw.onFetch("https://flags.example/v1/b?x=1", "timeout");
    expect(await ask("/")).toBe("404 none");
    expect(await ask("/a?y=1")).toBe("200 Bearer s3cret");
    expect(await ask("/b?x=1")).toBe("fetch failed: it was not done within 2000 ms");
    expect(gw.fetched.map(({ url }) => url)).toEqual([
      "https://flags.example/v1/",
      "https://flags.example/v1/a?y=1",
      "https://flags.example/v1/b?x=1",
    ]);
    const other = await create([{ plugin: "flag", grants }]);
    await expect(other.fetch("/a")).rejects.toThrow(
      'A script asks https://flags.example/v1/a, for which the test has no reply: add gw.onFetch("flags.example", { … })',
    );
    const ungranted = await create([{ plugin: "flag", grants: { ...grants, fetch: ["x.example"] } }]);
    await ungranted.fetch("/");
    expect(ungranted.upstream("app").last!.headers["x-flag"]).toMatch(
      /^fetch failed: the host .* is not granted/,
    );
  });

  it("keeps values in memory on its clock, and tells what scripts have counted", async () => {
    await writeFile(
      join(folder, "plugins/once.ts"),
      `import { definePlugin } from "sluice/plugin";
export default definePlugin({
  async request(req, ctx) {
    const isFirst = await ctx.kv.set("seen", "1", { ttlMs: 1000, ifAbsent: true });
    ctx.metrics.counter("requests").inc({ first: String(isFirst) });
    if (!isFirst) return ctx.reply({ status: 409 });
  },
});
`,
    );
    const gw = await create([{ plugin: "once", grants: { kv: true } }]);
    const statuses = [];
    for (const ms of [0, 999, 1]) {
      gw.clock.advance(ms);
      statuses.push((await gw.fetch("/")).status);
    }
    expect(statuses).toEqual([200, 409, 200]);
    expect(await gw.metrics()).toEqual({
      'sluice_script_once_requests{first="true"}': 2,
      'sluice_script_once_requests{first="false"}': 1,
    });
  });

  it("moves its clock only when told, from where it is told", async () => {
    const gw = await create([{ plugin: "greet" }], {}, { now: 5000 });
    gw.clock.advance(250);
    await gw.fetch("/");
    expect(gw.clock.now()).toBe(5250);
    expect(gw.upstream("app").last!.headers["x-seen"]).toMatch(/,5250$/);
  });

  it("takes a file, with the environment that it is given", async () => {
    const path = join(folder, "gateway.yaml");
    await writeFile(
      path,
      `apiVersion: sluice/v1
listeners: [{ address: 127.0.0.1:0 }]
upstreams:
  app: { targets: ["https://\${env:HOST}/base"], health: { active: { path: /health } }, tls: { ca: nowhere.pem } }
  found: { targets: { dns: { host: app.invalid, port: 80 } } }
routes:
  - { name: all, match: {}, pipeline: [{ plugin: greet }], upstream: app }
  - { name: found, match: { path: /found }, upstream: found }
`,
    );
    const gw = await createTestGateway(path, { env: { HOST: "api.example" } });
    open.push(gw);
    await gw.fetch("/x");
    expect(gw.upstream("app").last).toMatchObject({ url: "/base/x", headers: { host: "api.example" } });
    await gw.fetch("/found");
    expect(gw.upstream("found").requests).toHaveLength(1);
  });

  it("refuses a configuration with everything that is wrong with it, as a check would show it", async () => {
    await writeFile(join(folder, "plugins/broken.ts"), "export default {;\n");
    const error = (await create([{ plugin: "greet", greting: "hi" }]).catch((e: unknown) => e)) as Error;
    expect(error.message).toMatch(/^The configuration cannot be used\.\n\n/);
    expect(error.message).toContain('did you mean "greeting"?');
    expect(error.message).toMatch(/plugins\/broken\.ts:1:\d+ error CONFIG_SCRIPT /);
    expect(error.message).toContain("2 problems");
  });

  it("says what is wrong with a test: unknown names, bodies that are no JSON, a gateway that is closed", async () => {
    const gw = await create([]);
    expect(() => gw.upstream("ap")).toThrow('There is no upstream "ap"; there is app');
    gw.upstream("app").reply({ body: "<p>" });
    await expect((await gw.fetch("/")).json()).rejects.toThrow('The body of the reply is not JSON: "<p>"');
    await expect(gw.fetch("users")).rejects.toThrow('"users" is neither a path');
    await gw.close();
    await expect(gw.fetch("/")).rejects.toThrow("The gateway is closed");
  });
});
