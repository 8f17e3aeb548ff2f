import { describe, expect, it } from "vitest";
import type { Condition } from "../../core/config/checked.ts";
import type { ConfigError } from "../../core/errors.ts";
import type { Consumer } from "../../core/exchange.ts";
import { compileCondition } from "../../core/match.ts";
import { exchange, type RequestInit } from "../support/harness.ts";

type Ask = RequestInit & { consumer?: Partial<Consumer> };

function holds(condition: Condition, { consumer, ...request }: Ask = {}): boolean {
  const x = exchange(request);
  if (consumer !== undefined) x.consumer = { name: "mobile", roles: [], ...consumer };
  return compileCondition(condition)(x);
}

describe("a stage's `when`", () => {
  it.each<[string, Condition, Ask, boolean]>([
    ["a method", { method: "POST" }, { method: "POST" }, true],
    ["another method", { method: "POST" }, { method: "GET" }, false],
    ["one of several methods", { method: ["PUT", "POST"] }, { method: "PUT" }, true],
    ["GET, which includes HEAD", { method: "GET" }, { method: "HEAD" }, true],
    ["HEAD, which is not GET", { method: "HEAD" }, { method: "GET" }, false],
    ["an exact path", { path: "/a" }, { target: "/a?b" }, true],
    ["another path", { path: "/a" }, { target: "/a/b" }, false],
    ["a path with params", { path: "/a/:id" }, { target: "/a/b" }, true],
    ["a prefix", { path: "/a/*" }, { target: "/a" }, true],
    ["a prefix with params", { path: "/:x/b/*" }, { target: "/a//b/c" }, true],
    ["one of several paths", { path: ["/a", "/b/*"] }, { target: "/b/c" }, true],
    ["none of several paths", { path: ["/a", "/b/*"] }, { target: "/c" }, false],
    ["a path, percent-encoded without need", { path: "/admin/*" }, { target: "/%61dmin/x" }, true],
    ["a regular expression", { path: { regex: "^/a\\d$" } }, { target: "/a1?b" }, true],
    ["another regular expression", { path: { regex: "^/a\\d$" } }, { target: "/ab" }, false],
    [
      "an expression, percent-encoded without need",
      { path: { regex: "^/admin/" } },
      { target: "//%61dmin/x" },
      true,
    ],
    ["a header in any case", { header: { "X-A": "1" } }, { headers: { "x-a": "1" } }, true],
    ["another value of a header", { header: { "x-a": "1" } }, { headers: { "x-a": "2" } }, false],
    ["a header that is there", { header: { "x-a": true } }, { headers: { "x-a": "" } }, true],
    ["a header that is not there", { header: { "x-a": false } }, {}, true],
    ["one of a header's values", { header: { "x-a": ["1", "2"] } }, { headers: { "x-a": "2" } }, true],
    ["a header's form", { header: { "x-a": { regex: "^v" } } }, { headers: { "x-a": "v2" } }, true],
    ["two headers", { header: { "x-a": "1", "x-b": "1" } }, { headers: { "x-a": "1" } }, false],
    ["a query parameter", { query: { q: "1" } }, { target: "/?q=1" }, true],
    ["a parameter that is not there", { query: { q: false } }, { target: "/?p" }, true],
    ["a parameter's case", { query: { Q: true } }, { target: "/?q" }, false],
    ["any consumer", { consumer: true }, { consumer: {} }, true],
    ["any consumer, but there is none", { consumer: true }, {}, false],
    ["no consumer", { consumer: false }, {}, true],
    ["no consumer, but there is one", { consumer: false }, { consumer: {} }, false],
    ["a consumer", { consumer: "mobile" }, { consumer: {} }, true],
    ["a consumer, but there is none", { consumer: "mobile" }, {}, false],
    ["one of several consumers", { consumer: ["web", "mobile"] }, { consumer: {} }, true],
    ["none of several consumers", { consumer: ["web", "tv"] }, { consumer: {} }, false],
    ["not what holds", { not: { method: "GET" } }, { method: "GET" }, false],
    ["not what does not hold", { not: { method: "GET" } }, { method: "PUT" }, true],
    ["not all of it", { not: { method: "GET", path: "/a" } }, { method: "GET", target: "/b" }, true],
    ["not not", { not: { not: { method: "GET" } } }, { method: "GET" }, true],
    [
      "several, all of which hold",
      { method: "GET", path: "/a", not: { consumer: true } },
      { target: "/a" },
      true,
    ],
    [
      "several, one of which does not",
      { method: "GET", path: "/a", not: { consumer: true } },
      { target: "/a", consumer: {} },
      false,
    ],
    ["all of its parts", { all: [{ method: "GET" }, { path: "/a" }] }, { target: "/a" }, true],
    ["not all of its parts", { all: [{ method: "GET" }, { path: "/a" }] }, { target: "/b" }, false],
    [
      "its own and all of its parts",
      { method: "GET", all: [{ path: "/a" }] },
      { method: "PUT", target: "/a" },
      false,
    ],
    ["nothing at all", {}, {}, true],
  ])("asks for %s", (_what, condition, request, expected) => {
    expect(holds(condition, request)).toBe(expected);
    expect(holds({ not: condition }, request)).toBe(!expected);
  });

  it("asks for what the client sent, whatever stages changed", () => {
    const x = exchange({ method: "GET", target: "/a?q=1" });
    x.method = "PUT";
    x.path = "/b";
    x.search = "?q=2";
    expect(compileCondition({ method: "GET", path: "/a", query: { q: "1" } })(x)).toBe(true);
    expect(compileCondition({ path: { regex: "^/a" } })(x)).toBe(true);
  });

  it.each<[Condition, string]>([
    [{ path: "/a*" }, "CONFIG_PATTERN /when/path"],
    [{ path: ["/a", "/:1"] }, "CONFIG_PATTERN /when/path/1"],
    [{ path: { regex: "(" } }, "CONFIG_REGEX /when/path/regex"],
    [{ header: { "x/a": { regex: "(" } } }, "CONFIG_REGEX /when/header/x~1a/regex"],
    [{ query: { q: { regex: "(" } } }, "CONFIG_REGEX /when/query/q/regex"],
    [{ not: { not: { path: "/a*" } } }, "CONFIG_PATTERN /when/not/not/path"],
  ])("refuses %j", (condition, expected) => {
    try {
      compileCondition(condition);
      expect.unreachable();
    } catch (error) {
      expect((error as ConfigError).problems.map(({ code, pointer }) => `${code} ${pointer}`)).toEqual([
        expected,
      ]);
    }
  });
});
