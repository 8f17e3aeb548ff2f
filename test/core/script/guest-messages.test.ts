import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bodyText, exchange, headerList, reply, type RequestInit } from "../../support/harness.ts";
import { openFunction, openScript } from "../../support/scripts.ts";

/** Where a request to `target` goes after a hook. */
async function sentTo(hook: string, target = "/a/b?c=d&e=%20f"): Promise<string> {
  await using script = await openScript(`{ request(req) { ${hook} } }`);
  const x = exchange({ target });
  await script.handler(x);
  return x.path + x.search;
}

describe("the url of a request", () => {
  it.each([
    ['req.url = "/x?y=1"', "/x?y=1"],
    ['req.url = "/%7Ea%2Fb%zz?c=%20"', "/%7Ea%2Fb%zz?c=%20"],
    ['req.url = "/grüße/🎈?q=ä\\ud800"', "/gr%C3%BC%C3%9Fe/%F0%9F%8E%88?q=%C3%A4%EF%BF%BD"],
    ['req.url = "/a[]|?x[]=1&y=~\'()*"', "/a[]|?x[]=1&y=~'()*"],
    ['req.url = "/\\\\\\"<>{}^`"', "/%5C%22%3C%3E%7B%7D%5E%60"],
    ["req.url = req.url", "/a/b?c=d&e=%20f"],
    ['req.path = "/x"', "/x?c=d&e=%20f"],
    ['req.path = "/x?y"', "/x%3Fy?c=d&e=%20f"],
    ['req.query.set("c", "ä b")', "/a/b?c=%C3%A4+b&e=+f"],
    ['req.query.delete("c"); req.query.delete("e")', "/a/b"],
    ['req.query.get("c")', "/a/b?c=d&e=%20f"],
    ['req.query.append("z", "1"); req.path = "/x"', "/x?c=d&e=+f&z=1"],
    ['const { query } = req; req.path = "/x"; query.set("c", "2")', "/x?c=2&e=+f"],
    ['const { query } = req; req.url = "/x?y=1"; query.append("z", "2")', "/x?y=1&z=2"],
    ['req.query.set("c", "2"); req.url = "/x?y=1"', "/x?y=1"],
    ['req.query.set("c", "2"); req.headers.set("x-url", req.url); req.query.delete("e")', "/a/b?c=2"],
  ])("is sent as told: %s", async (hook, expected) => {
    expect(await sentTo(hook)).toBe(expected);
  });

  it.each(["x", "", "http://evil/", "/a b", "/a#b", "/a\\nb", "/a\\u007f"])("cannot be %j", async (url) => {
    await using refused = await openFunction(`(ctx, req) => { req.url = "${url}"; }`);
    await expect(refused()).rejects.toThrow("TypeError: The url must be a path such as /users/7?full=1");
  });

  it("takes any query that its params make", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.string(), fc.string({ unit: "binary" })), { minLength: 1 }),
        async (pairs) => {
          const hook = `for (const [name, value] of ${JSON.stringify(pairs)}) req.query.append(name, value);`;
          expect(await sentTo(hook, "/a")).toBe(`/a?${new URLSearchParams(pairs)}`);
        },
      ),
      { numRuns: 30 },
    ));
});

