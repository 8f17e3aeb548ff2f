import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GatewayError, textReply } from "../../core/plugin.ts";
import { csrf } from "../../plugins/csrf.ts";
import { createToken, isToken } from "../../plugins/csrf/token.ts";
import { buildStage, exchange, FakeHost, type RequestInit } from "../support/harness.ts";

const SECRET = "a-secret-that-is-long-enough-for-it";
const OWN = { authority: "shop.example", scheme: "https" } as const;

async function send(options: object, request: RequestInit, host = new FakeHost()) {
  const handler = await buildStage(csrf, options as never, () => textReply(200, "in"), host);
  const x = exchange({ ...request, init: { ...OWN, ...request.init } });
  try {
    return await handler(x);
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    expect(error.code).toBe("CSRF_FAILED");
    expect(error.status).toBe(403);
    return undefined;
  }
}

const passes = async (options: object, headers: Record<string, string | string[]>, method = "POST") =>
  (await send(options, { method, headers })) !== undefined;

describe("a request that changes something", () => {
  it.each([
    [{ "sec-fetch-site": "same-origin" }, true],
    [{ "sec-fetch-site": "none" }, true],
    [{ "sec-fetch-site": "same-site", origin: "https://shop.example" }, false],
    [{ "sec-fetch-site": "cross-site", origin: "https://evil.example" }, false],
    [{ "sec-fetch-site": "cross-site", origin: "https://partner.example" }, true],
    [{ "sec-fetch-site": ["same-origin", "cross-site"] }, false],
    [{ "sec-fetch-site": "" }, false],
    [{ "sec-fetch-site": "SAME-ORIGIN" }, false],
    [{ origin: "https://shop.example" }, true],
    [{ origin: "http://shop.example" }, false],
    [{ origin: "https://shop.example:8443" }, false],
    [{ origin: "https://shop.example.evil.example" }, false],
    [{ origin: "https://a.partner.example" }, false],
    [{ origin: "https://a.team.example" }, true],
    [{ origin: "null" }, false],
    [{ origin: "" }, false],
    [{ origin: ["https://shop.example", "https://evil.example"] }, false],
    [{ origin: "null", referer: "https://shop.example/" }, false],
    [{ referer: "https://shop.example/basket?a=1" }, true],
    [{ referer: "https://partner.example/" }, true],
    [{ referer: "https://evil.example/https://shop.example/" }, false],
    [{ referer: "https://shop.example@evil.example/" }, false],
    [{ referer: "about:blank" }, false],
    [{ referer: "/" }, false],
    [{}, false],
  ])("with %j passes: %s", async (headers, expected) => {
    const options = { origins: ["https://partner.example", "https://*.team.example"] };
    expect(await passes(options, headers)).toBe(expected);
  });

  it.each(["POST", "PUT", "PATCH", "DELETE", "PROPFIND"])("is one with %s", async (method) => {
    expect(await passes({}, {}, method)).toBe(false);
  });

  it.each(["GET", "HEAD", "OPTIONS", "TRACE"])("is none with %s", async (method) => {
    expect(await passes({}, { origin: "https://evil.example" }, method)).toBe(true);
  });

  it("is one when a stage above has made it one, or none of it", async () => {
    const handler = await buildStage(csrf, {});
    for (const [from, to] of [
      ["GET", "POST"],
      ["POST", "GET"],
    ] as const) {
      const x = exchange({ method: from, init: OWN });
      x.method = to;
      expect(() => handler(x)).toThrow(GatewayError);
    }
  });

  it("is of this site with a port that the scheme has anyway", async () => {
    const request = (authority: string) => ({
      method: "POST",
      headers: { origin: "https://shop.example" },
      init: { authority },
    });
    expect(await send({}, request("SHOP.example:443"))).toBeDefined();
    expect(await send({}, request("shop.example:8443"))).toBeUndefined();
  });

  it("never passes with an origin that is not its own, whatever it is", async () => {
    const handler = await buildStage(csrf, {});
    fc.assert(
      fc.property(fc.oneof(fc.webUrl(), fc.string()), fc.boolean(), (origin, isReferer) => {
        fc.pre(!/[\0-\x1f\x7f]/.test(origin) && URL.parse(origin)?.host !== OWN.authority);
        const x = exchange({
          method: "POST",
          headers: { [isReferer ? "referer" : "origin"]: origin },
          init: OWN,
        });
        expect(() => handler(x)).toThrow(GatewayError);
      }),
    );
  });
});

