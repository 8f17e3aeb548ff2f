import { describe, expect, it } from "vitest";
import { bodyText, exchange, FakeLog, reply } from "../../support/harness.ts";
import { openFunction, openScript } from "../../support/scripts.ts";

describe("ctx.reply", () => {
  it.each([
    ["{}", 200, [], ""],
    [
      '{ status: 404, body: "none" }',
      404,
      ["content-type", "text/plain; charset=utf-8", "content-length", "4"],
      "none",
    ],
    ['{ body: { a: "ä" } }', 200, ["content-type", "application/json", "content-length", "10"], '{"a":"ä"}'],
    [
      '{ body: new Uint8Array([97, 98]), headers: { "Content-Type": "text/css" } }',
      200,
      ["content-type", "text/css", "content-length", "2"],
      "ab",
    ],
    ['{ status: 204, headers: { "X-A": ["1", "2"] }, body: "x" }', 204, ["x-a", "1", "x-a", "2"], ""],
    ['{ headers: [["x-a", "1"], ["x-b", "2"]] }', 200, ["x-a", "1", "x-b", "2"], ""],
    ["{ headers: req.headers }", 200, ["x-from", "client"], ""],
  ])("answers with %s", async (init, status, headers, body) => {
    await using script = await openScript(`{ request: (req, ctx) => ctx.reply(${init}) }`);
    const answer = await script.ask({ headers: { "x-from": "client" } });
    expect([
      answer.status,
      answer.headers.raw.filter((_, i, raw) => raw[i - (i % 2)] !== "content-length" || body !== ""),
    ]).toEqual([status, headers]);
    expect(await bodyText(answer)).toBe(body);
  });

  it.each([
    ["{ status: 101 }", "A status is a whole number from 200 to 599, not 101"],
    ['{ headers: { connection: "close" } }', "The header connection belongs to the gateway"],
    ["{ body: () => {} }", "A body cannot be a function"],
  ])("refuses %s", async (init, message) => {
    await using refused = await openFunction(`(ctx) => ctx.reply(${init})`);
    await expect(refused()).rejects.toThrow(message);
  });
});

describe("ctx.state", () => {
  it("holds at most 64 KB", async () => {
    await using script = await openScript('{ request(req, ctx) { ctx.state.a = "a".repeat(65536); } }');
    await expect(script.ask()).rejects.toMatchObject({ code: "SCRIPT_OUTPUT" });
  });
});

describe("what a hook writes", () => {
  it("comes into the log with the script's name, by its level", async () => {
    await using write = await openFunction(`(ctx) => {
      for (const level of ["debug", "info", "warn", "error"]) ctx.log[level]("a " + level, { level });
      ctx.log.info("plain");
      ctx.log.info(7, { a: [1] });
    }`);
    await write();
    expect(write.host.log.lines).toEqual([
      ...["debug", "info", "warn", "error"].map((level) => ({
        level,
        fields: { script: "test", fields: { level } },
        message: `a ${level}`,
      })),
      { level: "info", fields: { script: "test" }, message: "plain" },
      { level: "info", fields: { script: "test", fields: { a: [1] } }, message: "7" },
    ]);
  });

  it("comes there from the console too, also after a pause", async () => {
    await using write = await openFunction(
      `async (ctx) => {
        console.log("one", 2, { a: 1 }, [3], null, undefined);
        await ctx.kv.get("a");
        console.error(new TypeError("late"));
      }`,
      { grants: { kv: { store: "main", namespace: "n" } } },
    );
    await write();
    expect(write.host.log.lines.map(({ level, message }) => [level, message])).toEqual([
      ["info", 'one 2 {"a":1} [3] null undefined'],
      ["error", "TypeError: late"],
    ]);
  });

  it("comes from the console into the log of the request that it is about", async () => {
    await using script = await openScript(
      "{ async request(req, ctx) { console.log(req.path); await ctx.kv.get(req.path); console.log(req.path); } }",
      { grants: { kv: { store: "main", namespace: "n" } } },
    );
    const logs = ["/a", "/b", "/c"].map((target) => ({ target, log: new FakeLog() }));
    await Promise.all(logs.map(({ target, log }) => script.handler(exchange({ target, init: { log } }))));
    for (const { target, log } of logs)
      expect(log.lines.map(({ message }) => message)).toEqual([target, target]);
  });

  it("is cut where it is too long, and never stops the hook", async () => {
    await using write = await openFunction(`(ctx) => {
      ctx.log.info("m".repeat(10000), { a: 1 });
      ctx.log.info("fields", { a: "f".repeat(10000) });
      const cycle = {}; cycle.self = cycle;
      ctx.log.info("cycle", cycle);
      console.log(cycle, 1n, Symbol("s"));
    }`);
    await write();
    const lines = write.host.log.lines.map(({ message, fields }) => [
      message,
      (fields as { fields?: unknown }).fields,
    ]);
    expect(lines).toEqual([
      [`${"m".repeat(4096)}…`, { a: 1 }],
      ["fields", "too long to be logged"],
      ["cycle", "cannot be logged"],
      ["[object Object] 1 Symbol(s)", undefined],
    ]);
  });

  it("is not written by what runs while the script is loaded", async () => {
    await using script = await openScript('console.log("top level") ?? { request() {} }');
    script.upstream = () => reply(200);
    expect((await script.ask()).status).toBe(200);
    expect(script.host.log.lines).toEqual([]);
  });
});

describe("time", () => {
  it("is the gateway's", async () => {
    await using now = await openFunction("(ctx) => ctx.now()");
    now.host.clock.advance(1234);
    expect(await now()).toBe(now.host.clock.now());
  });
});
