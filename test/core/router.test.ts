import { describe, expect, it } from "vitest";
import type { RouteConfig } from "../../core/config/checked.ts";
import type { ConfigError } from "../../core/errors.ts";
import { createRouter, hostName, type Routable } from "../../core/router.ts";
import { exchange } from "../support/harness.ts";

type Match = RouteConfig["match"];
type Spec = Partial<Omit<Match, "path">> & { path?: Match["path"]; priority?: number; preflight?: boolean };

function routable(
  name: string,
  { priority = 0, preflight = false, ...match }: Spec,
  index: number,
): Routable {
  const config = {
    name,
    match: { path: "/*", ...match },
    priority,
    pointer: `/routes/${index}`,
  } as Routable["config"];
  return { config, answersPreflight: preflight };
}

const routes = (specs: Record<string, Spec>): Routable[] =>
  Object.entries(specs).map(([name, spec], i) => routable(name, spec, i));

interface Ask {
  method?: string;
  host?: string;
  headers?: Record<string, string | string[]>;
}

/** The name of the route for a request, and its params. */
function find(
  specs: Record<string, Spec>,
  target: string,
  { method = "GET", host = "localhost", headers = {} }: Ask = {},
) {
  const x = exchange({ method, target, headers, init: { authority: host } });
  const route = createRouter(routes(specs)).find(x);
  return route === undefined ? undefined : [route.config.name, x.params];
}

const name = (...args: Parameters<typeof find>): unknown => find(...args)?.[0];

function allowed(
  specs: Record<string, Spec>,
  target: string,
  { headers = {}, host = "localhost" }: Ask = {},
): string[] {
  return createRouter(routes(specs)).allowed(
    exchange({ method: "BREW", target, headers, init: { authority: host } }),
  );
}

function problems(specs: Record<string, Spec>): string[] {
  try {
    createRouter(routes(specs));
    return [];
  } catch (error) {
    return (error as ConfigError).problems.map(({ code, pointer }) => `${code} ${pointer}`);
  }
}

describe("the path of a route", () => {
  it.each<[string, Spec["path"], string, Record<string, string> | undefined]>([
    ["exact", "/a/b", "/a/b", {}],
    ["exact, without regard to the query", "/a/b", "/a/b?c", {}],
    ["exact, percent-encoded in the request", "/é", "/%C3%A9", {}],
    ["exact, percent-encoded without need", "/admin", "/%61dmin", {}],
    ["exact, with slashes doubled in the request", "/a/b", "//a///b", {}],
    ["exact, not with a slash more", "/a", "/a/", undefined],
    ["exact, not with an encoded slash", "/a/b", "/a%2Fb", undefined],
    ["params, decoded", "/u/:id/:x", "/u/7%208/%C3%A9", { id: "7 8", x: "é" }],
    ["params with an encoded slash", "/u/:id", "/u/a%2Fb", { id: "a/b" }],
    ["params that are not UTF-8 in wire form", "/u/:id", "/u/%ff", { id: "%ff" }],
    ["params named as Object's properties", "/u/:constructor", "/u/1", { constructor: "1" } as never],
    ["no empty params", "/u/:id", "/u/", undefined],
    ["prefix with the rest in wire form", "/f/*", "/f/a%20b//c?x", { "*": "a%20b/c" }],
    ["prefix itself", "/f/*", "/f", { "*": "" }],
    ["prefix and slash", "/f/*", "/f/", { "*": "" }],
    ["params and rest", "/:v/f/*", "/1/f/x/y", { v: "1", "*": "x/y" }],
    ["regular expression", { regex: "^/r/\\d+$" }, "/r/12", {}],
    ["regular expression that does not match", { regex: "^/r/\\d+$" }, "/r/x", undefined],
    ["named groups, decoded", { regex: "^/r/(?<id>[^/]+)(?<more>/.*)?$" }, "/r/a%20b", { id: "a b" }],
    ["regular expression, percent-encoded without need", { regex: "^/admin/" }, "/%61dmin//x", {}],
    ["list of patterns", ["/a/:x", "/b/:y"], "/b/1", { y: "1" }],
  ])("%s", (_what, path, target, params) => {
    const result = find({ r: { path: path! } }, target);
    expect(result).toEqual(params === undefined ? undefined : ["r", params]);
  });

  it("is everything by default", () => {
    expect(name({ r: {} }, "/what/ever")).toBe("r");
    const config = {
      name: "r",
      match: {},
      priority: 0,
      pointer: "/routes/0",
    } as unknown as Routable["config"];
    expect(createRouter([{ config, answersPreflight: false }]).find(exchange())?.config.name).toBe("r");
  });
});

