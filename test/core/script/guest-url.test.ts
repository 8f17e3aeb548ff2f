import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openFunction, type SandboxFunction } from "../../support/scripts.ts";

/** Texts of what matters in queries. */
const text = fc
  .array(fc.constantFrom(..."ab=&+%?# äé€~*'()!/[]\\^|", "%20", "%C3", "%A4", "%zz", "🎈", "\ud800", "\0"), {
    maxLength: 8,
  })
  .map((parts) => parts.join(""));
const pairs = fc.array(fc.tuple(text, text), { maxLength: 5 });

const step = fc.oneof(
  fc.tuple(fc.constantFrom("set", "append"), text, text),
  fc.tuple(fc.constantFrom("delete", "has"), text, text),
  fc.tuple(fc.constantFrom("delete", "get", "getAll", "has"), text),
  fc.tuple(fc.constantFrom("sort")),
);

type Params = URLSearchParams & Record<string, (...args: string[]) => unknown>;

/** What is seen of params while they are changed. The same in the sandbox. */
const play = (params: Params, steps: readonly (readonly string[])[]): unknown => [
  ...steps.map(([op, ...args]) => params[op!]!(...args) ?? null),
  [...params],
  [...params.keys()],
  [...params.values()],
  params.size,
  params.toString(),
];

let sandbox: SandboxFunction;
beforeAll(async () => {
  sandbox = await openFunction(`(ctx, req, op, input, steps) => {
    const play = ${play};
    const { searchParams, origin, ...parts } = op === "url" ? Object.fromEntries(
      ["href", "origin", "protocol", "username", "password", "host", "hostname", "port", "pathname", "search", "hash"]
        .map((key) => [key, new URL(...input)[key]])) : {};
    switch (op) {
      case "params": return play(new URLSearchParams(input), steps);
      case "url": return { ...parts, origin };
      case "search": {
        const url = new URL(input);
        return [play(url.searchParams, steps), url.href];
      }
      case "set": {
        const url = new URL("https://user@example.com:8080/a?b=c#d");
        const { searchParams } = url;
        url[input] = steps;
        return [url.href, [...searchParams]];
      }
    }
  }`);
});
afterAll(() => sandbox[Symbol.asyncDispose]());

describe("URLSearchParams in the sandbox", () => {
  it("are those of Node, made of a text", () =>
    fc.assert(
      fc.asyncProperty(text, fc.array(step, { maxLength: 5 }), async (given, steps) => {
        // Node spoils what is not ASCII where there is also an escape that is not UTF-8.
        const init = given.toWellFormed().replace(/[^\0-\x7f]+/g, encodeURIComponent);
        expect(await sandbox("params", init, steps)).toEqual(
          play(new URLSearchParams(init) as Params, steps),
        );
      }),
      { numRuns: 300 },
    ));

  it("are those of Node, made of pairs or a record", () =>
    fc.assert(
      fc.asyncProperty(pairs, fc.boolean(), async (list, isRecord) => {
        const init = isRecord ? Object.fromEntries(list) : list;
        expect(await sandbox("params", init, [])).toEqual(play(new URLSearchParams(init) as Params, []));
      }),
    ));

  it("keep what is not ASCII", async () => {
    expect(await sandbox("params", "🎈=ä%A4\ud800", [["get", "🎈"]])).toContain("ä\ufffd\ufffd");
  });

  it("refuse what are no pairs", async () => {
    await expect(sandbox("params", [["a"]], [])).rejects.toThrow("TypeError");
  });

  it("can be changed while they are gone through", async () => {
    const go = () => {
      const params = new URLSearchParams("a=1&b=2&c=3");
      const seen: string[] = [];
      for (const [name] of params) {
        seen.push(name);
        if (name === "a") params.delete("a");
        if (name === "c" && params.size < 5) params.append("d", "4");
      }
      params.forEach(
        function (this: { x: string }, value, name, all) {
          seen.push(`${this.x}${name}${value}${all === params}`);
        },
        { x: "-" },
      );
      return seen;
    };
    await using sandboxed = await openFunction(String(go));
    expect(await sandboxed()).toEqual(go());
  });
});

describe("URL in the sandbox", () => {
  it.each([
    ["https://EXAMPLE.com:443/a/../b?c d#e"],
    ["http://0x7f.1/"],
    ["http://ä.example/ü?ö"],
    ["data:text/plain,a"],
    ["b?c", "https://example.com/a/"],
    ["//x", "https://example.com/a/"],
  ])("parses %s as Node does", async (...input) => {
    const { href, origin, protocol, username, password, host, hostname, port, pathname, search, hash } =
      new URL(...(input as [string, string?]));
    const expected = {
      href,
      origin,
      protocol,
      username,
      password,
      host,
      hostname,
      port,
      pathname,
      search,
      hash,
    };
    expect(await sandbox("url", input)).toEqual(expected);
  });

  it.each([["a"], ["http://"], ["http://a b/"], ["/a", "b"]])(
    "throws a TypeError for %s",
    async (...input) => {
      await expect(sandbox("url", input)).rejects.toThrow("TypeError: Invalid URL");
    },
  );

  it("follows its searchParams, and they follow it", () =>
    fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 4 }), async (steps) => {
        const url = new URL("https://example.com/?a=1&b=2#c");
        const expected = [play(url.searchParams as Params, steps), url.href];
        expect(await sandbox("search", "https://example.com/?a=1&b=2#c", steps)).toEqual(expected);
      }),
    ));

  it.each([
    ["href", "http://other.example/x?y=z"],
    ["search", "?x=y"],
    ["search", ""],
    ["protocol", "http"],
    ["host", "a.example:1"],
    ["hostname", "b.example"],
    ["port", "443"],
    ["pathname", "x y"],
    ["hash", "h"],
    ["username", "me"],
    ["password", "p@ss"],
  ] as const)("sets its %s to %j as in Node", async (key, value) => {
    const url = new URL("https://user@example.com:8080/a?b=c#d");
    const { searchParams } = url;
    url[key] = value;
    expect(await sandbox("set", key, value)).toEqual([url.href, [...searchParams]]);
  });

  it("does not let its origin be set, nor its parts be read of others", async () => {
    await using refused = await openFunction(`(ctx, req, op) => {
      "use strict";
      if (op === "origin") new URL("http://a/").origin = "b";
      else Object.getOwnPropertyDescriptor(URL.prototype, "href").get.call({});
    }`);
    await expect(refused("origin")).rejects.toThrow("TypeError");
    await expect(refused("part")).rejects.toThrow("TypeError");
  });

  it("is not parsed from a text without end", async () => {
    await using parse = await openFunction('() => new URL("http://a/" + "b".repeat(200000))');
    await expect(parse()).rejects.toThrow("TypeError: Invalid URL: it is too long");
  });

  it("says whether a text is one", async () => {
    await using parse = await openFunction(
      `() => [URL.canParse("a"), URL.canParse("a", "http://b"), URL.parse("a"), URL.parse("http://A/").href]`,
    );
    expect(await parse()).toEqual([false, true, null, "http://a/"]);
  });
});
