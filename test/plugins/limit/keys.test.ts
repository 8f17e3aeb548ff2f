import { describe, expect, it } from "vitest";
import type { Consumer, Exchange, Problem } from "../../../core/plugin.ts";
import { compileKeys, type Keys } from "../../../plugins/limit/keys.ts";
import { exchange, type RequestInit } from "../../support/harness.ts";
import { limitOptions } from "../../support/limits.ts";

function compile(by: unknown, options: object = {}, host = { route: "users", stage: "limit" }): Keys {
  const problems: Problem[] = [];
  const keys = compileKeys(limitOptions({ rate: "1/1s", by, ...options }), host, problems);
  if (problems.length > 0) throw new Error(problems.map((p) => `${p.pointer} ${p.message}`).join("\n"));
  return keys;
}

const from = (clientAddress: string, request: RequestInit = {}): Exchange =>
  exchange({ ...request, init: { ...request.init, clientAddress } });

const as = (consumer: Consumer, x = exchange()): Exchange => Object.assign(x, { consumer });

describe("keys", () => {
  it.each([{ header: "x tenant" }, { header: "a}" }, { cookie: "a=b" }])(
    "are refused where no request can have them: %j",
    (by) => {
      expect(() => compile([by])).toThrow(/is not the name of a (header|cookie)/);
    },
  );

  it("are the same for all requests of a route by default", () => {
    const { keyOf } = compile("route");
    expect([keyOf(from("192.0.2.1")), keyOf(from("192.0.2.2"))]).toEqual(["users", "users"]);
  });

  it("take an IPv6 network for one client, and an IPv4 address however it is written", () => {
    const { keyOf } = compile("ip");
    for (const [address, key] of [
      ["192.0.2.1", "192.0.2.1"],
      ["::ffff:192.0.2.1", "192.0.2.1"],
      ["::ffff:c000:201", "192.0.2.1"],
      ["2001:db8:0:1:2:3:4:5", "2001:db8:0:1::/64"],
      ["2001:DB8:0:1::1", "2001:db8:0:1::/64"],
      ["2001:db8::1", "2001:db8::/64"],
      ["::1", "::/64"],
      ["fe80::1%eth0", "fe80::/64"],
    ]) {
      expect(keyOf(from(address!))).toBe(key);
      expect(keyOf(from(address!))).toBe(key);
    }
  });

  it("take as many bits of an IPv6 address as `ipv6Prefix` says", () => {
    const address = "2001:db8:12:3456:7:8:9:a";
    for (const [ipv6Prefix, key] of [
      [1, "::/1"],
      [48, "2001:db8:12::/48"],
      [56, "2001:db8:12:3400::/56"],
      [127, "2001:db8:12:3456:7:8:9:a/127"],
      [128, "2001:db8:12:3456:7:8:9:a"],
    ] as const) {
      expect(compile("ip", { ipv6Prefix }).keyOf(from(address))).toBe(key);
    }
    expect(compile("ip", { ipv6Prefix: 128 }).keyOf(from("2001:db8::"))).toBe("2001:db8::");
  });

  it("are what the names and values of a request say", () => {
    const consumer = { name: "mobile", roles: [], tier: "gold", credential: "k1", claims: { sub: "u1" } };
    const x = as(
      consumer,
      exchange({ target: "/a?page=2", headers: { "x-tenant": "t1" }, params: { id: "7" } }),
    );
    const keyOf = (by: unknown): string => compile(by).keyOf(x);
    expect(keyOf("consumer")).toBe("mobile");
    expect(keyOf("tier")).toBe("gold");
    expect(keyOf("credential")).toBe("k1");
    expect(keyOf({ claim: "sub" })).toBe("u1");
    expect(keyOf({ header: "X-Tenant" })).toBe("t1");
    expect(keyOf({ query: "page" })).toBe("2");
    expect(keyOf({ param: "id" })).toBe("7");
    expect(keyOf("{consumer.name}-{id}")).toBe("mobile-7");
    expect(keyOf(["consumer", "route", { param: "id" }])).toBe("mobile|users|7");
  });

  it("take a host for the same however it is written", () => {
    const { keyOf } = compile("host");
    const at = (authority: string): string => keyOf(exchange({ init: { authority } }));
    expect(at("Example.COM:8080")).toBe("example.com");
    expect(at("example.com")).toBe("example.com");
    expect(at("[::1]:80")).toBe("[::1]");
    expect(at("[::1]")).toBe("[::1]");
  });

  it("cannot be made alike by values that have separators in them", () => {
    const { keyOf } = compile([{ header: "x-a" }, { header: "x-b" }]);
    const of = (a: string, b: string): string => keyOf(exchange({ headers: { "x-a": a, "x-b": b } }));
    const keys = [of("1|2", "3"), of("1", "2|3"), of("1%7C2", "3"), of("1", "2%7C3"), of("1%257C2", "3")];
    expect(new Set(keys).size).toBe(keys.length);
  });

  it("fall back on the address where a value is absent or empty, apart from those that have it as a value", () => {
    const { keyOf } = compile({ header: "x-tenant" });
    expect(keyOf(from("192.0.2.1"))).toBe("|192.0.2.1");
    expect(keyOf(from("2001:db8::1", { headers: { "x-tenant": "" } }))).toBe("|2001:db8::/64");
    expect(keyOf(from("192.0.2.9", { headers: { "x-tenant": "192.0.2.1" } }))).toBe("192.0.2.1");
    expect(keyOf(from("192.0.2.9", { headers: { "x-tenant": "|192.0.2.1" } }))).toBe("%7C192.0.2.1");
    const both = compile([{ header: "x-tenant" }, "ip"]);
    expect(both.keyOf(from("192.0.2.1", { headers: { "x-tenant": "" } }))).toBe("|192.0.2.1");
  });

  it("are of bounded length, and still differ", () => {
    const { keyOf } = compile({ header: "x-tenant" });
    const of = (value: string): string => keyOf(exchange({ headers: { "x-tenant": value } }));
    const [one, other] = [of(`${"a".repeat(5000)}1`), of(`${"a".repeat(5000)}2`)];
    expect(one).not.toBe(other);
    expect(one).toMatch(/^\|#[0-9a-f]{32}$/);
  });

  it.each([
    { header: "Authorization" },
    { header: "proxy-authorization" },
    { header: "cookie" },
    { header: "x-api-key" },
    { cookie: "sid" },
    { query: "access_token" },
    { query: "jwt" },
    "{request.header.x-api-key}-{route.name}",
    "{ request.cookie.sid }",
    "{request.query}",
    "{client.ip} { request.url }",
    [{ cookie: "sid" }, "route"],
  ])("have nothing of what may be a secret in them: %j", (by) => {
    const { keyOf } = compile(by);
    const of = (secret: string): string =>
      keyOf(
        exchange({
          target: `/?access_token=${secret}&jwt=${secret}`,
          headers: {
            authorization: secret,
            "proxy-authorization": secret,
            cookie: `sid=${secret}`,
            "x-api-key": secret,
          },
        }),
      );
    expect(of("hunter2")).toMatch(/^sha256:[0-9a-f]{32}(\|users)?$/);
    expect(of("hunter2")).toBe(of("hunter2"));
    expect(of("hunter2")).not.toBe(of("hunter3"));
  });
});

describe("scopes", () => {
  it("are of a route, a stage and what it counts by", () => {
    const own = compile("ip");
    expect(own.scope).toBe("route/users/limit/ip");
    expect(compile(["global", { header: "x-tenant" }]).scope).toBe("global/limit/global/header:x-tenant");
    const others = [
      compile("consumer"),
      compile("ip", {}, { route: "orders", stage: "limit" }),
      compile("ip", {}, { route: "users", stage: "limit#2" }),
      compile(["global", "ip"]),
      compile([{ upstream: "users" }, "ip"]),
      compile([{ upstream: "orders" }, "ip"]),
    ];
    const scopes = [own, ...others].map(({ scope }) => scope);
    expect(new Set(scopes).size).toBe(scopes.length);
    expect(compile("ip", { rate: "5/1s" }).scope).toBe(own.scope);
  });

  it.each([["global"], [{ upstream: "users" }]])("are those of all routes with %j", (wide) => {
    const one = compile([wide, "ip"]);
    const other = compile([wide, "ip"], {}, { route: "orders", stage: "limit" });
    expect(one.scope).toBe(other.scope);
    expect(one.keyOf(from("192.0.2.1"))).toBe("192.0.2.1");
    expect(compile(wide).keyOf(exchange())).toBe("*");
  });
});

it.each([
  [["ip", "route", "ip"], '/by/2 "ip" is in `by` twice'],
  [["global", "global"], '/by/1 "global" is in `by` twice'],
  [["global", { upstream: "a" }], "/by `global` counts more"],
  [[{ upstream: "a" }, { upstream: "b" }], "/by Give one upstream"],
])("refuses %j", (by, message) => {
  expect(() => compile(by)).toThrow(message);
});

it("refuses templates that cannot be", () => {
  expect(() => compile(["ip", "{nothing.known}"])).toThrow(
    "The template variable {nothing.known} is not known",
  );
});
