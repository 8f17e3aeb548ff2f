import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openFunction, openScript, type SandboxFunction } from "../../support/scripts.ts";
import { exchange } from "../../support/harness.ts";

const name = fc.constantFrom("a", "A", "b", "x-a", "X-A-B", "accept", "Set-Cookie", "cookie");
const value = fc
  .array(fc.constantFrom(..."ab:,;= \té\xa0\xff/", ": ", "x-a:"), { maxLength: 6 })
  .map((parts) => parts.join(""));
const step = fc.oneof(
  fc.tuple(fc.constantFrom("set", "append"), name, value),
  fc.tuple(fc.constantFrom("delete", "get", "has"), name),
  fc.tuple(fc.constantFrom("getSetCookie")),
);

type AnyHeaders = Headers & Record<string, (...args: string[]) => unknown>;

/** What is seen of headers while they are changed. The same in the sandbox. */
const play = (headers: AnyHeaders, steps: readonly (readonly string[])[]): unknown => {
  const seen = steps.map(([op, ...args]) => headers[op!]!(...args) ?? null);
  const each: unknown[] = [];
  headers.forEach((text, key, all) => each.push([key, text, all === headers]));
  return [seen, [...headers], [...headers.keys()], [...headers.values()], each];
};

let sandbox: SandboxFunction;
beforeAll(async () => {
  sandbox = await openFunction(`(ctx, req, steps) => (${play})(req.headers, steps)`);
});
afterAll(() => sandbox[Symbol.asyncDispose]());

describe("headers in the sandbox", () => {
  it("are as those of fetch", () =>
    fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 8 }), async (steps) => {
        expect(await sandbox(steps)).toEqual(play(new Headers() as AnyHeaders, steps));
      }),
      { numRuns: 300 },
    ));

  it("become those of the request", () =>
    fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(name, value)), fc.array(step), async (given, steps) => {
        // The socket has trimmed what comes.
        const raw = given.flatMap(([key, text]) => [key, text.replace(/^[\t ]+|[\t ]+$/g, "")]);
        await using script = await openScript(
          `{ request(req) { for (const [op, ...args] of ${JSON.stringify(steps)}) req.headers[op](...args); } }`,
        );
        const x = exchange({ headers: raw.slice() });
        await script.handler(x);
        const expected = new Headers();
        for (let i = 0; i < raw.length; i += 2) expected.append(raw[i]!, raw[i + 1]!);
        play(expected as AnyHeaders, steps);
        const after = new Headers();
        for (let i = 0; i < x.headers.raw.length; i += 2)
          after.append(x.headers.raw[i]!, x.headers.raw[i + 1]!);
        expect([...after]).toEqual([...expected]);
      }),
      { numRuns: 30 },
    ));

  it("take little time, whatever a client has sent", async () => {
    await using script = await openScript(
      `{ request(req) {
        req.headers.set("x-a", req.headers.get("a") + "\\n");
        for (const [name, value] of req.headers) if (name === "h1") req.headers.set("x-b", value);
      } }`,
    );
    const many = Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`h${i}`, "1"]));
    const x = exchange({ headers: { ...many, a: `b${" ".repeat(60_000)}c` } });
    await script.handler(x);
    expect([x.headers.get("x-a")?.length, x.headers.get("x-b")]).toEqual([60_002, "1"]);
  });

  it.each([
    ['set("a b", "c")', '"a b" is not a header name'],
    ['append("", "c")', '"" is not a header name'],
    ['set("a", "b\\r\\nc: d")', "The value of header a has control or non-Latin-1 characters"],
    ['set("a", "b\\0")', "The value of header a has control or non-Latin-1 characters"],
    ['set("a", "ł")', "The value of header a has control or non-Latin-1 characters"],
    ['set("Host", "b")', "The header host belongs to the gateway: it cannot be changed"],
    ['set("X-Consumer-Name", "root")', "The header x-consumer-name belongs to the gateway"],
    ['append("x_consumer_roles", "admin")', "The header x_consumer_roles belongs to the gateway"],
    ['append("x.consumer.roles", "admin")', "The header x.consumer.roles belongs to the gateway"],
    ['delete("Content-Length")', "The header content-length belongs to the gateway: it cannot be changed"],
  ])("refuse %s", async (call, message) => {
    await using refused = await openFunction(`(ctx, req) => req.headers.${call}`);
    await expect(refused()).rejects.toThrow(`TypeError: ${message}`);
  });
});