describe("the body of a message", () => {
  /** The body that is sent upstream, undefined when it is the one that came. */
  async function sent(kind: string, hook: string, body: RequestInit["body"]): Promise<string | undefined> {
    await using script = await openScript(`{ body: { request: "${kind}" }, request(req) { ${hook} } }`);
    const x = exchange({ method: "POST", body: body ?? null });
    const before = x.body;
    await script.handler(x);
    return x.body === before ? undefined : bodyText(x);
  }

  it.each([
    ["json", "req.body.a = 2", '{ "a": 1 }', '{"a":2}'],
    ["json", "req.body.a = 1", '{ "a": 1 }', '{ "a": 1 }'],
    ["json", "req.body = [1]", "", "[1]"],
    ["json", "req.body = undefined", "{}", ""],
    ["json", "req.body", '{"a":1e2}', '{"a":1e2}'],
    ["json", 'req.body = "text"', "{}", '"text"'],
    ["text", 'req.body += "ü🎈"', "grüße", "grüßeü🎈"],
    ["text", 'req.body = { a: "ä" }', "x", '{"a":"ä"}'],
    ["bytes", "req.body[0] = 0x62", "abc", "bbc"],
    ["bytes", 'req.body = new TextEncoder().encode("ä")', "abc", "ä"],
    ["bytes", 'req.body = "ä"', "abc", "ä"],
  ])("as %s, after %s", async (kind, hook, body, expected) => {
    expect((await sent(kind, hook, body)) ?? body).toBe(expected);
  });

  it("is refused when it is no JSON, and only when it is looked at", async () => {
    await expect(sent("json", "req.body", "{")).rejects.toMatchObject({ code: "BODY_NOT_JSON" });
    expect(await bodyTextOrSame("json", "", "{")).toBe("{");
  });

  const bodyTextOrSame = async (kind: string, hook: string, body: string): Promise<string> =>
    (await sent(kind, hook, body)) ?? body;

  it("is refused when it cannot be sent", async () => {
    await expect(sent("json", "req.body = () => {}", "{}")).rejects.toMatchObject({ code: "SCRIPT_THREW" });
    await expect(sent("text", "req.body = Symbol.iterator", "")).rejects.toMatchObject({
      code: "SCRIPT_THREW",
    });
  });

  it("says how to have it read", async () => {
    await using script = await openScript("{ request(req) { req.body; } }");
    await expect(script.ask()).rejects.toMatchObject({
      cause: {
        message: expect.stringContaining('declare body: { request: "json" } in definePlugin') as string,
      },
    });
  });
});

describe("a response", () => {
  it("has its status, headers and body changed", async () => {
    await using script = await openScript(`{
      body: { response: "json" },
      response(res, ctx) {
        res.headers.set("x-was", String(res.status));
        res.headers.delete("x-b");
        res.status = 201;
        res.body = { data: res.body };
      },
    }`);
    script.upstream = () => reply(200, { "x-b": ["1", "2"], "content-type": "application/json" }, "[1]");
    const answer = await script.ask();
    expect([
      answer.status,
      answer.headers.get("x-was"),
      answer.headers.has("x-b"),
      await bodyText(answer),
    ]).toEqual([201, "200", false, '{"data":[1]}']);
  });

  it.each(["100", "600", "200.5", '"200"', "NaN", "undefined"])(
    "cannot have the status %s",
    async (status) => {
      await using script = await openScript(`{ response(res) { res.status = ${status}; } }`);
      await expect(script.ask()).rejects.toMatchObject({
        cause: { message: expect.stringContaining("A status is a whole number from 200 to 599") as string },
      });
    },
  );
});

describe("what a request is known by", () => {
  it("is there for hooks", async () => {
    await using script = await openScript(
      "{ request: ({ method, ip, id, route, params, consumer }, ctx) => ctx.reply({ body: { method, ip, id, route, params, consumer } }) }",
    );
    const x = exchange({
      method: "PUT",
      params: { id: "ä/7" },
      init: { clientAddress: "192.0.2.1" },
    });
    x.consumer = { name: "mobile", roles: ["user"], tier: "gold", claims: { sub: "1" } };
    const answer = await script.handler(x);
    expect(JSON.parse(await bodyText(answer))).toEqual({
      method: "PUT",
      ip: "192.0.2.1",
      id: x.id,
      route: "test",
      params: { id: "ä/7" },
      consumer: x.consumer,
    });
    expect(answer.headers).toEqual(
      headerList({ "content-type": "application/json", "content-length": expect.any(String) as string }),
    );
  });
});
