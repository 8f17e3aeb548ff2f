import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isHeaderValue } from "../../core/headers.ts";
import { NO_ROUTE } from "../../core/exchange.ts";
import { compileTemplate, encodeHeader, encodePath } from "../../core/template.ts";
import { exchange, reply } from "../support/harness.ts";

const x = exchange({
  method: "POST",
  target: "/a%20b/c?q=1&r=%20&q=2",
  headers: { "X-Tenant": ["one", "two"], cookie: "a=1; b=2=3;c=4" },
  params: { id: "7 8/9", "*": "rest%2Fof/it" },
  init: { authority: "api.example.com:8080", scheme: "https", clientAddress: "192.0.2.1" },
});
x.id = "r-1";
x.method = "PUT";
x.path = "/changed";
x.upstream = "users";
x.route = { ...NO_ROUTE, name: "all" };
x.consumer = {
  name: "mobile",
  roles: ["user", "admin"],
  tier: "gold",
  claims: { sub: "s-1", n: 5, o: { a: 1 } },
};
const empty = exchange();
const render = (template: string, encode?: (value: string) => string): string | undefined =>
  compileTemplate(template, encode)(x, reply(201, { "X-A": ["1", "2"] }));

describe("a template", () => {
  it.each([
    ["{request.id}", "r-1"],
    ["{request.method}", "POST"],
    ["{request.path}", "/a%20b/c"],
    ["{request.query}", "q=1&r=%20&q=2"],
    ["{request.url}", "/a%20b/c?q=1&r=%20&q=2"],
    ["{request.host}", "api.example.com:8080"],
    ["{request.scheme}", "https"],
    ["{request.header.x-tenant}", "one, two"],
    ["{request.header.X-TENANT}", "one, two"],
    ["{request.query.q}", "1"],
    ["{request.query.r}", " "],
    ["{request.cookie.a}", "1"],
    ["{request.cookie.b}", "2=3"],
    ["{request.cookie.c}", "4"],
    ["{client.ip}", "192.0.2.1"],
    ["{consumer.name}", "mobile"],
    ["{consumer.tier}", "gold"],
    ["{consumer.roles}", "user,admin"],
    ["{consumer.claim.sub}", "s-1"],
    ["{consumer.claim.n}", "5"],
    ["{consumer.claim.o}", '{"a":1}'],
    ["{route.name}", "all"],
    ["{upstream.name}", "users"],
    ["{response.status}", "201"],
    ["{response.header.x-a}", "1, 2"],
    ["{id}", "7 8/9"],
    ["{*}", "rest%2Fof/it"],
    ["{ id }", "7 8/9"],
  ])("knows %s", (template, text) => {
    expect(render(template)).toBe(text);
    expect(render(`<${template}|${template}>`)).toBe(`<${text}|${text}>`);
  });

  it.each([
    "{request.header.x-none}",
    "{request.query.none}",
    "{request.cookie.none}",
    "{consumer.name}",
    "{consumer.tier}",
    "{consumer.roles}",
    "{consumer.claim.sub}",
    "{upstream.name}",
    "{response.status}",
    "{response.header.x-a}",
    "{none}",
    "{constructor}",
    "{toString}",
    "{__proto__}",
    "{consumer.claim.constructor}",
  ])("gives nothing for %s where there is none, and no text for it among others", (template) => {
    expect(compileTemplate(template)(empty)).toBeUndefined();
    expect(compileTemplate(template, encodePath)(empty)).toBeUndefined();
    expect(compileTemplate(`<${template}>`)(empty)).toBe("<>");
  });

  it("gives no inherited property for a claim", () => {
    expect(render("{consumer.claim.constructor}")).toBeUndefined();
  });

  it("is constant without variables, with literal braces doubled", () => {
    expect(render("")).toBe("");
    expect(render("plain")).toBe("plain");
    expect(render('{{"a": {{}}}}')).toBe('{"a": {}}');
    expect(render("{{{id}}}")).toBe("{7 8/9}");
  });

  it("knows variables of the environment, read once", () => {
    process.env["SLUICE_TEST_VALUE"] = "before";
    const template = compileTemplate("{env.SLUICE_TEST_VALUE}");
    delete process.env["SLUICE_TEST_VALUE"];
    expect(template(x)).toBe("before");
    expect(() => compileTemplate("{env.SLUICE_TEST_VALUE}")).toThrow("SLUICE_TEST_VALUE is not set");
  });

  it.each([
    ["{", "not closed"],
    ["a{id", "not closed"],
    ["a}b", "closes nothing"],
    ["{request.nope}", "{request.nope} is not known; known are request.id"],
    ["{request.header.}", "is not known"],
    ["{}", "{} is not known"],
    ["{a b}", "is not known"],
    ["{a-b}", "is not known"],
  ])("refuses %s", (template, message) => {
    expect(() => compileTemplate(template)).toThrow(expect.objectContaining({ name: "ConfigError" }));
    expect(() => compileTemplate(template)).toThrow(message);
  });

  it("encodes values, not its own text; what is in wire form stays for paths and headers", () => {
    expect(render("/a b/{id}/{*}{request.path}", encodePath)).toBe("/a b/7%208%2F9/rest%2Fof/it/a%20b/c");
    expect(render("{request.url}", encodeHeader)).toBe("/a%20b/c?q=1&r=%20&q=2");
    expect(render("{id}-{*}", (value) => `[${value}]`)).toBe("[7 8/9]-[rest%2Fof/it]");
  });

  it("gives back any text whose braces are doubled", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const source = text.replaceAll("{", "{{").replaceAll("}", "}}");
        expect(compileTemplate(source)(empty)).toBe(text);
      }),
    );
  });
});

describe("encodeHeader", () => {
  it("makes any text a valid header value, and leaves printable ASCII as it is", () => {
    expect(encodeHeader("a\tb ~%é€\n😀\ud800")).toBe("a\tb ~%%C3%A9%E2%82%AC%0A%F0%9F%98%80?");
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(isHeaderValue(encodeHeader(text))).toBe(true);
      }),
    );
  });
});
