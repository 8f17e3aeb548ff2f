import { gzipSync } from "node:zlib";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import type { GatewayError } from "../../../core/errors.ts";
import { ScriptRunner } from "../../../core/script/runner.ts";
import { FakeHost, bodyText, exchange, reply } from "../../support/harness.ts";
import { openScript, type OpenedScript, type ScriptInit } from "../../support/scripts.ts";

/** What a script that is called fails with. */
async function failure(run: () => unknown): Promise<GatewayError> {
  try {
    await run();
  } catch (error) {
    return error as GatewayError;
  }
  return expect.fail("it did not fail");
}

const codes = async (script: OpenedScript, count: number): Promise<string[]> => {
  const all: string[] = [];
  for (let i = 0; i < count; i++) {
    all.push(
      await script.ask().then(
        ({ status }) => String(status),
        (error: GatewayError) => error.code,
      ),
    );
  }
  return all;
};

/** Loops while the header says so. */
const LOOP = `{ request(req) { while (req.headers.get("x-loop") !== null); } }`;
const LIMITS: ScriptInit = { limits: { cpuMs: 20, wallMs: 300 } };

/** As on a machine that gives a script all of its time: what did not get it is not to blame for a timeout. */
const giveAllTime = (): void => {
  const usage = vi.spyOn(process, "threadCpuUsage").mockReturnValue({ user: 10e6, system: 0 });
  onTestFinished(() => usage.mockRestore());
};

describe("a request hook", () => {
  it("reads and changes what is sent upstream", async () => {
    await using script = await openScript(
      `{ request(req, ctx) {
      req.headers.set("X-Seen", [req.method, req.path, req.query.get("q"), req.params.id, req.ip, req.route].join(" "));
      req.headers.delete("x-old");
      req.query.set("q", "2");
      req.path = "/new" + req.path;
      req.headers.set("x-option", ctx.options.word);
    } }`,
      { options: { word: "yes" } },
    );
    const x = exchange({ method: "PUT", target: "/a?q=1", headers: { "X-Old": "1" }, params: { id: "7" } });
    await script.handler(x);
    expect(x.headers.raw).toEqual(["x-seen", "PUT /a 1 7 127.0.0.1 test", "x-option", "yes"]);
    expect(x.path + x.search).toBe("/new/a?q=2");
  });

  it("answers at once, and the stages below are not asked", async () => {
    await using script = await openScript(
      `{ request: (req, ctx) => ctx.reply({ status: 403, headers: { "x-why": "no" }, body: { error: "no" } }),
         response(res) { res.headers.set("x-after", "1"); } }`,
    );
    const answer = await script.ask();
    expect([
      answer.status,
      answer.headers.get("x-why"),
      answer.headers.get("x-after"),
      await bodyText(answer),
    ]).toEqual([403, "no", undefined, '{"error":"no"}']);
  });

  it("may settle later", async () => {
    await using script = await openScript(
      `{ async request(req) { await null; req.headers.set("x-a", "1"); await null; req.headers.set("x-b", "2"); } }`,
    );
    const x = exchange();
    await script.handler(x);
    expect(x.headers.raw).toEqual(["x-a", "1", "x-b", "2"]);
  });

  it.each([
    ["json", `req.body.b = [1]`, '{"a":1}', '{"a":1,"b":[1]}'],
    ["json", `req.body = { c: 2 }`, '{"a":1}', '{"c":2}'],
    ["json", `req.body.a`, '{ "a" : 1 }', '{ "a" : 1 }'],
    ["json", `delete req.body.b`, '{ "a" : 1 }', '{ "a" : 1 }'],
    ["text", `req.body = req.body.toUpperCase()`, "hä", "HÄ"],
    ["bytes", `req.body[0] = 65`, "hi", "Ai"],
    ["bytes", `req.body = new TextEncoder().encode("ü")`, "hi", "ü"],
  ])("changes a %s body: %s", async (kind, code, body, expected) => {
    await using script = await openScript(`{ body: { request: "${kind}" }, request(req) { ${code}; } }`);
    const x = exchange({ method: "POST", body });
    await script.handler(x);
    expect((await x.readBody(100)).toString()).toBe(expected);
  });

  it("gets a compressed body unpacked", async () => {
    await using script = await openScript(`{ body: { request: "text" }, request(req) { req.body += "!"; } }`);
    const x = exchange({ method: "POST", body: gzipSync("hello"), headers: { "content-encoding": "gzip" } });
    await script.handler(x);
    expect([(await x.readBody(100)).toString(), x.headers.get("content-encoding")]).toEqual([
      "hello!",
      undefined,
    ]);
  });

  it("lets a body pass that it has not declared, and says so when it is read", async () => {
    await using script = await openScript(`{ request(req) { if (req.path === "/read") req.body; } }`);
    const x = exchange({ method: "POST", body: "as it came" });
    await script.handler(x);
    expect((await x.readBody(100)).toString()).toBe("as it came");
    const error = await failure(() => script.handler(exchange({ target: "/read" })));
    expect((error.cause as Error).message).toContain('declare body: { request: "json" }');
  });

  it("is the client's fault when its JSON is none, and nobody's when it is not read", async () => {
    await using script = await openScript(
      `{ body: { request: "json" }, request(req) { if (req.path === "/read") req.body; } }`,
    );
    const error = await failure(() =>
      script.handler(exchange({ method: "POST", target: "/read", body: "{" })),
    );
    expect([error.code, error.status]).toEqual(["BODY_NOT_JSON", 400]);
    expect((await script.ask({ method: "POST", body: "{" })).status).toBe(200);
  });

  it("refuses a body that is larger than declared", async () => {
    await using script = await openScript(`{ body: { request: "text", max: "10B" }, request() {} }`);
    const error = await failure(() => script.ask({ method: "POST", body: "x".repeat(11) }));
    expect(error.code).toBe("BODY_TOO_LARGE");
  });

  it.each(["5", '"text"', "{}", "req", "null"])("may not return %s", async (value) => {
    await using script = await openScript(`{ request: (req) => (${value}) }`);
    expect((await failure(() => script.ask())).code).toBe("SCRIPT_THREW");
  });
});

