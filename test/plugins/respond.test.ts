import { describe, expect, it } from "vitest";
import { respond } from "../../plugins/respond.ts";
import { bodyText, buildStage, exchange, type RequestInit } from "../support/harness.ts";

async function run(options: Record<string, unknown>, request: RequestInit = {}) {
  const handler = await buildStage(respond, options, () => {
    throw new Error("next was called");
  });
  const out = await handler(exchange(request));
  return { out, text: await bodyText(out), raw: out.headers.raw };
}

async function problemsOf(options: Record<string, unknown>) {
  const error = await buildStage(respond, options).then(
    () => undefined,
    (e) => e,
  );
  expect(error?.name).toBe("ConfigError");
  return error.problems as { pointer: string; message: string }[];
}

describe("a fixed reply", () => {
  it("is an empty 200 without options", async () => {
    const { out, raw } = await run({});
    expect(out.status).toBe(200);
    expect(out.body).toBeNull();
    expect(raw).toEqual(["content-length", "0"]);
  });

  it("has the given status", async () => {
    expect((await run({ status: 503 })).out.status).toBe(503);
  });

  it("sends text with its length in bytes", async () => {
    const { text, raw } = await run({ body: "größe" });
    expect(text).toBe("größe");
    expect(raw).toEqual(["content-type", "text/plain; charset=utf-8", "content-length", "7"]);
  });

  it.each([[{ a: [1, "{id}", null] }], [null], [false], [0], [""]])("sends %j as JSON", async (json) => {
    const { text, out } = await run({ json });
    expect(text).toBe(JSON.stringify(json));
    expect(out.headers.get("content-type")).toBe("application/json");
  });

  it("lets headers override the content type, and sends lists as several lines", async () => {
    const { raw } = await run({
      body: "<p>",
      headers: { "Content-Type": "text/html", "Set-Cookie": ["a=1", "b=2"], "x-a": "1" },
    });
    expect(raw).toEqual([
      ...["content-type", "text/html", "set-cookie", "a=1", "set-cookie", "b=2", "x-a", "1"],
      ...["content-length", "3"],
    ]);
  });

  it("gives each request headers of its own", async () => {
    const handler = await buildStage(respond, { headers: { "x-a": "1" } });
    const first = await handler(exchange());
    first.headers.set("x-a", "2");
    expect((await handler(exchange())).headers.get("x-a")).toBe("1");
  });

  it("can be read and edited by stages above without changing later replies", async () => {
    const handler = await buildStage(respond, { body: "one" });
    const first = await handler(exchange());
    expect((await first.readBody(100)).toString()).toBe("one");
    first.setBody("two");
    expect(await bodyText(await handler(exchange()))).toBe("one");
  });

  it("does not touch the request's body", async () => {
    const x = exchange({ method: "POST", body: "input" });
    const { body } = x;
    await (await buildStage(respond, {}))(x);
    expect(x.body).toBe(body);
  });
});

describe("a reply with variables", () => {
  it("fills in body and headers", async () => {
    const { text, raw } = await run(
      { body: "hello {name}", headers: { "x-path": "{request.path}" } },
      { target: "/a?b", params: { name: "Zoë" } },
    );
    expect(text).toBe("hello Zoë");
    expect(raw).toEqual([
      ...["content-type", "text/plain; charset=utf-8", "x-path", "/a", "content-length", "10"],
    ]);
  });

  it("keeps the length of a fixed body beside a varying header", async () => {
    const { text, out } = await run({ body: "abc", headers: { "x-m": "{request.method}" } });
    expect(text).toBe("abc");
    expect(out.headers.getAll("content-length")).toEqual(["3"]);
  });

  it("leaves out a header whose only variable is absent, and is empty when the body's is", async () => {
    const { text, out } = await run({ body: "{consumer.name}", headers: { "x-c": "{consumer.name}" } });
    expect(out.headers.has("x-c")).toBe(false);
    expect(text).toBe("");
    expect(out.headers.get("content-length")).toBe("0");
  });

  it("escapes values for the body's type and for headers", async () => {
    const params = { q: `"<\r\n` };
    const html = { "content-type": "text/html" };
    expect((await run({ body: "{q}", headers: html }, { params })).text).toBe("&quot;&lt;\r\n");
    const json = { "content-type": "application/json", "x-q": "{q}" };
    const { text, out } = await run({ body: `{{"q":"{q}"}}`, headers: json }, { params });
    expect(JSON.parse(text)).toEqual(params);
    expect(out.headers.get("x-q")).toBe(`"<%0D%0A`);
  });

  it("takes the content type from a variable", async () => {
    const headers = { "content-type": "{request.query.type}" };
    const { out } = await run({ body: "x", headers }, { target: "/?type=text/css" });
    expect(out.headers.getAll("content-type")).toEqual(["text/css"]);
  });
});

describe("a reply without a body", () => {
  it.each(["fixed", "{request.method}"])("answers HEAD with the headers of GET (%s)", async (body) => {
    const get = await run({ body: body.replace("{request.method}", "{request.path}") });
    const head = await run({ body: body.replace("{request.method}", "{request.path}") }, { method: "HEAD" });
    expect(head.out.body).toBeNull();
    expect(head.raw).toEqual(get.raw);
  });

  it.each([204, 304])("has no length with status %d", async (status) => {
    const { out, raw } = await run({ status, headers: { etag: '"a"' } });
    expect(out.body).toBeNull();
    expect(raw).toEqual(["etag", '"a"']);
  });
});

describe("options that cannot work", () => {
  it.each([
    [{ body: "a", json: 1 }, "/json"],
    [{ status: 204, body: "a" }, "/body"],
    [{ status: 304, json: {} }, "/json"],
    [{ body: "{unknown.thing}" }, "/body"],
    [{ headers: { "Content-Length": "3" } }, "/headers/Content-Length"],
    [{ headers: { "x y": "3" } }, "/headers/x y"],
    [{ headers: { "x-a": ["1", "a\nb"] } }, "/headers/x-a/1"],
  ])("refuses %j at %s", async (options, pointer) => {
    expect((await problemsOf(options)).map((p) => p.pointer)).toEqual([pointer]);
  });

  it.each([{ status: 199 }, { status: 600 }, { headers: { a: 1 } }, { text: "a" }])(
    "refuses %j",
    async (options) => {
      await expect(buildStage(respond, options)).rejects.toThrow();
    },
  );
});