describe("the host of a route", () => {
  it.each([
    ["api.example.com", "api.example.com", true],
    ["api.example.com", "API.Example.COM", true],
    ["API.example.com", "api.example.com:8080", true],
    ["api.example.com", "api.example.com.", true],
    ["api.example.com", "api.example.com.:80", true],
    ["api.example.com.", "api.example.com", true],
    ["api.example.com", "x.api.example.com", false],
    ["api.example.com", "example.com", false],
    ["*.example.com", "a.example.com", true],
    ["*.example.com", "a.b.EXAMPLE.com:1", true],
    ["*.example.com", "example.com", false],
    ["*.example.com", "xexample.com", false],
    ["127.0.0.1", "127.0.0.1:80", true],
    ["[::1]", "[::1]", true],
    ["[::1]", "[::1]:8080", true],
    ["[2001:DB8::1]", "[2001:db8::1]", true],
    ["[::1]", "[::2]", false],
    ["localhost", "", false],
  ])("%s and a request for %s: %s", (host, asked, matches) => {
    expect(name({ r: { host } }, "/", { host: asked })).toBe(matches ? "r" : undefined);
  });

  it("can be a list", () => {
    const specs = { r: { host: ["a.test", "*.b.test"] } };
    expect(["a.test", "x.b.test", "c.test"].map((host) => name(specs, "/", { host }))).toEqual([
      "r",
      "r",
      undefined,
    ]);
  });

  it.each(["", "a b", "a:80", "*", "*.", "a..b", ".a", "a*.b", "-a", "http://a", "::1", "[x]", "a/b"])(
    "cannot be %j",
    (host) => expect(problems({ r: { host } })).toEqual(["CONFIG_PATTERN /routes/0/match/host"]),
  );

  it("names every bad entry of a list", () => {
    expect(problems({ r: { host: ["a", "b:1", "c", "d:2"] } })).toEqual([
      "CONFIG_PATTERN /routes/0/match/host/1",
      "CONFIG_PATTERN /routes/0/match/host/3",
    ]);
  });

  it("is read from an authority", () => {
    expect(["A.b", "a.:1", "[::1]:1", "[::A]", "", "a:"].map(hostName)).toEqual([
      "a.b",
      "a",
      "[::1]",
      "[::a]",
      "",
      "a",
    ]);
  });
});