describe("a response hook", () => {
  it("reads and changes status, headers and body", async () => {
    await using script = await openScript(`{ body: { response: "text" }, response(res) {
      res.headers.set("x-was", res.status + " " + res.headers.get("content-type"));
      res.status = 202;
      res.body = "<" + res.body + ">";
    } }`);
    const answer = await script.ask();
    expect([answer.status, answer.headers.get("x-was"), await bodyText(answer)]).toEqual([
      202,
      "200 null",
      "<upstream>",
    ]);
    expect(answer.headers.get("content-length")).toBe("10");
  });

  it.each(["", ", request() {}"])("asks for whole bodies when it edits them%s", async (other) => {
    await using script = await openScript(`{ body: { response: "text" }, response() {}${other} }`);
    const x = exchange({ headers: { range: "bytes=0-1", "if-range": "x" } });
    await script.handler(x);
    expect(x.headers.raw).toEqual([]);
  });

  it("is the upstream's fault when its JSON is none", async () => {
    await using script = await openScript(`{ body: { response: "json" }, response(res) { res.body; } }`);
    expect((await failure(() => script.ask())).code).toBe("UPSTREAM_BODY_INVALID");
  });

  it.each([100, 600, "NaN", '"200"', 200.5])("may not set the status %s", async (status) => {
    await using script = await openScript(`{ response(res) { res.status = ${status}; } }`);
    expect((await failure(() => script.ask())).code).toBe("SCRIPT_THREW");
  });
});

describe("state", () => {
  it("is shared by the hooks of one request, and gone with it", async () => {
    await using script = await openScript(`{
      request(req, ctx) { ctx.state.count = (ctx.state.count ?? 0) + 1; },
      response(res, ctx) { res.headers.set("x-count", String(ctx.state.count)); } }`);
    expect((await script.ask()).headers.get("x-count")).toBe("1");
    expect((await script.ask()).headers.get("x-count")).toBe("1");
  });

  it("can be read by scripts of later stages, by name", async () => {
    const host = new FakeHost();
    await using first = await openScript(`{ request(req, ctx) { ctx.state.user = { id: 7 }; } }`, {
      name: "first",
      host,
    });
    await using second = await openScript(
      `{ request: (req, ctx) => ctx.reply({ body: [ctx.stateOf("first"), ctx.stateOf("none") === undefined] }) }`,
      { name: "second", host },
    );
    const x = exchange();
    await first.handler(x);
    expect(await bodyText(await second.handler(x))).toBe('[{"user":{"id":7}},true]');
  });
});

