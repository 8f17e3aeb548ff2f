import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Exchange, GatewayError, QueuedBody, textReply } from "../../core/plugin.ts";
import { problemReply } from "../../core/reply.ts";
import { validate } from "../../plugins/validate.ts";
import { bodyText, buildStage, exchange, FakeHost, type RequestInit } from "../support/harness.ts";

const ORDER = {
  type: "object",
  properties: {
    name: { type: "string", minLength: 1, maxLength: 20, pattern: "^[a-z ]+$" },
    count: { type: "integer", minimum: 1 },
    mail: { type: "string", format: "email" },
    tags: { type: "array", items: { type: "string" }, uniqueItems: true },
    child: { $ref: "#" },
  },
  required: ["name"],
  additionalProperties: false,
};

const PRODUCER = { pause() {}, resume() {}, abort() {} };

interface Error {
  in: string;
  pointer: string;
  message: string;
}

/** What a client would see: `in`, or the code with the places and what is said of them. */
async function ask(options: object, request: RequestInit, host = new FakeHost()): Promise<string> {
  const seen: Exchange[] = [];
  const upstream = (x: Exchange) => {
    seen.push(x);
    return textReply(200, "in");
  };
  const handler = await buildStage(validate, options as never, upstream, host);
  try {
    const reply = await handler(exchange(request));
    expect(reply.status).toBe(200);
    return "in";
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    expect(seen).toEqual([]);
    if (error.code !== "VALIDATION_FAILED") return error.code;
    const problem = JSON.parse(await bodyText(problemReply(error))) as { errors: Error[]; status: number };
    expect(problem.status).toBe(400);
    return problem.errors.map((each) => `${each.in} ${each.pointer}: ${each.message}`).join("\n");
  }
}

const post = (body: unknown, headers: Record<string, string | string[]> = {}): RequestInit => ({
  method: "POST",
  headers: { "content-type": "application/json", ...headers },
  body: typeof body === "string" || Buffer.isBuffer(body) ? body : JSON.stringify(body),
});

