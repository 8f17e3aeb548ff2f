import { brotliCompressSync, gzipSync, zstdCompressSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { BytesBody } from "../../core/body.ts";
import type { Exchange, Handler } from "../../core/plugin.ts";
import { Reply } from "../../core/reply.ts";
import { transform } from "../../plugins/transform.ts";
import { bodyText, buildStage, exchange, headerList, type RequestInit, reply } from "../support/harness.ts";

const JSON_TYPE = { "content-type": "application/json" };

/** Runs a request through `request` options and gives the exchange that the upstream saw. */
async function send(options: Record<string, unknown>, request: RequestInit = {}): Promise<Exchange> {
  let seen: Exchange | undefined;
  const handler = await buildStage(transform, { request: options }, (x) => {
    seen = x;
    return reply(200);
  });
  await handler(exchange(request));
  return seen!;
}

/** Runs a reply through `response` options. */
async function receive(options: Record<string, unknown>, upstream: Reply, request: RequestInit = {}) {
  const handler = await buildStage(transform, { response: options }, () => upstream);
  return handler(exchange(request));
}

async function problemOf(options: Record<string, unknown>) {
  const error = await buildStage(transform, options).then(
    () => undefined,
    (e) => e,
  );
  expect(error).toMatchObject({ name: "ConfigError" });
  return error.problems[0] as { pointer: string; message: string };
}

const json = (text: string, headers = {}): RequestInit => ({
  method: "POST",
  headers: { ...JSON_TYPE, "content-length": String(Buffer.byteLength(text)), ...headers },
  body: text,
});

describe("a transform with nothing to do", () => {
  it.each([
    {},
    { request: {}, response: {} },
    { request: { headers: {}, query: {}, body: {} }, response: { body: {} } },
  ])("is not there at all (%j)", async (options) => {
    const next: Handler = () => reply(200);
    expect(await buildStage(transform, options, next)).toBe(next);
  });
});

describe("request headers", () => {
  it("are set in place, added, removed and renamed, names in any case", async () => {
    const x = await send(
      {
        headers: {
          remove: ["X-Gone"],
          rename: { "X-Old": "X-New" },
          set: { Host: "api.example", "x-set": "1" },
          add: { "X-More": ["b", "c"] },
        },
      },
      {
        headers: [
          "Host",
          "a",
          "x-gone",
          "1",
          "X-Gone",
          "2",
          "x-old",
          "o",
          "X-Set",
          "0",
          "x-set",
          "00",
          "x-more",
          "a",
        ],
      },
    );
    expect(x.headers.raw).toEqual([
      ...["Host", "api.example", "x-new", "o", "X-Set", "1"],
      ...["x-more", "a", "x-more", "b", "x-more", "c"],
    ]);
  });

  it("are edited in the order remove, rename, set, add", async () => {
    const x = await send(
      {
        headers: {
          add: { "x-c": "added" },
          set: { "x-b": "{request.header.x-b}-set" },
          rename: { "x-a": "x-b", "x-d": "x-c" },
          remove: ["x-c"],
        },
      },
      { headers: { "x-a": "1", "x-c": "2", "x-d": "3" } },
    );
    expect(x.headers.raw).toEqual(["x-b", "1-set", "x-c", "3", "x-c", "added"]);
  });

  it("take templates, encoded so that a client cannot add a line", async () => {
    const params = { id: "a\r\nx: y" };
    const x = await send(
      { headers: { set: { "x-id": "id={id}", "x-list": ["a", "{id}"] }, add: { "x-ip": "{client.ip}" } } },
      { params },
    );
    expect(x.headers.getAll("x-id")).toEqual(["id=a%0D%0Ax: y"]);
    expect(x.headers.getAll("x-list")).toEqual(["a", "a%0D%0Ax: y"]);
    expect(x.headers.get("x-ip")).toBe("127.0.0.1");
  });

  it("stay untouched when the only variable of their template is absent", async () => {
    const x = await send(
      {
        headers: {
          set: { "x-a": "{consumer.name}", "x-b": ["{consumer.name}"] },
          add: { "x-c": "{consumer.name}" },
        },
      },
      { headers: { "x-a": "1", "x-b": "2" } },
    );
    expect(x.headers.raw).toEqual(["x-a", "1", "x-b", "2"]);
  });

  it("leave the reply alone", async () => {
    const upstream = reply(200, { "x-a": "1" });
    const handler = await buildStage(
      transform,
      { request: { headers: { set: { "x-a": "2" } } } },
      () => upstream,
    );
    expect(handler(exchange())).toBe(upstream); // and synchronously at that
    expect(upstream.headers.get("x-a")).toBe("1");
  });
});

describe("the request's query, path and method", () => {
  it("edits the query that stages above left", async () => {
    const edits = { remove: ["a"], rename: { b: "c" }, set: { d: "{id}" }, add: { e: "1" } };
    const x = await send({ query: edits }, { target: "/p?a=1&b=%20&x", params: { id: "4" } });
    expect(x.search).toBe("?c=%20&x&d=4&e=1");
    expect(x.originalSearch).toBe("?a=1&b=%20&x");
    expect(x.path).toBe("/p");
  });

  it.each([
    ["/v2/{id}", { id: "a/b?c#d" }, "/v2/a%2Fb%3Fc%23d"],
    ["/v2/{*}", { "*": "a%20b/c" }, "/v2/a%20b/c"],
    ["/v2{request.path}", {}, "/v2/p%20q"],
    ["/v2/{{x}}", {}, "/v2/{x}"],
    ["/v2", {}, "/v2"],
  ])("sends the path %s", async (path, params, expected) => {
    const x = await send({ path }, { target: "/p%20q?r", params });
    expect(x.path).toBe(expected);
    expect(x.search).toBe("?r");
  });

  it.each(["..", "."])("refuses a param %j that would climb out of its place", async (id) => {
    const error = send({ path: "/v2/{id}/x" }, { params: { id } });
    await expect(error).rejects.toMatchObject({ code: "REQUEST_TARGET_INVALID", status: 400 });
  });

  it("changes the method for the upstream only", async () => {
    const x = await send({ method: "PUT" }, { method: "POST" });
    expect([x.method, x.originalMethod]).toEqual(["PUT", "POST"]);
  });
});

describe("the request's body", () => {
  const edited = async (body: Record<string, unknown>, request: RequestInit) => {
    const x = await send({ body }, request);
    const text = await bodyText(x);
    if (text !== "") expect(x.headers.get("content-length")).toBe(String(Buffer.byteLength(text)));
    return text;
  };

  it("is edited by pointer in the order remove, rename, set, wrap", async () => {
    const body = {
      wrap: "/data",
      set: { "/b": "set", "/deep/er": { list: [1] } },
      rename: { "/a": "/b", "/c": "/d" },
      remove: ["/d"],
    };
    expect(await edited(body, json(`{"a": 1, "c": 2, "d": 3, "z": 12345678901234567890}`))).toBe(
      `{"data":{"z":12345678901234567890,"b":"set","d":2,"deep":{"er":{"list":[1]}}}}`,
    );
  });

  it("takes texts as templates and other values as they are", async () => {
    const set = {
      "/a": 'id "{id}"',
      "/b": { t: "{id}" },
      "/c": null,
      "/d": true,
      "/e": "{consumer.name}",
      "/f": "x",
    };
    const request = { ...json("{}"), params: { id: "7" } };
    expect(await edited({ set }, request)).toBe(
      `{"a":"id \\"7\\"","b":{"t":"{id}"},"c":null,"d":true,"f":"x"}`,
    );
  });

  it("does not share values between requests", async () => {
    const seen: string[] = [];
    const options = { request: { body: { set: { "/a": { n: 1 }, "/a/{{id}}": 2, "/a/x": "{id}" } } } };
    const handler = await buildStage(transform, options, async (x) => {
      seen.push(await bodyText(x));
      return reply(200);
    });
    for (const id of ["1", undefined]) {
      await handler(exchange({ ...json("{}"), params: id === undefined ? {} : { id } }));
    }
    expect(seen).toEqual([`{"a":{"n":1,"{{id}}":2,"x":"1"}}`, `{"a":{"n":1,"{{id}}":2}}`]);
  });

  it("has texts and regular expressions replaced, after edits of JSON", async () => {
    const replace = [
      { search: "hello", with: "{id}" },
      { search: { regex: '"(\\w+)@(?<host>[\\w.]+)"' }, with: '"$1 at $<host>, {id}"' },
      { search: "gone", with: "{consumer.name}" },
      { search: ".", with: "!" },
    ];
    const request = { ...json(`{"a":"hello hello","b":"me@x.org","c":"gone"}`), params: { id: '$1"' } };
    expect(await edited({ replace, set: { "/d": "hello" } }, request)).toBe(
      `{"a":"$1\\" $1\\"","b":"me at x!org, $1\\"","c":"gone","d":"$1\\""}`,
    );
  });

  it("escapes values for markup, and takes them as they are for plain text", async () => {
    const replace = [{ search: "X", with: "{id}" }];
    const as = (type: string) => ({ body: "X", headers: { "content-type": type }, params: { id: `<"` } });
    expect(await edited({ replace }, as("text/html"))).toBe("&lt;&quot;");
    expect(await edited({ replace }, as("text/plain"))).toBe(`<"`);
  });

  it.each([
    ["gzip", gzipSync],
    ["br", brotliCompressSync],
    ["zstd", zstdCompressSync],
  ])("may be encoded by %s", async (coding, compress) => {
    const request = { ...json("", { "content-encoding": coding }), body: compress(Buffer.from(`{"a":1}`)) };
    const x = await send({ body: { set: { "/b": 2 } } }, request);
    expect(await bodyText(x)).toBe(`{"a":1,"b":2}`);
    expect(x.headers.has("content-encoding")).toBe(false);
  });

  it("stays as it came when nothing changes", async () => {
    const bytes = gzipSync("abc");
    const headers = { "content-type": "text/plain", "content-encoding": "gzip" };
    const x = await send({ body: { replace: [{ search: "x", with: "y" }] } }, { headers, body: bytes });
    expect(x.headers.get("content-encoding")).toBe("gzip");
    expect((x.body as BytesBody).bytes.equals(bytes)).toBe(true);
  });

  it("may be absent or empty", async () => {
    const body = { set: { "/a": 1 } };
    expect((await send({ body })).body).toBeNull();
    expect(await bodyText(await send({ body }, { body: "" }))).toBe("");
    const unknownLength = { ...json(""), body: Object.assign(new BytesBody(Buffer.alloc(0)), {}) };
    Object.defineProperty(unknownLength.body, "length", { value: undefined });
    expect(await bodyText(await send({ body }, unknownLength))).toBe("");
  });

  it.each([
    ["not JSON", json("{a:1}")],
    ["truncated", json(`{"a":`)],
    ["not UTF-8", { ...json(""), body: Buffer.from([0x22, 0xff, 0x22]) }],
    ["too deep", json(`${"[1.0,".repeat(100_000)}1${"]".repeat(100_000)}`)],
    ["of another type", json("{}", { "content-type": "text/plain" })],
    ["of no type", { method: "POST", body: "{}" }],
  ])("is refused with 400 when it is %s and JSON is edited", async (_what, request) => {
    await expect(send({ body: { set: { "/a": 1 } } }, request)).rejects.toMatchObject({
      code: "BODY_NOT_JSON",
      status: 400,
    });
  });

  it("is refused when its text cannot be read", async () => {
    const request = { headers: { "content-type": "text/plain" }, body: Buffer.from([0xff]) };
    await expect(send({ body: { replace: [{ search: "a", with: "b" }] } }, request)).rejects.toMatchObject({
      code: "BODY_INVALID",
    });
  });

  it("is refused with 413 beyond `max`, as it came and decoded", async () => {
    const tooLarge = { code: "BODY_TOO_LARGE", status: 413 };
    const options = { set: { "/a": 1 }, max: "100B" };
    await expect(send({ body: options }, json(JSON.stringify("x".repeat(100))))).rejects.toMatchObject(
      tooLarge,
    );
    const bomb = { ...json("", { "content-encoding": "gzip" }), body: gzipSync(" ".repeat(50_000)) };
    await expect(send({ body: options }, bomb)).rejects.toMatchObject(tooLarge);
    expect(await edited(options, json(`"${"x".repeat(98)}"`))).toBe(`{"a":1}`);
  });

  it("is read up to 1 MB by default", async () => {
    const body = { set: { "/a": 1 } };
    await expect(send({ body }, json(`"${"x".repeat(2 ** 20 - 1)}"`))).rejects.toMatchObject({ status: 413 });
    expect(await edited(body, json(`"${"x".repeat(2 ** 20 - 2)}"`))).toBe(`{"a":1}`);
  });

  const types = async (body: Record<string, unknown>, candidates: string[]) => {
    const matching: string[] = [];
    for (const type of candidates) {
      const request = { headers: { "content-type": type }, body: '"X"' };
      const text = await send({ body }, request).then(bodyText, () => "refused");
      if (text !== '"X"' && text !== "refused") matching.push(type);
    }
    return matching;
  };
  const ALL = [
    "application/json",
    "Application/JSON; charset=utf-8",
    "application/problem+json",
    "text/html",
    "text/event-stream",
    "application/xml",
    "image/svg+xml",
    "application/javascript",
    "application/octet-stream",
  ];

  it("is edited as JSON for JSON types, and as text for textual types, by default", async () => {
    expect(await types({ set: { "": 1 } }, ALL)).toEqual(ALL.slice(0, 3));
    expect(await types({ set: { "": 1 }, replace: [{ search: "1", with: "2" }] }, ALL)).toEqual(
      ALL.slice(0, 3),
    );
    expect(await types({ replace: [{ search: "X", with: "Y" }] }, ALL)).toEqual([
      ...ALL.slice(0, 4),
      ...ALL.slice(5, 8),
    ]);
  });

  it("is edited for the types asked for", async () => {
    const replace = [{ search: "X", with: "Y" }];
    const of = (...contentTypes: string[]) => types({ replace, contentTypes }, ALL);
    expect(await of("text/HTML")).toEqual(["text/html"]);
    expect(await of("text/*")).toEqual(["text/html"]);
    expect(await of("text/event-stream")).toEqual(["text/event-stream"]);
    expect(await of("+xml", "application/json")).toEqual([ALL[0], ALL[1], "image/svg+xml"]);
    expect(await of("*/*")).toEqual(ALL);
    expect(await types({ set: { "": 1 }, contentTypes: ["text/html"] }, ALL)).toEqual(["text/html"]);
  });

  it("of other types passes text replacement unread", async () => {
    const body = new BytesBody(Buffer.from("a"));
    const request = { headers: { "content-type": "image/png" }, body };
    expect((await send({ body: { replace: [{ search: "a", with: "b" }] } }, request)).body).toBe(body);
  });

  it("sees the headers that were edited", async () => {
    const options = { headers: { set: JSON_TYPE }, body: { set: { "/h": "{request.header.content-type}" } } };
    const x = await send(options, { headers: { "content-type": "text/x" }, body: "{}" });
    expect(await bodyText(x)).toBe(`{"h":"application/json"}`);
  });
});

describe("the reply", () => {
  it("has its headers edited, with variables of request and reply", async () => {
    const headers = {
      remove: ["Server"],
      rename: { "x-a": "x-b" },
      set: { "x-status": "{response.status} {request.method} {id}", "x-c": "{response.header.x-c}+" },
      add: { "set-cookie": "b=2" },
    };
    const upstream = reply(201, { server: "s", "X-A": "1", "x-c": "c", "set-cookie": "a=1" });
    const out = await receive({ headers }, upstream, { params: { id: "7" } });
    expect(out).toBe(upstream);
    expect(out.headers.raw).toEqual([
      ...["x-b", "1", "x-c", "c+", "set-cookie", "a=1", "x-status", "201 GET 7", "set-cookie", "b=2"],
    ]);
  });

  it("has its body edited", async () => {
    const upstream = reply(200, { ...JSON_TYPE, etag: '"v1"' }, `{"id":9007199254740993,"secret":1}`);
    const out = await receive(
      { body: { remove: ["/secret"], set: { "/s": "{response.status}" } } },
      upstream,
    );
    expect(await bodyText(out)).toBe(`{"id":9007199254740993,"s":"200"}`);
    expect(out.headers.get("content-length")).toBe("33");
    expect(out.headers.get("etag")).toBe('W/"v1"');
  });

  it.each([
    ["gzip", gzipSync],
    ["br", brotliCompressSync],
    ["zstd", zstdCompressSync],
  ])("is sent in the clear when it was encoded by %s and is edited", async (coding, compress) => {
    const upstream = reply(
      200,
      { ...JSON_TYPE, "content-encoding": coding },
      compress(Buffer.from(`{"a":1}`)),
    );
    const out = await receive({ body: { wrap: "/data" } }, upstream);
    expect(await bodyText(out)).toBe(`{"data":{"a":1}}`);
    expect(out.headers.has("content-encoding")).toBe(false);
  });

  it("of another type is left alone", async () => {
    const upstream = reply(200, { "content-type": "text/plain" }, "{}");
    const { body } = upstream;
    const out = await receive({ body: { wrap: "/data" } }, upstream);
    expect(out.body).toBe(body);
  });

  it("of no type is left alone", async () => {
    const out = await receive({ body: { replace: [{ search: "a", with: "b" }] } }, reply(200, {}, "a"));
    expect(await bodyText(out)).toBe("a");
  });

  it.each([
    ["not JSON", Buffer.from("<html>")],
    ["not UTF-8", Buffer.from([0x22, 0xff, 0x22])],
  ])("that claims to be JSON and is %s is a 502", async (_what, body) => {
    await expect(receive({ body: { wrap: "/data" } }, reply(200, JSON_TYPE, body))).rejects.toMatchObject({
      code: "UPSTREAM_BODY_INVALID",
      status: 502,
    });
  });

  it("larger than `max` is a 502", async () => {
    const upstream = reply(200, JSON_TYPE, JSON.stringify("x".repeat(100)));
    await expect(receive({ body: { wrap: "/data", max: "64B" } }, upstream)).rejects.toMatchObject({
      code: "UPSTREAM_BODY_TOO_LARGE",
      status: 502,
    });
  });

  it("that is empty stays empty", async () => {
    const out = await receive(
      { body: { wrap: "/data" } },
      new Reply(200, headerList(JSON_TYPE), new BytesBody(Buffer.alloc(0))),
    );
    expect(await bodyText(out)).toBe("");
  });

  it("to HEAD does not tell the length and coding of a body that GET would not get", async () => {
    const headers = { ...JSON_TYPE, "content-length": "7", "content-encoding": "gzip", etag: '"v1"' };
    const head: RequestInit = { method: "HEAD" };
    const out = await receive({ body: { wrap: "/data" } }, reply(200, headers), head);
    expect(out.headers.raw).toEqual(["content-type", "application/json", "etag", 'W/"v1"']);
    const other = await receive({ body: { wrap: "/data" } }, reply(200, { "content-length": "7" }), head);
    expect(other.headers.get("content-length")).toBe("7");
  });

  it.each([204, 304])("with status %d has no body to edit", async (status) => {
    const out = await receive({ body: { set: { "/a": 1 } } }, reply(status, JSON_TYPE));
    expect(out.body).toBeNull();
    expect(out.headers.raw).toEqual(["content-type", "application/json"]);
  });

  it("is asked for whole when its body is edited", async () => {
    const request = { headers: { range: "bytes=0-1", "if-range": '"a"', accept: "*/*" } };
    const seen: string[][] = [];
    for (const options of [{ body: { wrap: "/data" } }, { headers: { set: { a: "b" } }, body: {} }]) {
      const handler = await buildStage(transform, { response: options }, (x) => {
        seen.push(x.headers.raw.filter((_, i) => i % 2 === 0));
        return reply(200);
      });
      await handler(exchange(request));
    }
    expect(seen).toEqual([["accept"], ["range", "if-range", "accept"]]);
  });

  it("sees the headers that were edited before its body", async () => {
    const out = await receive({ headers: { set: JSON_TYPE }, body: { wrap: "/d" } }, reply(200, {}, "1"));
    expect(await bodyText(out)).toBe(`{"d":1}`);
  });

  it("that is a failure passes as it is", async () => {
    const handler = await buildStage(transform, { response: { status: 200 } }, () => {
      throw new Error("below");
    });
    await expect(handler(exchange())).rejects.toThrow("below");
  });
});

describe("the reply's status", () => {
  it("is changed, without the upstream's reason", async () => {
    const upstream = reply(500, {}, "x");
    upstream.reason = "Broken";
    const out = await receive({ status: 503, headers: { set: { "x-was": "{response.status}" } } }, upstream);
    expect([out.status, out.reason, out.headers.get("x-was")]).toEqual([503, undefined, "500"]);
    expect(await bodyText(out)).toBe("x");
  });

  it("takes the body away when it allows none", async () => {
    let cancelled = false;
    const upstream = reply(200, { ...JSON_TYPE, etag: '"a"' }, "not json");
    upstream.body!.cancel = () => {
      cancelled = true;
    };
    const out = await receive({ status: 204, body: { wrap: "/d" } }, upstream);
    expect([out.status, out.body, cancelled]).toEqual([204, null, true]);
    expect(out.headers.has("content-length")).toBe(false);
  });

  it("says that there is no body when the upstream's allowed none", async () => {
    const out = await receive({ status: 200 }, reply(304, { "content-length": "10" }));
    expect(out.headers.raw).toEqual(["content-length", "0"]);
    const head = await receive({ status: 200 }, reply(304, { "content-length": "10" }), { method: "HEAD" });
    expect(head.headers.raw).toEqual([]);
  });
});

describe("options that cannot work", () => {
  it.each([
    [{ request: { headers: { set: { "Content-Length": "1" } } } }, "/request/headers/set/Content-Length"],
    [{ request: { headers: { add: { TE: "x" } } } }, "/request/headers/add/TE"],
    [{ request: { headers: { remove: ["a", "connection"] } } }, "/request/headers/remove/1"],
    [
      { request: { headers: { rename: { "transfer-encoding": "x" } } } },
      "/request/headers/rename/transfer-encoding",
    ],
    [{ response: { headers: { rename: { x: "Upgrade" } } } }, "/response/headers/rename/x"],
    [{ response: { headers: { set: { trailer: "x" } } } }, "/response/headers/set/trailer"],
    [{ response: { headers: { set: { "a b": "x" } } } }, "/response/headers/set/a b"],
    [{ response: { headers: { set: { "x-a": ["a", "b\nc"] } } } }, "/response/headers/set/x-a/1"],
    [{ response: { headers: { add: { "x-a": "{nope.x}" } } } }, "/response/headers/add/x-a"],
    [{ request: { headers: { set: { "x-a": "{response.status}" } } } }, "/request/headers"],
    [{ request: { path: "/{response.header.a}" } }, "/request/path"],
    [{ request: { query: { set: { a: "{" } } } }, "/request/query/set/a"],
    [{ request: { path: "/{" } }, "/request/path"],
    [{ request: { path: "/{request.url}" } }, "/request/path"],
    [{ request: { path: "/a{request.query}" } }, "/request/path"],
    [{ request: { path: "/a/../b" } }, "/request/path"],
    [{ request: { method: "HEAD" } }, "/request/method"],
    [{ request: { method: "CONNECT" } }, "/request/method"],
    [{ request: { body: { remove: ["/a", "b"] } } }, "/request/body/remove/1"],
    [{ request: { body: { remove: [""] } } }, "/request/body/remove/0"],
    [{ request: { body: { rename: { "": "/a" } } } }, "/request/body/rename/"],
    [{ request: { body: { rename: { "/a": "/a/b" } } } }, "/request/body/rename/~1a"],
    [{ request: { body: { rename: { "/a": "b" } } } }, "/request/body/rename/~1a"],
    [{ request: { body: { set: { "/a~": 1 } } } }, "/request/body/set/~1a~0"],
    [{ response: { body: { set: { "/a": "}" } } } }, "/response/body/set/~1a"],
    [{ response: { body: { wrap: "/~2" } } }, "/response/body/wrap"],
    [
      { response: { body: { replace: [{ search: { regex: "(" }, with: "" }] } } },
      "/response/body/replace/0/search/regex",
    ],
    [{ response: { body: { replace: [{ search: "a", with: "{" }] } } }, "/response/body/replace/0/with"],
  ])("refuses %j at %s", async (options, pointer) => {
    expect((await problemOf(options)).pointer).toBe(pointer);
  });

  it.each([
    { request: { path: "a" } },
    { request: { path: "/a?b" } },
    { request: { path: "/a b" } },
    { request: { path: "/ä" } },
    { request: { method: "get" } },
    { request: { status: 200 } },
    { request: { body: { wrap: "" } } },
    { request: { body: { max: "1" } } },
    { request: { body: { contentTypes: ["json"] } } },
    { request: { body: { contentTypes: [] } } },
    { request: { body: { replace: [{ search: "", with: "" }] } } },
    { request: { body: { replace: [{ search: { regex: "" }, with: "" }] } } },
    { request: { headers: { set: { a: [] } } } },
    { request: { headers: { rename: { a: "" } } } },
    { response: { status: 100 } },
    { response: { status: 600 } },
    { response: { path: "/a" } },
    { headers: {} },
  ])("refuses %j", async (options) => {
    await expect(buildStage(transform, options)).rejects.toThrow();
  });

  it("says `{{` for a brace, even before the name of a variable", async () => {
    const x = await send({ headers: { set: { "x-a": "{{response.status}}" } } });
    expect(x.headers.get("x-a")).toBe("{response.status}");
  });
});
