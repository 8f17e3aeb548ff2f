import { describe, expect, it } from "vitest";
import { ConfigError } from "../../../core/plugin.ts";
import { Keys, type KeyOptions } from "../../../plugins/cache/key.ts";
import { exchange, type RequestInit } from "../../support/harness.ts";

const DEFAULTS: KeyOptions = { host: true, query: "all", headers: [], cookies: [], consumer: false };

const keyOf = (request: RequestInit = {}, options: Partial<KeyOptions> = {}, consumer?: string): string => {
  const x = exchange(request);
  if (consumer !== undefined) x.consumer = { name: consumer, roles: [] };
  return new Keys({ ...DEFAULTS, ...options }).of(x);
};

const at = (authority: string, scheme: "http" | "https" = "http"): RequestInit => ({
  init: { authority, scheme },
});

describe("a key", () => {
  it.each<[string, RequestInit, RequestInit]>([
    ["GET and HEAD", {}, { method: "HEAD" }],
    ["fields that say nothing of the reply", {}, { headers: { "user-agent": "x", cookie: "a=1" } }],
    ["a Forwarded that tells of the client only", {}, { headers: { forwarded: "for=1.2.3.4" } }],
  ])("is the same for %s", (_what, one, other) => {
    expect(keyOf(one)).toBe(keyOf(other));
  });

  it.each<[string, RequestInit, RequestInit]>([
    ["schemes", at("a"), at("a", "https")],
    ["hosts", at("a"), at("b")],
    ["hosts in other letters", at("Example.COM"), at("example.com")],
    ["ports", at("a:8080"), at("a")],
    ["the port that the scheme has anyway", at("example.com:80"), at("example.com")],
    ["ports of the other scheme", at("a:443"), at("a")],
    ["doubled slashes", { target: "//a" }, { target: "/a" }],
    ["encoded slashes", { target: "/a%2Fb" }, { target: "/a/b" }],
    ["encoded letters", { target: "/%61" }, { target: "/a" }],
    ["a slash at the end", { target: "/a/" }, { target: "/a" }],
    ["an encoded question mark", { target: "/a%3Fb=1" }, { target: "/a?b=1" }],
    ["orders of the query", { target: "/?a=1&b=2" }, { target: "/?b=2&a=1" }],
    ["an empty query", { target: "/a?" }, { target: "/a" }],
    ...[
      "x-envoy-original-path",
      "x-forwarded-host",
      "x-forwarded-method",
      "x-original-method",
      "x-original-path",
      "X-Forwarded-Proto",
      "x-forwarded-port",
      "x-forwarded-prefix",
      "x-original-url",
      "x-rewrite-url",
      "X_Original_Url",
      "x-http-method-override",
      "x-host",
    ].map((name): [string, RequestInit, RequestInit] => [name, { headers: { [name]: "evil" } }, {}]),
    ["a forwarded host", { headers: { forwarded: "for=1.2.3.4;host=evil" } }, {}],
  ])("is another for other %s", (_what, one, other) => {
    expect(keyOf(one)).not.toBe(keyOf(other));
  });

  it("tells what stages above have made of a request, and what they made it of", () => {
    const keys = new Keys(DEFAULTS);
    const [one, other] = [exchange({ target: "/a" }), exchange({ target: "/b" })];
    one.path = "/c";
    other.path = "/c";
    expect(keys.of(one)).not.toBe(keys.of(other));
    const [post, get] = [exchange({ method: "POST" }), exchange()];
    post.method = "GET";
    expect(keys.of(post)).not.toBe(keys.of(get));
    const moved = exchange();
    moved.headers.set("host", "elsewhere");
    expect(keys.of(moved)).not.toBe(keys.of(exchange()));
  });

  it("has the parameters of the query that count, as they came", () => {
    const target = "/?b=2&utm_source=x&a=%20&%61=1&a&flag";
    expect(keyOf({ target }, { query: "none" })).toBe(keyOf());
    expect(keyOf({ target }, { query: ["a"] })).toBe(keyOf({ target: "/?a=%20&%61=1&a" }));
    expect(keyOf({ target }, { query: { except: ["utm_source"] } })).toBe(
      keyOf({ target: "/?b=2&a=%20&%61=1&a&flag" }),
    );
    expect(keyOf({ target: "/?utm_source=1" }, { query: { except: ["utm_source"] } })).toBe(keyOf());
    expect(keyOf({ target: "/?utm%5Fsource=1&%zz" }, { query: { except: ["utm_source"] } })).toBe(
      keyOf({ target: "/?%zz" }),
    );
  });

  it("has parameters that some upstreams would take for those that count", () => {
    const query = ["id"];
    for (const cloaked of ["ID=2", "id[]=2", "%20id=2", "+id=2", "x=1;id=2", "id%00=2", "id%5Bx%5D=2"]) {
      expect(keyOf({ target: `/?id=1&${cloaked}` }, { query }), cloaked).not.toBe(
        keyOf({ target: "/?id=1" }, { query }),
      );
    }
    const except = { query: { except: ["utm_source"] } };
    expect(keyOf({ target: "/?utm_source=1;id=2" }, except)).not.toBe(
      keyOf({ target: "/?utm_source=1" }, except),
    );
  });

  it("has chosen headers, cookies and the consumer, and tells absent ones from empty ones", () => {
    const headers = { "x-tenant": "a", cookie: "theme=dark; id=1" };
    const byHeader = { headers: ["X-Tenant"] };
    expect(keyOf({ headers }, byHeader)).not.toBe(keyOf({ headers: { "x-tenant": "b" } }, byHeader));
    expect(keyOf({ headers: { "x-tenant": "" } }, byHeader)).not.toBe(keyOf({}, byHeader));
    const byCookie = { cookies: ["theme"] };
    expect(keyOf({ headers }, byCookie)).toBe(keyOf({ headers: { cookie: "theme=dark; id=2" } }, byCookie));
    expect(keyOf({ headers }, byCookie)).not.toBe(keyOf({}, byCookie));
    expect(keyOf({}, { consumer: true }, "a")).not.toBe(keyOf({}, { consumer: true }, "b"));
    expect(keyOf({}, { consumer: true }, "a")).not.toBe(keyOf({}, { consumer: true }));
    expect(keyOf({}, {}, "a")).toBe(keyOf({}, {}, "b"));
  });

  it("has no part that can pass for another", () => {
    const options = { headers: ["x-a", "x-b"] };
    expect(keyOf({ headers: { "x-a": "1\tx-b:2" } }, options)).not.toBe(
      keyOf({ headers: { "x-a": "1", "x-b": "2" } }, options),
    );
    expect(keyOf({}, { consumer: true, headers: [] }, "a\nx-b:2")).not.toContain("\nx-b:2");
  });

  it("is short, however long the request is, and still its own", () => {
    const target = `/${"a".repeat(10_000)}`;
    expect(keyOf({ target }).length).toBeLessThan(400);
    expect(keyOf({ target })).not.toBe(keyOf({ target: `${target}b` }));
  });

  it("may not leave out the host without being told", () => {
    expect(keyOf(at("a"), { host: false })).toBe(keyOf(at("b"), { host: false }));
  });

  it("refuses names that no header or cookie has", () => {
    expect(() => new Keys({ ...DEFAULTS, headers: ["a b"] })).toThrow(ConfigError);
    expect(() => new Keys({ ...DEFAULTS, cookies: ["a;b"] })).toThrow(ConfigError);
  });
});
