import { describe, expect, it } from "vitest";
import { ConfigError, type Problem } from "../../core/errors.ts";
import {
  compileHeaderName,
  compileHeaderValue,
  compileHeaderValues,
  compileText,
  escapeFor,
} from "../../core/option-text.ts";
import { childPointer } from "../../core/pointer.ts";
import { exchange } from "../support/harness.ts";

function problemOf(run: () => unknown): Problem {
  try {
    run();
  } catch (error) {
    if (error instanceof ConfigError) return error.problems[0]!;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("texts of options", () => {
  it("stay constants when they have no variable", () => {
    expect(compileText("plain", "")).toBe("plain");
    expect(compileText("", "")).toBe("");
    expect(compileText("a {{b}} }}{{", "")).toBe("a {b} }{");
  });

  it("become templates when they have one, whatever braces stand around it", () => {
    const text = compileText("{{{request.method}}}", "");
    expect(typeof text === "function" && text(exchange())).toBe("{GET}");
  });

  it("say where they are wrong", () => {
    expect(problemOf(() => compileText("{nope.x}", "/body")).pointer).toBe("/body");
    expect(problemOf(() => compileText("{a", "/body")).message).toContain("not closed");
  });

  it("have pointers that escape their keys", () => {
    expect(childPointer("/set", "/a~b")).toBe("/set/~1a~0b");
    expect(childPointer("", 0)).toBe("/0");
  });
});

describe("header fields of options", () => {
  it("have lower-case names", () => {
    expect(compileHeaderName("X-Tenant", "/x")).toBe("x-tenant");
  });

  it.each([
    "Content-Length",
    "connection",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "keep-alive",
    "proxy-connection",
  ])("refuse %s, which frames the message", (name) => {
    expect(problemOf(() => compileHeaderName(name, "/x")).message).toContain(name.toLowerCase());
  });

  it("refuse what is no token", () => {
    expect(problemOf(() => compileHeaderName("x y", "/x")).pointer).toBe("/x");
  });

  it("refuse values that no header can carry, in constants and around variables", () => {
    expect(problemOf(() => compileHeaderValue("a\r\nb: c", "/x")).pointer).toBe("/x");
    expect(problemOf(() => compileHeaderValue("日 {id}", "/x")).pointer).toBe("/x");
    expect(problemOf(() => compileHeaderValues(["ok", "a\nb"], "/x")).pointer).toBe("/x/1");
  });

  it("encode what variables hold, so that a client cannot make a field invalid or add one", () => {
    const text = compileHeaderValue("v={id}", "/x");
    const x = exchange({ params: { id: "a\r\nx: y 日" } });
    expect(typeof text === "function" && text(x)).toBe("v=a%0D%0Ax: y %E6%97%A5");
  });
});

describe("values in bodies", () => {
  it.each([
    ["application/json", `"a\n`, `\\"a\\n`],
    ["application/problem+json; charset=utf-8", `"`, `\\"`],
    ["text/html; charset=utf-8", `<a b='c' d="e">&`, "&lt;a b=&#39;c&#39; d=&quot;e&quot;&gt;&amp;"],
    ["application/xhtml+xml", "<", "&lt;"],
    ["text/plain", `<"`, `<"`],
    [undefined, `<"`, `<"`],
  ])("are escaped for %s", (type, value, escaped) => {
    expect(escapeFor(type)(value)).toBe(escaped);
  });

  it("are escaped even when they are in wire form", () => {
    const text = compileText("{request.path}", "", escapeFor("application/json"));
    expect(typeof text === "function" && text(exchange({ target: `/a"b` }))).toBe(`/a\\"b`);
  });
});