describe("a body", () => {
  it.each([
    [{ name: "tea" }, "in"],
    [{ name: "tea", count: 2, child: { name: "cup", child: { name: "a" } } }, "in"],
    [{}, "body : must have required property 'name'"],
    [[], "body : must be object"],
    ["null", "body : must be object"],
    ['\ufeff{"name":"tea"}', "body : must be JSON"],
    ["{", "body : must be JSON"],
    [{ name: "TEA!", count: 0 }, 'body /name: must match pattern "^[a-z ]+$"\nbody /count: must be >= 1'],
    [{ name: "tea", count: "2" }, "body /count: must be integer"],
    [{ name: "tea", mail: "a@b..c" }, 'body /mail: must match format "email"'],
    [{ name: "tea", secret: "s3cr3t" }, "body /secret: is not known here"],
    [{ name: "tea", child: { name: "a", "a/b": 1 } }, "body /child/a~1b: is not known here"],
    [{ name: "tea", tags: ["a", "b", "a"] }, "body /tags: must not have the same item twice"],
    ['{"name":"tea","name":"cup"}', "body /name: must be there once"],
    ['{"name":"tea","__proto__":{"count":0}}', "body /__proto__: is not allowed as a key"],
    ['{"constructor":1}', "body : must have required property 'name'\nbody /constructor: is not known here"],
  ])("%j: %s", async (body, expected) => {
    expect(await ask({ body: ORDER }, post(body))).toBe(expected);
  });

  it.each([
    [{ a: [1, { b: 2, c: 3 }] }, "in"],
    [{ a: [1, { c: 3, b: 2 }] }, "in"],
    [1, "in"],
    ["1", "body : must be equal to one of the allowed values"],
    [{ a: [1, { b: 2 }] }, "body : must be equal to one of the allowed values"],
    [{ valueOf: 1, toString: 1, constructor: {} }, "body : must be equal to one of the allowed values"],
  ])("is compared by what it holds: %j: %s", async (body, expected) => {
    const schema = { enum: [{ a: [1, { b: 2, c: 3 }] }, 1] };
    expect(await ask({ body: schema }, post(JSON.stringify(body)))).toBe(expected);
  });

  it("has the keys that it has, whatever objects have otherwise", async () => {
    const schema = { properties: { toString: { type: "string" } }, required: ["constructor"] };
    expect(await ask({ body: schema }, post({}))).toBe("body : must have required property 'constructor'");
    expect(await ask({ body: schema }, post({ constructor: 1 }))).toBe("in");
  });

  it("goes on as it came", async () => {
    const text = ' {"name": "tea", "count": 1.0}';
    let sent = "";
    const handler = await buildStage(validate, { body: ORDER }, async (x) => {
      sent = await bodyText(x);
      return textReply(200, "in");
    });
    await handler(exchange(post(text)));
    expect(sent).toBe(text);
  });

  it.each([
    ["application/json", "in"],
    ["Application/JSON ; charset=UTF-8", "in"],
    ['application/json;charset="utf-8"', "in"],
    ["application/merge-patch+json", "in"],
    ["application/json; charset=utf-16", "CONTENT_TYPE_UNSUPPORTED"],
    ["application/json; charset=utf-8; charset=utf-7", "CONTENT_TYPE_UNSUPPORTED"],
    ["text/plain", "CONTENT_TYPE_UNSUPPORTED"],
    ["text/plain, application/json", "CONTENT_TYPE_UNSUPPORTED"],
    ["+json", "CONTENT_TYPE_UNSUPPORTED"],
    ["", "CONTENT_TYPE_UNSUPPORTED"],
    [["application/json", "text/plain"], "CONTENT_TYPE_UNSUPPORTED"],
    [[], "CONTENT_TYPE_UNSUPPORTED"],
  ])("of the type %j: %s", async (type, expected) => {
    expect(await ask({ body: ORDER }, post({ name: "tea" }, { "content-type": type }))).toBe(expected);
  });

  it("must be there unless it need not", async () => {
    expect(await ask({ body: ORDER }, {})).toBe("body : must be there");
    expect(await ask({ body: ORDER }, post(""))).toBe("body : must be there");
    expect(await ask({ body: ORDER, bodyRequired: false }, {})).toBe("in");
  });

  it("that does not say its length is read all the same", async () => {
    const queued = (text: string): QueuedBody => {
      const body = new QueuedBody(PRODUCER, undefined);
      if (text !== "") body.push(Buffer.from(text));
      body.finish();
      return body;
    };
    const request = (text: string) => ({ ...post(""), body: queued(text) });
    expect(await ask({ body: ORDER }, request('{"name":"tea"}'))).toBe("in");
    expect(await ask({ body: ORDER }, request("{}"))).toBe("body : must have required property 'name'");
    expect(await ask({ body: ORDER }, request(""))).toBe("body : must be there");
    expect(await ask({ body: ORDER, maxBody: "10B" }, request('{"name":"tea"}'))).toBe("BODY_TOO_LARGE");
  });

  it("is not larger than it may be, compressed or not", async () => {
    const large = { name: "tea", tags: ["x".repeat(5000)] };
    expect(await ask({ body: ORDER, maxBody: "1KB" }, post(large))).toBe("BODY_TOO_LARGE");
    const gzip = { "content-encoding": "gzip" };
    const bytes = gzipSync(JSON.stringify(large));
    expect(await ask({ body: ORDER, maxBody: "1KB" }, post(bytes, gzip))).toBe("BODY_TOO_LARGE");
    expect(await ask({ body: ORDER }, post(bytes, gzip))).toBe("in");
    expect(await ask({ body: ORDER }, post(bytes, { "content-encoding": "rot13" }))).toBe(
      "BODY_ENCODING_UNSUPPORTED",
    );
  });

  it("that is not UTF-8 is none", async () => {
    const bytes = Buffer.from('{"name":"\u00e9"}', "latin1");
    expect(await ask({ body: ORDER }, post(bytes))).toBe("body : must be UTF-8");
  });

  it("has at most 20 failures told, without what it held", async () => {
    const body = {
      name: "tea",
      ...Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`k${i}`, "s3cr3t"])),
    };
    const told = await ask({ body: ORDER }, post(body));
    expect(told.split("\n")).toHaveLength(20);
    expect(told).not.toContain("s3cr3t");
    const long = await ask({ body: ORDER }, post({ name: "tea", ["k".repeat(9000)]: 1 }));
    expect(long.length).toBeLessThan(300);
  });

  it("that is large has the first failure told", async () => {
    const schema = { type: "array", items: { type: "string" } };
    const told = await ask({ body: schema }, post(Array.from({ length: 5000 }, (_, i) => i)));
    expect(told).toBe("body /0: must be string");
  });

  it("cannot hold the gateway up by a pattern", async () => {
    const schema = { type: "array", items: { type: "string", pattern: "^([a-z]+ ?)+$" } };
    const started = performance.now();
    expect(await ask({ body: schema }, post(["a".repeat(30_000)]))).toBe("in");
    expect(await ask({ body: schema }, post([`${"a".repeat(30_000)}!`]))).toContain("must match pattern");
    const many = Array.from({ length: 9000 }, () => `${"a".repeat(100)}!`);
    expect(await ask({ body: schema, maxBody: "2MB" }, post(many))).toContain("must match pattern");
    const accepted = Array.from({ length: 9000 }, () => "a".repeat(1000));
    expect(await ask({ body: schema, maxBody: "20MB" }, post(accepted))).toContain("takes too long to match");
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  it("may be a form", async () => {
    const options = { body: ORDER, contentTypes: ["application/x-www-form-urlencoded"] };
    const form = { "content-type": "application/x-www-form-urlencoded" };
    expect(await ask(options, post("name=green+tea&count=2&tags=a&tags=b", form))).toBe("in");
    expect(await ask(options, post("name=tea&count=two&x=1", form))).toBe(
      "body /x: is not known here\nbody /count: must be integer",
    );
    expect(await ask(options, post("name=tea&name=cup", form))).toBe("body /name: must be string");
    expect(await ask(options, post("name=%ff", form))).toBe("body : must be percent-encoded UTF-8");
    expect(await ask({ ...options, maxKeys: 2 }, post("a&b&c", form))).toBe(
      "body : must have at most 2 fields",
    );
  });

  it("may be of certain types only, without a schema", async () => {
    const options = { contentTypes: ["application/json", "image/*"] };
    expect(await ask(options, {})).toBe("in");
    expect(await ask(options, post("x", { "content-type": "image/png" }))).toBe("in");
    const picture = post("x".repeat(2000), { "content-type": "image/png" });
    expect(await ask({ ...options, maxBody: "1KB" }, picture)).toBe("in");
    expect(await ask(options, post("x", { "content-type": "text/html" }))).toBe("CONTENT_TYPE_UNSUPPORTED");
    expect(await ask(options, post('{"a":1,"a":2}'))).toBe("body /a: must be there once");
  });

  it("never passes when the schema does not have it so", async () => {
    const handler = await buildStage(validate, { body: ORDER });
    await fc.assert(
      fc.asyncProperty(fc.jsonValue(), async (value) => {
        const fits =
          typeof value === "object" &&
          value !== null &&
          "name" in value &&
          /^[a-z ]{1,20}$/.test(String(value.name));
        fc.pre(!fits);
        await expect(Promise.resolve(handler(exchange(post(JSON.stringify(value)))))).rejects.toThrow(
          GatewayError,
        );
      }),
    );
  });
});

