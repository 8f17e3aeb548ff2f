import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GatewayError, textReply } from "../../../core/plugin.ts";
import { validate } from "../../../plugins/validate.ts";
import { buildStage, exchange, type RequestInit } from "../../support/harness.ts";

const API = `
openapi: 3.1.0
info: { title: Shop, version: "1" }
servers:
  - url: https://{host}.example.com/{version}
    variables: { host: { default: api }, version: { default: v1 } }
  - url: /old/
paths:
  /items:
    get:
      operationId: listItems
      parameters:
        - { name: limit, in: query, schema: { type: integer, maximum: 100 } }
        - { name: ids, in: query, schema: { type: array, items: { type: integer } } }
        - { name: csv, in: query, explode: false, schema: { type: array, items: { type: string } } }
        - { name: piped, in: query, style: pipeDelimited, explode: false, schema: { type: array, items: { type: integer } } }
        - { name: spaced, in: query, style: spaceDelimited, explode: false, schema: { type: array, items: { type: integer } } }
        - { name: filter, in: query, style: deepObject, schema: { type: object, properties: { min: { type: integer } }, additionalProperties: false } }
        - { name: point, in: query, explode: false, schema: { type: object, properties: { x: { type: integer }, y: { type: integer } } } }
        - { name: range, in: query, schema: { type: object, properties: { from: { type: integer }, to: { type: integer } }, required: [from] } }
        - { name: json, in: query, content: { application/json: { schema: { type: object, required: [a] } } } }
        - { $ref: "#/components/parameters/Tenant" }
        - { name: X-Numbers, in: header, schema: { type: array, items: { type: integer } } }
        - { name: Authorization, in: header, required: true, schema: { type: integer } }
        - { name: theme, in: cookie, schema: { enum: [light, dark] } }
    post:
      operationId: createItem
      requestBody: { $ref: "#/components/requestBodies/Item" }
  /items/{id}:
    parameters:
      - { name: id, in: path, required: true, schema: { type: integer } }
    get: {}
    delete:
      parameters:
        - { name: id, in: path, required: true, schema: { type: string, pattern: "^[a-z]+$" } }
  /items/mine:
    get: {}
  /files/{name}.{type}:
    get:
      parameters:
        - { name: name, in: path, required: true, schema: { type: string, maxLength: 3 } }
        - { name: type, in: path, required: true, schema: { enum: [txt, "a/b"] } }
  /upload:
    put:
      requestBody:
        content:
          image/*: { schema: { type: string } }
          application/x-www-form-urlencoded: { schema: { type: object, properties: { n: { type: integer } } } }
components:
  parameters:
    Tenant: { name: X-Tenant, in: header, schema: { $ref: "#/components/schemas/Name" } }
  requestBodies:
    Item:
      required: true
      content:
        application/json: { schema: { $ref: "#/components/schemas/Item" } }
  schemas:
    Name: { type: string, maxLength: 5, example: abc, x-note: 1, format: something }
    Item:
      type: object
      required: [name]
      properties:
        name: { $ref: "#/components/schemas/Name" }
        children: { type: array, items: { $ref: "#/components/schemas/Item" } }
      discriminator: { propertyName: name }
      xml: { name: item }
`;

async function ask(request: RequestInit, options: object = {}): Promise<string> {
  const handler = await buildStage(validate, { openapi: API, ...options } as never, () =>
    textReply(200, "in"),
  );
  try {
    return (await handler(exchange(request))).status === 200 ? "in" : "";
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    const errors = (error.members?.["errors"] ?? []) as { in: string; pointer: string; message: string }[];
    if (error.code !== "VALIDATION_FAILED") return [error.code, ...error.headers].join(" ");
    return errors.map((each) => `${each.in} ${each.pointer}: ${each.message}`).join("\n");
  }
}

const json = (body: unknown): RequestInit => ({
  method: "POST",
  target: "/v1/items",
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
});