describe("of several routes that match", () => {
  it("an exact host wins over patterns, longer patterns over shorter, any over none", () => {
    const specs = {
      none: {},
      short: { host: "*.com" },
      long: { host: "*.example.com" },
      exact: { host: "api.example.com" },
    };
    const by = (host: string): unknown => name(specs, "/", { host });
    expect(["api.example.com", "www.example.com", "other.com", "other.org"].map(by)).toEqual([
      "exact",
      "long",
      "short",
      "none",
    ]);
  });

  it("the host counts before the path, and both before priority", () => {
    expect(
      name({ a: { path: "/x/y", priority: 9 }, b: { host: "h.test" } }, "/x/y", { host: "h.test" }),
    ).toBe("b");
    expect(name({ a: { path: "/x/*", priority: 9 }, b: { path: "/x/y" } }, "/x/y")).toBe("b");
  });

  it("a full pattern wins over regular expressions, those over prefixes", () => {
    const specs: Record<string, Spec> = {
      prefix: { path: "/a/b/*" },
      regex: { path: { regex: "^/a/b" } },
      full: { path: "/:x/:y" },
    };
    expect(name(specs, "/a/b")).toBe("full");
    delete specs["full"];
    expect(name(specs, "/a/b")).toBe("regex");
    delete specs["regex"];
    expect(name(specs, "/a/b")).toBe("prefix");
  });

  it("the longest regular expression wins, then priority, then conditions, then the first", () => {
    const one = { path: { regex: "^/a" } };
    const two = { path: { regex: "^/." } };
    expect(name({ one, long: { path: { regex: "^/a.*" } } }, "/a")).toBe("long");
    expect(name({ one, two }, "/a")).toBe("one");
    expect(name({ two, one }, "/a")).toBe("two");
    expect(name({ one, two: { ...two, priority: 1 } }, "/a")).toBe("two");
    expect(name({ one, two: { ...two, query: { q: true } } }, "/a?q")).toBe("two");
    expect(name({ one, two: { ...two, query: { q: true } } }, "/a")).toBe("one");
    expect(name({ one: { ...one, methods: ["PUT"] }, one2: { ...one, methods: ["GET"] } }, "/a")).toBe(
      "one2",
    );
  });

  it("segment by segment a literal wins over a param", () => {
    const specs = { a: { path: "/:x/b" }, b: { path: "/a/:y" } };
    expect(find(specs, "/a/b")).toEqual(["b", { y: "b" }]);
    expect(find(specs, "/c/b")).toEqual(["a", { x: "c" }]);
  });

  it("a longer prefix wins over a shorter one", () => {
    const specs = { all: {}, a: { path: "/a/*" }, ab: { path: "/a/b/*" } };
    expect(["/x", "/a/x", "/a/b/x", "/a/b"].map((path) => name(specs, path))).toEqual([
      "all",
      "a",
      "ab",
      "ab",
    ]);
  });

  it("the higher priority wins before conditions do", () => {
    const specs: Record<string, Spec> = {
      low: { headers: { "x-a": true }, query: { q: true }, methods: ["GET"] },
      high: { priority: 1 },
    };
    expect(name(specs, "/?q", { headers: { "x-a": "1" } })).toBe("high");
    specs["low"]!.priority = 2;
    expect(name(specs, "/?q", { headers: { "x-a": "1" } })).toBe("low");
  });

  it("more conditions win, then methods", () => {
    const specs: Record<string, Spec> = {
      none: {},
      methods: { methods: ["GET"] },
      one: { headers: { "x-a": true } },
      two: { headers: { "x-a": true }, query: { q: "1" } },
    };
    expect(name(specs, "/")).toBe("methods");
    expect(name(specs, "/", { method: "PUT" })).toBe("none");
    expect(name(specs, "/", { headers: { "x-a": "" } })).toBe("one");
    expect(name(specs, "/?q=1", { headers: { "x-a": "" } })).toBe("two");
  });

  it("the next best takes what the best has no conditions for, down to other paths and hosts", () => {
    const specs: Record<string, Spec> = {
      exact: { host: "h.test", path: "/a/b", methods: ["PUT"] },
      param: { host: "h.test", path: "/a/:x", headers: { "x-a": "1" } },
      regex: { host: "h.test", path: { regex: "^/a/b$" }, query: { q: "1" } },
      prefix: { host: "h.test", path: "/a/*", methods: ["POST"] },
      other: { path: "/a/b", methods: ["DELETE"] },
      all: {},
    };
    const ask = (target: string, more: Ask = {}): unknown => name(specs, target, { host: "h.test", ...more });
    expect(ask("/a/b", { method: "PUT" })).toBe("exact");
    expect(ask("/a/b", { headers: { "x-a": "1" } })).toBe("param");
    expect(ask("/a/b?q=1")).toBe("regex");
    expect(ask("/a/b", { method: "POST" })).toBe("prefix");
    expect(ask("/a/b", { method: "DELETE" })).toBe("other");
    expect(ask("/a/b")).toBe("all");
  });

  it("params are those of the route that won", () => {
    const specs: Record<string, Spec> = {
      a: { path: "/x/:a", methods: ["PUT"] },
      b: { path: "/:b/*" },
      c: { path: "/x/:c" },
    };
    expect(find(specs, "/x/1")).toEqual(["c", { c: "1" }]);
    expect(find(specs, "/x/1", { method: "PUT" })).toEqual(["a", { a: "1" }]);
    expect(find(specs, "/x/1/2")).toEqual(["b", { b: "x", "*": "1/2" }]);
  });
});