describe("params, queries and headers", () => {
  const query = {
    type: "object",
    properties: {
      page: { type: "integer", minimum: 1 },
      price: { type: "number" },
      all: { type: "boolean" },
      ids: { $ref: "#/$defs/ids" },
      name: { type: "string" },
    },
    additionalProperties: false,
    $defs: { ids: { type: "array", items: { type: "integer" }, maxItems: 2 } },
  };

  it.each([
    ["/", "in"],
    ["/?page=2&price=1.5e1&all=true&ids=7&name=2", "in"],
    ["/?ids=1&ids=2", "in"],
    ["/?name=a%20b+c&", "in"],
    ["/?page=0", "query /page: must be >= 1"],
    ["/?page=1.5", "query /page: must be integer"],
    ["/?page=+1", "query /page: must be integer"],
    ["/?page=", "query /page: must be integer"],
    ["/?page", "query /page: must be integer"],
    ["/?page=1&page=2", "query /page: must be integer"],
    ["/?p%61ge=1&page=2", "query /page: must be integer"],
    ["/?all=yes", "query /all: must be boolean"],
    ["/?ids=1&ids=2&ids=3", "query /ids: must NOT have more than 2 items"],
    ["/?ids=1&ids=a", "query /ids/1: must be integer"],
    ["/?x=1", "query /x: is not known here"],
    ["/?__proto__=1", "query /__proto__: is not known here"],
    ["/?toString=1", "query /toString: is not known here"],
    ["/?name=%ff", "query : must be percent-encoded UTF-8"],
    ["/?name=%zz", "query : must be percent-encoded UTF-8"],
  ])("%s: %s", async (target, expected) => {
    expect(await ask({ query }, { target })).toBe(expected);
  });

  it("are checked all, before the body is", async () => {
    const options = {
      params: { type: "object", properties: { id: { type: "integer" } } },
      headers: { type: "object", properties: { "x-tenant": { enum: ["a", "b"] } }, required: ["x-tenant"] },
      query,
      body: ORDER,
    };
    const request = { ...post({}), params: { id: "x" }, target: "/?page=0" };
    expect(await ask(options, request)).toBe(
      "params /id: must be integer\nquery /page: must be >= 1\nheaders : must have required property 'x-tenant'",
    );
    const good = { ...post({ name: "tea" }, { "X-Tenant": "a" }), params: { id: "7" } };
    expect(await ask(options, good)).toBe("in");
    expect(await ask(options, { ...good, headers: { "x-tenant": ["a", "b"] } })).toContain(
      "/x-tenant: must be equal",
    );
  });

  it("are those that stages above have made of them", async () => {
    const handler = await buildStage(validate, { query });
    const x = exchange({ target: "/?page=1" });
    x.search = "?page=0";
    expect(() => handler(x)).toThrow(GatewayError);
  });
});