describe("the operation of a request", () => {
  it.each([
    ["GET", "/v1/items", "in"],
    ["GET", "/old/items", "in"],
    ["HEAD", "/v1/items", "in"],
    ["GET", "/v1//items", "in"],
    ["GET", "/v1/%69tems", "in"],
    ["GET", "/items", "OPERATION_NOT_FOUND"],
    ["GET", "/v1/items/", "OPERATION_NOT_FOUND"],
    ["GET", "/v1/Items", "OPERATION_NOT_FOUND"],
    ["GET", "/v2/items", "OPERATION_NOT_FOUND"],
    ["GET", "/v1/items/1/2", "OPERATION_NOT_FOUND"],
    ["PUT", "/v1/items", "METHOD_NOT_ALLOWED allow GET, POST"],
    ["GET", "/v1/items/17", "in"],
    ["GET", "/v1/items/mine", "in"],
    ["DELETE", "/v1/items/mine", "METHOD_NOT_ALLOWED allow GET"],
    ["GET", "/v1/items/other", "params /id: must be integer"],
    ["GET", "/v1/items/1%2f2", "params /id: must be integer"],
    ["GET", "/v1/items/%ff", "params /id: must be percent-encoded UTF-8"],
    ["DELETE", "/v1/items/abc", "in"],
    ["DELETE", "/v1/items/17", 'params /id: must match pattern "^[a-z]+$"'],
    ["GET", "/v1/files/abc.txt", "in"],
    ["GET", "/v1/files/abc.a%2Fb", "in"],
    ["GET", "/v1/files/abcd.txt", "params /name: must NOT have more than 3 characters"],
    ["GET", "/v1/filesxabc.txt", "OPERATION_NOT_FOUND"],
  ])("%s %s: %s", async (method, target, expected) => {
    expect(await ask({ method, target })).toBe(expected);
  });

  it("need not be known with `unknown: pass`", async () => {
    expect(await ask({ target: "/other" }, { unknown: "pass" })).toBe("in");
    expect(await ask({ method: "PUT", target: "/v1/items" }, { unknown: "pass" })).toBe("in");
    expect(await ask({ target: "/v1/items/x" }, { unknown: "pass" })).toContain("must be integer");
  });

  it("may be given, with the route's params", async () => {
    expect(await ask({ ...json({}), target: "/anything" }, { operation: "createItem" })).toContain(
      "required",
    );
    await expect(ask({}, { operation: "createItems" })).rejects.toThrow('no operation "createItems"');
  });
});

describe("parameters", () => {
  it.each([
    ["?limit=100", "in"],
    ["?limit=101", "query /limit: must be <= 100"],
    ["?limit=1&limit=2", "query /limit: must be there once"],
    ["?other=1", "in"],
    ["?ids=1&ids=2", "in"],
    ["?ids=1,2", "query /ids/0: must be integer"],
    ["?csv=a,b", "in"],
    ["?csv=a&csv=b", "query /csv: must be there once"],
    ["?piped=1|2%7C3", "in"],
    ["?piped=1|x", "query /piped/1: must be integer"],
    ["?spaced=1%202+3", "in"],
    ["?spaced=1%202+x", "query /spaced/2: must be integer"],
    ["?filter[min]=1", "in"],
    ["?filter%5Bmin%5D=x", "query /filter/min: must be integer"],
    ["?filter[max]=1", "query /filter/max: is not known here"],
    ["?filter[min]=1&filter[min]=2", "query /filter: must have each property once"],
    ["?filter[min][max]=1", "query /filter: must be written as name[property]"],
    ["?filter[]=1", "query /filter: must be written as name[property]"],
    ["?filter[min]x=1", "query /filter: must be written as name[property]"],
    ["?filter=1", "query /filter: must be written as name[property]"],
    ["?limit[a]=1", "query : must not be written as limit["],
    ["?limit%5B%5D=1000", "query : must not be written as limit["],
    ["?other[a]=1", "in"],
    ["?point=x,1,y,2", "in"],
    ["?point=x,1,y,z", "query /point/y: must be integer"],
    ["?point=x,1,y", "query /point: must be pairs of a name and a value"],
    ["?point=x,1,x,2", "query /point: must have each property once"],
    ["?from=1&to=2", "in"],
    ["?to=2", "query /range: must have required property 'from'"],
    ["?json=%7B%22a%22:1%7D", "in"],
    ["?json=%7B%7D", "query /json: must have required property 'a'"],
    ["?json=%7B%22a%22:1,%22a%22:2%7D", "query /json: must be there once"],
    ["?json={", "query /json: must be JSON"],
  ])("%s: %s", async (query, expected) => {
    expect(await ask({ target: `/v1/items${query}` })).toBe(expected);
  });

  const value = fc.string({
    minLength: 1,
    unit: fc.constantFrom("a", "1", "é", "😀", ",", "|", " ", "+", "%", "&", "=", "["),
  });
  const encode = encodeURIComponent;
  const styles: [string, object, (name: string, values: string[]) => string][] = [
    ["form", { style: "form" }, (name, values) => values.map((each) => `${name}=${encode(each)}`).join("&")],
    ["list", { explode: false }, (name, values) => `${name}=${values.map(encode).join(",")}`],
    [
      "pairs",
      { explode: false, isObject: true },
      (name, values) => `${name}=${values.flatMap((each, i) => [`k${i}`, encode(each)]).join(",")}`,
    ],
    [
      "deepObject",
      { style: "deepObject", isObject: true },
      (name, values) => values.map((each, i) => `${name}[k${i}]=${encode(each)}`).join("&"),
    ],
  ];

  it.each(styles)(
    "written in the style %s are read as they were",
    async (_style, { isObject, ...style }: { isObject?: boolean }, write) => {
      const property = fc.asyncProperty(fc.array(value, { minLength: 1, maxLength: 4 }), async (values) => {
        const whole = isObject ? Object.fromEntries(values.map((each, i) => [`k${i}`, each])) : values;
        const schema = { type: isObject ? "object" : "array", const: whole };
        const get = { parameters: [{ name: "p", in: "query", required: true, schema, ...style }] };
        expect(await ask({ target: `/a?${write("p", values)}` }, { openapi: withItem({ get }) })).toBe("in");
      });
      await fc.assert(property, { numRuns: 60 });
    },
  );

  it("must be there when they are required", async () => {
    const get = { parameters: [{ name: "A-b", in: "header", required: true }] };
    const openapi = withItem({ get });
    expect(await ask({ target: "/a" }, { openapi })).toBe("headers : must have required property 'a-b'");
    expect(await ask({ target: "/a", headers: { "a-B": "" } }, { openapi })).toBe("in");
  });

  it.each([
    [{ "x-tenant": "abc" }, "in"],
    [{ "X-Tenant": "abcdef" }, "headers /x-tenant: must NOT have more than 5 characters"],
    [{ "x-numbers": "1, 2" }, "in"],
    [{ "x-numbers": ["1", "x"] }, "headers /x-numbers/1: must be integer"],
    [{ cookie: "a=b; theme=dark" }, "in"],
    [{ cookie: "theme=blue" }, "cookies /theme: must be equal to one of the allowed values"],
    [{ cookie: ["theme=dark", "theme=light"] }, "cookies /theme: must be there once"],
  ])("%j: %s", async (headers, expected) => {
    expect(await ask({ target: "/v1/items", headers })).toBe(expected);
  });
});