describe("conditions on headers and the query", () => {
  const specs = (headers: Match["headers"], query?: Match["query"]): Record<string, Spec> => ({
    r: { ...(headers && { headers }), ...(query && { query }) },
  });

  it.each<[string, NonNullable<Match["headers"]>[string], string | string[] | undefined, boolean]>([
    ["equal", "a", "a", true],
    ["not equal", "a", "A", false],
    ["absent", "a", undefined, false],
    ["one of a list", ["a", "b"], "b", true],
    ["none of a list", ["a", "b"], "c", false],
    ["absent and a list", ["a"], undefined, false],
    ["present", true, "", true],
    ["not present", true, undefined, false],
    ["wanted absent", false, undefined, true],
    ["wanted absent, but there", false, "", false],
    ["a regular expression", { regex: "^a+$" }, "aaa", true],
    ["another regular expression", { regex: "^a+$" }, "ab", false],
    ["absent and a regular expression", { regex: "" }, undefined, false],
    ["several lines, joined", "a, b", ["a", "b"], true],
  ])("%s", (_what, match, value, matches) => {
    const headers: Record<string, string | string[]> = value === undefined ? {} : { "X-A": value };
    expect(name(specs({ "x-A": match }), "/", { headers })).toBe(matches ? "r" : undefined);
    if (Array.isArray(value)) return;
    const target = value === undefined ? "/?b" : `/?${new URLSearchParams({ a: value })}`;
    expect(name(specs(undefined, { a: match }), target)).toBe(matches ? "r" : undefined);
  });

  it("look at the first of several query parameters, decoded", () => {
    expect(name(specs(undefined, { a: "1 2" }), "/?a=1+2&a=3")).toBe("r");
    expect(name(specs(undefined, { a: "3" }), "/?a=1&a=3")).toBeUndefined();
  });

  it("must all hold", () => {
    const both = specs({ "x-a": true, "x-b": true });
    expect(name(both, "/", { headers: { "x-a": "1" } })).toBeUndefined();
    expect(name(both, "/", { headers: { "x-a": "1", "x-b": "1" } })).toBe("r");
  });
});

describe("methods", () => {
  const specs: Record<string, Spec> = {
    read: { path: "/a", methods: ["GET"] },
    write: { path: "/a", methods: ["POST", "PUT"] },
    below: { path: "/a/*", methods: ["DELETE"] },
    header: { path: "/a", methods: ["PATCH"], headers: { "x-a": "1" } },
    regex: { path: { regex: "^/a$" }, methods: ["TRACE"] },
    elsewhere: { host: "h.test", path: "/a", methods: ["MOVE"] },
  };

  it("GET takes HEAD in", () => {
    expect(name(specs, "/a", { method: "HEAD" })).toBe("read");
    expect(name({ r: { methods: ["POST"] } }, "/", { method: "HEAD" })).toBeUndefined();
  });

  it("are told where none of them fits: sorted, of all routes for the path whose conditions hold", () => {
    expect(allowed(specs, "/a")).toEqual(["DELETE", "GET", "HEAD", "POST", "PUT", "TRACE"]);
    expect(allowed(specs, "//%61", { headers: { "x-a": "1" } })).toEqual([
      "DELETE",
      "GET",
      "HEAD",
      "PATCH",
      "POST",
      "PUT",
      "TRACE",
    ]);
    expect(allowed(specs, "/a", { host: "h.test" })).toContain("MOVE");
    expect(allowed(specs, "/a/b")).toEqual(["DELETE"]);
    expect(allowed(specs, "/b")).toEqual([]);
  });

  it("are none where a route fails by its conditions only", () => {
    expect(allowed({ r: { headers: { "x-a": "1" } } }, "/")).toEqual([]);
  });

  it("may be anything, also made up by clients", () => {
    expect(name({ r: {} }, "/", { method: "BREW" })).toBe("r");
    expect(name({ r: { methods: ["BREW"] } }, "/", { method: "BREW" })).toBe("r");
  });
});