describe("a script that fails", () => {
  it("has what it threw in the log's cause, not in the reply", async () => {
    await using script = await openScript(`{ request() { throw new TypeError("secret"); } }`);
    const error = await failure(() => script.ask());
    expect([error.code, error.status, error.message]).toEqual(["SCRIPT_THREW", 500, "A script failed"]);
    const cause = error.cause as Error;
    expect(cause.message).toBe("script test: TypeError: secret");
    expect(cause.stack).toMatch(/^TypeError: secret\n {4}at .*plugins\/test\.ts:\d+:\d+/);
  });

  it("is cut when it runs for too long, and demoted: it goes on elsewhere", async () => {
    giveAllTime();
    await using script = await openScript(LOOP, { limits: { cpuMs: 100 } });
    const error = await failure(() => script.ask({ headers: { "x-loop": "1" } }));
    expect(error.code).toBe("SCRIPT_TIMEOUT");
    expect(script.host.log.lines.at(-1)).toMatchObject({
      level: "warn",
      fields: { script: "test", reason: "timeouts" },
    });
    expect(await codes(script, 3)).toEqual(["200", "200", "200"]);
  });

  it("is quarantined after four timeouts, tried again after 30 s, and well then", async () => {
    giveAllTime();
    await using script = await openScript(LOOP, { limits: { cpuMs: 20 } });
    const loop = { headers: { "x-loop": "1" } };
    for (let i = 0; i < 4; i++) expect((await failure(() => script.ask(loop))).code).toBe("SCRIPT_TIMEOUT");
    expect(script.host.log.lines.at(-1)).toMatchObject({ level: "error", fields: { forMs: 30_000 } });
    expect(await codes(script, 2)).toEqual(["SCRIPT_QUARANTINED", "SCRIPT_QUARANTINED"]);
  });

  it("is cut when it takes too much memory, and has an isolate anew", async () => {
    await using script = await openScript(
      `{ request(req) { const all = []; while (req.headers.get("x-bomb")) all.push(new Array(10_000).fill(all)); } }`,
      { limits: { cpuMs: 1000, memoryBytes: 8 * 1024 ** 2 } },
    );
    expect((await failure(() => script.ask({ headers: { "x-bomb": "1" } }))).code).toBe("SCRIPT_MEMORY");
    expect(await codes(script, 2)).toEqual(["200", "200"]);
  });

  it("times out when it does not settle", async () => {
    await using script = await openScript(`{ request: () => new Promise(() => {}) }`, LIMITS);
    const error = await failure(() => script.ask());
    expect([error.code, (error.cause as Error).message]).toEqual([
      "SCRIPT_TIMEOUT",
      "script test: the hook has not settled after 300 ms",
    ]);
    expect(await codes(script, 1)).toEqual(["SCRIPT_TIMEOUT"]);
  });

  it("is given up with the client", async () => {
    await using script = await openScript(`{ request: () => new Promise(() => {}) }`);
    const x = exchange();
    const asked = failure(() => script.handler(x));
    x.abort(new Error("gone"));
    expect((await asked).code).toBe("CLIENT_CLOSED");
  });

  it("cannot ask the gateway for ever", async () => {
    await using script = await openScript(
      `{ request(req, ctx) { for (let i = 0; i < 1001; i++) ctx.now(); } }`,
    );
    const error = await failure(() => script.ask());
    expect((error.cause as Error).message).toContain("can ask the gateway 1000 times");
  });

  it.each([
    ["SCRIPT_THREW", "throw 1;"],
    ["SCRIPT_THREW", 'await ctx.kv.get("a"); throw 1;'],
    ["SCRIPT_TIMEOUT", "for (;;);"],
    ["SCRIPT_TIMEOUT", 'await ctx.kv.get("a"); for (;;);'],
    ["SCRIPT_TIMEOUT", "await new Promise(() => {});"],
    ["SCRIPT_OUTPUT", 'await ctx.kv.get("a"); ctx.state.a = "a".repeat(65536);'],
  ])("is counted once: %s by %s", async (code, body) => {
    const grants = { kv: { store: "main", namespace: "n" } };
    await using script = await openScript(`{ async request(req, ctx) { ${body} } }`, { ...LIMITS, grants });
    expect(await failure(() => script.ask())).toMatchObject({ code });
    const runner = [...script.host.kept.values()].find((kept) => kept instanceof ScriptRunner)!;
    expect(Object.fromEntries(runner.stats.errors)).toEqual({ [code]: 1 });
  });

  it("does not take others with it", async () => {
    await using script = await openScript(
      `{ async request(req) { if (req.path === "/bad") throw new Error("bad"); await null; req.headers.set("x-ok", req.path); } }`,
    );
    const all = [exchange({ target: "/1" }), exchange({ target: "/bad" }), exchange({ target: "/2" })];
    const results = await Promise.allSettled(all.map(async (x) => script.handler(x)));
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(all.map((x) => x.headers.get("x-ok"))).toEqual(["/1", undefined, "/2"]);
  });
});

describe("a reply of the stages below", () => {
  it("is not touched when no hook looks at it", async () => {
    await using script = await openScript(`{ request() {} }`);
    const given = reply(200, {}, "x");
    expect(given.body).not.toBeNull();
    expect((await script.ask()).status).toBe(200);
  });
});