describe("bodies", () => {
  it.each([
    [{ name: "tea" }, "in"],
    [{ name: "tea", children: [{ name: "a" }, { name: "b", children: [] }] }, "in"],
    [{ name: "tea", children: [{ name: 7 }] }, "body /children/0/name: must be string"],
  ])("%j: %s", async (body, expected) => {
    expect(await ask(json(body))).toBe(expected);
  });

  it.each(["1e999", "-1e999"])("have no number that is too large to be one: %s", async (number) => {
    const post = { requestBody: { content: { "application/json": { schema: { type: "number" } } } } };
    const request = { ...json(0), target: "/a", body: number };
    expect(await ask(request, { openapi: withItem({ post }) })).toBe("body : must be number");
  });

  it("are required, taken or refused as the document says", async () => {
    expect(await ask({ method: "POST", target: "/v1/items" })).toBe("body : must be there");
    expect(await ask({ ...json({}), method: "GET", target: "/v1/items/mine" })).toBe(
      "body : must not be there",
    );
    const upload = (type: string, body: string) =>
      ask({ method: "PUT", target: "/v1/upload", headers: { "content-type": type }, body });
    expect(await upload("image/png", "x")).toBe("in");
    expect(await upload("application/x-www-form-urlencoded", "n=1")).toBe("in");
    expect(await upload("application/x-www-form-urlencoded", "n=x")).toBe("body /n: must be integer");
    expect(await upload("application/json", "{}")).toBe("CONTENT_TYPE_UNSUPPORTED");
    expect(await ask({ method: "PUT", target: "/v1/upload" })).toBe("in");
  });
});

const withItem = (item: object, more = {}) => ({ openapi: "3.1.1", paths: { "/a": item }, ...more });

it.each([
  [withItem({ get: { parameters: [{ $ref: "#/components/parameters/None" }] } }), "leads nowhere"],
  [withItem({ $ref: "#/paths/~1a" }), "leads nowhere"],
  [withItem({ get: { parameters: [{ $ref: "other.yaml#/a" }] } }), "leads nowhere"],
  [withItem({ get: { parameters: [{ name: "a", in: "body" }] } }), "has `name` and a known `in`"],
  [
    withItem({ get: { parameters: [{ name: "a", in: "path", style: "matrix" }] } }),
    'style "matrix" is not supported',
  ],
  [
    withItem({ get: { requestBody: { content: { "a/json": { schema: { $ref: "#/x" } } } } } }),
    "can't resolve",
  ],
  [
    withItem({ get: { parameters: [{ name: "a", in: "query", schema: { pattern: "(?=a)" } }] } }),
    "linear time",
  ],
  [withItem({ get: 1 }), "An object is expected"],
  [withItem({ get: {} }, { jsonSchemaDialect: "https://example.com/own" }), "usual dialect"],
])("%j is refused", async (openapi, message) => {
  await expect(buildStage(validate, { openapi } as never)).rejects.toThrow(message);
});