describe("a CORS preflight", () => {
  const preflight = (method: string): Ask => ({
    method: "OPTIONS",
    headers: { origin: "https://a.test", "access-control-request-method": method },
  });
  const specs: Record<string, Spec> = {
    read: { methods: ["GET"], preflight: true },
    write: { methods: ["PUT"], preflight: true },
    secret: { methods: ["DELETE"] },
  };

  it("goes to the route for the method it asks for, if that answers preflights", () => {
    expect(name(specs, "/", preflight("GET"))).toBe("read");
    expect(name(specs, "/", preflight("HEAD"))).toBe("read");
    expect(name(specs, "/", preflight("PUT"))).toBe("write");
    expect(name(specs, "/", preflight("DELETE"))).toBeUndefined();
    expect(name(specs, "/", preflight("PATCH"))).toBeUndefined();
  });

  it("has an Origin and asks for a method; any other OPTIONS is a method as others are", () => {
    expect(name(specs, "/", { method: "OPTIONS" })).toBeUndefined();
    expect(name(specs, "/", { method: "OPTIONS", headers: { origin: "https://a.test" } })).toBeUndefined();
    expect(name(specs, "/", { ...preflight("GET"), method: "POST" })).toBeUndefined();
    expect(name({ r: { methods: ["OPTIONS"] } }, "/", preflight("GET"))).toBe("r");
  });
});

describe("problems of routes", () => {
  it("are all told, each where it is", () => {
    expect(
      problems({
        a: { path: "/a*" },
        b: { path: ["/ok", "/x//y", "/:1"] },
        c: { path: { regex: "(" } },
        d: { host: "a b", path: "/fine" },
        e: { headers: { "x/y": { regex: "[" } } },
        f: { query: { "q~": { regex: "[" } } },
      }),
    ).toEqual([
      "CONFIG_PATTERN /routes/0/match/path",
      "CONFIG_PATTERN /routes/1/match/path/1",
      "CONFIG_PATTERN /routes/1/match/path/2",
      "CONFIG_REGEX /routes/2/match/path/regex",
      "CONFIG_PATTERN /routes/3/match/host",
      "CONFIG_REGEX /routes/4/match/headers/x~1y/regex",
      "CONFIG_REGEX /routes/5/match/query/q~0/regex",
    ]);
  });

  it("are told once for a route with several hosts", () => {
    expect(problems({ a: { host: ["a.test", "b.test"], path: "/a*" } })).toEqual([
      "CONFIG_PATTERN /routes/0/match/path",
    ]);
  });
});