describe("a token", () => {
  const options = { token: { secret: SECRET, session: "sid" } };
  const same = { "sec-fetch-site": "same-origin" };
  const cookieOf = async (cookie: string, init = {}) =>
    (await send(options, { headers: { cookie }, init }))!.headers.get("set-cookie");

  it("is set once for a session, and lets its page change things", async () => {
    const reply = await send(options, { headers: { cookie: "sid=abc" } });
    const set = reply!.headers.get("set-cookie")!;
    const [, token = ""] = /^csrf-token=([\w.-]+); Path=\/; Secure; SameSite=Lax$/.exec(set) ?? [];
    expect(token).not.toBe("");
    expect(reply!.headers.get("cache-control")).toBe("no-store");
    const cookie = `sid=abc; csrf-token=${token}`;
    expect(await cookieOf(cookie)).toBeUndefined();
    expect(await passes(options, { ...same, cookie, "x-csrf-token": token })).toBe(true);
    expect(
      await passes(options, { ...same, cookie: `sid=abcd; csrf-token=${token}`, "x-csrf-token": token }),
    ).toBe(false);
    expect(await passes(options, { ...same, cookie })).toBe(false);
    expect(await passes(options, { ...same, cookie: "sid=abc", "x-csrf-token": token })).toBe(false);
    expect(await passes(options, { ...same, cookie, "x-csrf-token": `${token}a` })).toBe(false);
    expect(await passes(options, { ...same, cookie: `${cookie}; csrf-token=x`, "x-csrf-token": token })).toBe(
      false,
    );
    expect(await passes(options, { ...same, cookie: `${cookie}; sid=x`, "x-csrf-token": token })).toBe(false);
    expect(await passes(options, { cookie, "x-csrf-token": token, origin: "https://evil.example" })).toBe(
      false,
    );
    expect(await cookieOf(`sid=new; csrf-token=${token}`)).toBeDefined();
  });

  it("is not Secure over http, and not set where nobody can tell which session counts", async () => {
    expect(await cookieOf("sid=abc", { scheme: "http" })).toMatch(/; Path=\/; SameSite=Lax$/);
    expect(await cookieOf("sid=abc; sid=d")).toBeUndefined();
  });

  it("is set on failures too, and not twice when the stages below are tried again", async () => {
    const host = new FakeHost();
    const fails = () => {
      throw new GatewayError("UPSTREAM_RESET");
    };
    const handler = await buildStage(csrf, options, fails, host);
    const x = exchange({ headers: { cookie: "sid=abc" }, init: OWN });
    await expect(handler(x)).rejects.toThrow();
    await expect(handler(x)).rejects.toThrow();
    expect(x.failureHeaders!.getAll("set-cookie")).toHaveLength(1);
  });

  it("counts for its session and its secret alone", () => {
    const token = createToken("a!b", SECRET);
    expect(isToken(token, "a!b", SECRET)).toBe(true);
    expect(isToken(token, "a!b", `${SECRET}x`)).toBe(false);
    fc.assert(
      fc.property(fc.string(), fc.string(), (session, other) => {
        const own = createToken(session, SECRET);
        expect(isToken(own, session, SECRET)).toBe(true);
        expect(isToken(own, other, SECRET)).toBe(session === other);
        expect(isToken(other, session, SECRET)).toBe(false);
      }),
    );
  });
});

it("counts what it lets pass and what it refuses", async () => {
  const host = new FakeHost();
  const handler = await buildStage(csrf, { token: { secret: SECRET, session: "sid" } }, undefined, host);
  await handler(exchange({ init: OWN }));
  expect(() => handler(exchange({ method: "POST", init: OWN }))).toThrow();
  expect(() =>
    handler(exchange({ method: "POST", headers: { "sec-fetch-site": "none" }, init: OWN })),
  ).toThrow();
  expect(Object.entries(host.collected("sluice_csrf_requests_total"))).toEqual(
    [
      ["safe", 1],
      ["passed", 0],
      ["origin", 1],
      ["token", 1],
    ].map(([outcome, count]) => [JSON.stringify({ route: "test", stage: "stage", outcome }), count]),
  );
});

it.each([
  [{ origins: ["https://a.example/path"] }, "is not an origin"],
  [{ origins: ["null"] }, "Any site"],
  [{ token: { secret: SECRET, session: "a", cookie: "a" } }, "a cookie of its own"],
  [{ token: { secret: SECRET, session: "a", header: "a b" } }, "is not a header name"],
  [{ token: { secret: SECRET, session: "a b" } }, "is not a cookie name"],
  [{ token: { secret: SECRET, session: "a", cookie: "a b" } }, "is not a cookie name"],
  [{ token: { secret: "short", session: "a" } }, "32"],
])("refuses the options %j", async (options, message) => {
  await expect(buildStage(csrf, options as never)).rejects.toThrow(message);
});

it("leaves an audit event for what it refuses", async () => {
  const host = new FakeHost();
  await send({}, { method: "POST" }, host);
  await send({}, { method: "POST", headers: { "sec-fetch-site": "same-origin" } }, host);
  expect(host.audit.events).toEqual([{ event: "csrf", outcome: "refused", reason: "origin" }]);
});