describe("`mode: report`", () => {
  it("lets all pass, and counts", async () => {
    const host = new FakeHost();
    const options = { body: ORDER, maxBody: "100B", mode: "report" };
    const streamed = new QueuedBody(PRODUCER, undefined);
    const requests = [
      post({ name: "tea" }),
      post({}),
      post("x".repeat(200)),
      post("x", { "content-type": "text/plain" }),
      { ...post(""), body: streamed },
    ];
    for (const request of requests) expect(await ask(options, request, host)).toBe("in");
    expect(await ask({ body: ORDER }, post({}), host)).toContain("required");
    const labels = (outcome: string) => JSON.stringify({ route: "test", stage: "stage", outcome });
    expect(host.collected("sluice_validate_requests_total")).toEqual({
      [labels("valid")]: 1,
      [labels("refused")]: 1,
      [labels("reported")]: 3,
      [labels("unchecked")]: 1,
    });
  });
});

describe("options", () => {
  it("take schemas as text, of JSON or YAML", async () => {
    expect(await ask({ body: JSON.stringify(ORDER) }, post({}))).toContain("required");
    expect(await ask({ body: "type: object\nrequired: [a]\n" }, post({}))).toContain("'a'");
  });

  it("take schemas of draft-07", async () => {
    const schema = {
      $schema: "http://json-schema.org/draft-07/schema#",
      type: "array",
      items: [{ type: "string" }],
      additionalItems: false,
    };
    expect(await ask({ body: schema }, post(["a"]))).toBe("in");
    expect(await ask({ body: schema }, post(["a", "b"]))).toContain("must NOT have more than 1 items");
  });

  it.each([
    [{}, "Nothing is checked"],
    [{ body: { type: "objekt" } }, "must be equal to one of the allowed values"],
    [{ body: { type: "object", requierd: ["a"] } }, 'unknown keyword: "requierd"'],
    [{ body: { type: "string", format: "emial" } }, 'unknown format "emial"'],
    [{ body: { $ref: "https://example.com/schema" } }, "can't resolve reference"],
    [{ body: { $ref: "#/$defs/a" } }, "can't resolve reference"],
    [{ body: { $schema: "http://json-schema.org/draft-04/schema#" } }, "draft 2020-12 or draft-07"],
    [{ body: { type: "string", pattern: "(a)\\1" } }, "linear time"],
    [{ body: { type: "string", pattern: "(" } }, "Invalid regular expression"],
    [{ body: "[]" }, "An object is expected"],
    [{ body: "a: [" }, "In line 1 of the text"],
    [{ body: ORDER, contentTypes: ["text/*"] }, "Only JSON and forms"],
    [{ body: ORDER, openapi: {} }, "says this already"],
    [{ body: ORDER, operation: "a" }, "one of `openapi`"],
    [{ headers: { type: "object", properties: { "X-A": true } } }, "lower case: x-a"],
    [{ openapi: { openapi: "3.0.3", paths: {} } }, "not of OpenAPI 3.1"],
    [{ openapi: { openapi: "3.1.0" } }, "has no paths"],
  ])("%j are refused", async (options, message) => {
    await expect(buildStage(validate, options as never)).rejects.toThrow(message);
  });
});