describe("two routes", () => {
  const CONFLICT = ["CONFIG_ROUTE_CONFLICT /routes/1/match"];

  it("conflict with a message that names both", () => {
    expect(() => createRouter(routes({ one: {}, two: {} }))).toThrow(
      /"one" and "two" match the same requests/,
    );
  });

  it.each<[string, Spec, Spec]>([
    ["the same path", { path: "/a" }, { path: "/a" }],
    ["params of other names", { path: "/a/:x" }, { path: "/a/:y" }],
    ["the same path, encoded", { path: "/a" }, { path: "/%61" }],
    ["one path of a list", { path: ["/a", "/b"] }, { path: ["/b", "/c"] }],
    ["the same regular expression", { path: { regex: "^/a" } }, { path: { regex: "^/a" } }],
    ["the same host in another case", { host: "a.test" }, { host: "A.TEST." }],
    ["one host of a list", { host: ["a.test", "b.test"] }, { host: "b.test" }],
    ["methods in common", { methods: ["GET", "PUT"] }, { methods: ["PUT"] }],
    ["GET and HEAD", { methods: ["GET"] }, { methods: ["HEAD"] }],
    ["conditions on different headers", { headers: { a: "1" } }, { headers: { b: "1" } }],
    ["one a header, the other a parameter", { headers: { a: "1" } }, { query: { a: "2" } }],
    ["values in common", { headers: { a: ["1", "2"] } }, { headers: { A: ["2", "3"] } }],
    ["a value and presence", { headers: { a: "1" } }, { headers: { a: true } }],
    ["two expressions", { query: { a: { regex: "^1" } } }, { query: { a: { regex: "^2" } } }],
    [
      "an expression and a value that it takes",
      { query: { a: { regex: "^1" } } },
      { query: { a: ["x", "12"] } },
    ],
    ["the same priority", { priority: 3 }, { priority: 3 }],
    ["OPTIONS and answers to preflights", { methods: ["OPTIONS"] }, { methods: ["GET"], preflight: true }],
  ])("conflict: %s", (_what, a, b) => {
    expect(problems({ a, b })).toEqual(CONFLICT);
    expect(problems({ b, a })).toEqual(CONFLICT);
  });

  it.each<[string, Spec, Spec]>([
    ["other paths", { path: "/a" }, { path: "/b" }],
    ["a path and its prefix", { path: "/a" }, { path: "/a/*" }],
    ["a param and a literal", { path: "/:x" }, { path: "/a" }],
    ["other expressions", { path: { regex: "^/a" } }, { path: { regex: "^/b" } }],
    ["a host and none", { host: "a.test" }, {}],
    ["a host and a pattern for it", { host: "a.test" }, { host: "*.test" }],
    ["other methods", { methods: ["GET"] }, { methods: ["PUT"] }],
    ["methods and none", { methods: ["GET"] }, {}],
    ["more conditions", { headers: { a: "1" } }, {}],
    ["other values", { headers: { a: "1" } }, { headers: { A: ["2", "3"] } }],
    ["a value and absence", { query: { a: "1" } }, { query: { a: false } }],
    ["presence and absence", { query: { a: true } }, { query: { a: false } }],
    [
      "an expression and values that it does not take",
      { query: { a: { regex: "^1" } } },
      { query: { a: ["x", "21"] } },
    ],
    ["an expression and absence", { query: { a: { regex: "" } } }, { query: { a: false } }],
    ["other priorities", { priority: 1 }, { priority: 2 }],
    [
      "answers to preflights for other methods",
      { methods: ["GET"], preflight: true },
      { methods: ["PUT"], preflight: true },
    ],
  ])("do not conflict: %s", (_what, a, b) => {
    expect(problems({ a, b })).toEqual([]);
    expect(problems({ b, a })).toEqual([]);
  });

  it("conflict with each other as often as there are pairs", () => {
    expect(problems({ a: {}, b: {}, c: {} })).toEqual([
      "CONFIG_ROUTE_CONFLICT /routes/1/match",
      "CONFIG_ROUTE_CONFLICT /routes/2/match",
      "CONFIG_ROUTE_CONFLICT /routes/2/match",
    ]);
  });

  it("are one and the same route when it has a host or a path twice", () => {
    expect(problems({ a: { host: ["a.test", "A.test"], path: ["/x", "/x"] } })).toEqual([]);
  });
});
