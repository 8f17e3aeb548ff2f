import type { IncomingMessage, ServerResponse } from "node:http";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type ConfigError,
  type Exchange,
  GatewayError,
  type Handler,
  textReply,
} from "../../../core/plugin.ts";
import { auth } from "../../../plugins/auth.ts";
import { buildStage, exchange, FakeHost, type RequestInit } from "../../support/harness.ts";
import { startUpstream, type TestUpstream } from "../../support/upstream.ts";

let host: FakeHost;
let seen: Exchange | undefined;
let server: TestUpstream;
/** Questions that came. */
let asked: IncomingMessage[];
let answer: (response: ServerResponse, request: IncomingMessage) => void;

const known = (response: ServerResponse): void => void response.setHeader("x-consumer-name", "alice").end();
const status =
  (code: number): typeof answer =>
  (response) =>
    void response.writeHead(code, { "x-consumer-name": "alice" }).end();

beforeEach(async () => {
  host = new FakeHost();
  seen = undefined;
  asked = [];
  answer = known;
  server = await startUpstream((request, response) => {
    asked.push(request);
    answer(response, request);
  });
});
afterEach(async () => {
  for (const kept of host.kept.values()) (kept as { close?(): void }).close?.();
  await server.close();
});

const build = (options: object = {}, more: object = {}): Promise<Handler> =>
  buildStage(
    auth,
    { methods: [{ forward: { url: `${server.url}/check`, ...options } }], ...more } as never,
    (x) => {
      seen = x;
      return textReply(200, "in");
    },
    host,
  );

async function send(handler: Handler, request: RequestInit = KEY): Promise<string> {
  try {
    const reply = await handler(exchange(request));
    return `${reply.status} ${seen?.consumer?.name ?? "nobody"}`;
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    return `${error.status} ${error.code}`;
  }
}

const KEY: RequestInit = { headers: { authorization: "Bearer planted" } };
const ask = async (options: object = {}, request?: RequestInit): Promise<string> =>
  send(await build(options), request);

describe("the question", () => {
  it("has the listed headers, and what the request is for", async () => {
    const headers = {
      Authorization: "Bearer planted",
      Cookie: ["a=1", "b=2"],
      "x-api-key": "key",
      "x-other": "1",
      "x-original-url": "forged",
    };
    expect(await ask({}, { method: "PUT", target: "/a/b?c=d", headers })).toBe("200 alice");
    expect(asked[0]).toMatchObject({ method: "GET", url: "/check" });
    expect(asked[0]?.headers).toEqual({
      authorization: "Bearer planted",
      cookie: "a=1; b=2",
      "x-api-key": "key",
      "x-original-method": "PUT",
      "x-original-url": "http://localhost/a/b?c=d",
      host: `127.0.0.1:${server.port}`,
      connection: "keep-alive",
    });
    await ask({ method: "POST", headers: ["X-Other"] }, { headers });
    expect(asked[1]).toMatchObject({ method: "POST", headers: { "x-other": "1", "content-length": "0" } });
    expect(asked[1]?.headers["authorization"]).toBeUndefined();
  });

  it("is not asked where no credential is, unless there is none to look for", async () => {
    expect(await ask({}, { headers: { "x-other": "1" } })).toBe("401 UNAUTHENTICATED");
    expect(asked).toHaveLength(0);
    expect(await ask({ headers: [] }, {})).toBe("200 alice");
  });

  it("is not asked where nobody could tell which credential counts, or they are too long", async () => {
    let connections = 0;
    server.server.on("connection", () => connections++);
    const handler = await build({}, { optional: true });
    const twice = { headers: { authorization: ["Bearer planted", "Bearer other"] } };
    expect(await send(handler, twice)).toBe("401 UNAUTHENTICATED");
    expect(await send(handler, { headers: { cookie: "a".repeat(16_385) } })).toBe("401 UNAUTHENTICATED");
    expect(connections).toBe(0);
  });

  it("takes the headers from the request but for cookies, unless they are to be kept", async () => {
    const headers = { Authorization: "Bearer planted", cookie: "a=1", "x-api-key": "key", "x-other": "1" };
    await ask({}, { headers });
    expect(seen?.headers.raw).toEqual(["cookie", "a=1", "x-other", "1"]);
    await ask({ keep: true }, { headers });
    expect(seen?.headers.raw).toEqual(Object.entries(headers).flat());
  });
});

describe("the answer", () => {
  it("says who asks", async () => {
    answer = (response) => {
      response.setHeader("Remote-User", Buffer.from("Zoë").toString("latin1"));
      response.setHeader("Remote-Groups", "a, b,,c");
      response.writeHead(204).end();
    };
    await ask({ consumerHeader: "Remote-User", rolesHeader: "remote-groups" });
    expect(seen?.consumer).toEqual({
      name: "Zoë",
      roles: ["a", "b", "c"],
      credential: expect.stringMatching(/^[\w-]{12}$/),
    });
    const { credential } = seen!.consumer!;
    await ask({ consumerHeader: "Remote-User" }, { ...KEY, target: "/other" });
    expect(seen?.consumer?.credential).toBe(credential);
    await ask({ consumerHeader: "Remote-User" }, { headers: { authorization: "Bearer other" } });
    expect(seen?.consumer?.credential).not.toBe(credential);
  });

  it.each([
    [200, "200 alice"],
    [299, "200 alice"],
    [302, "503 AUTH_UNAVAILABLE"],
    [400, "401 UNAUTHENTICATED"],
    [401, "401 UNAUTHENTICATED"],
    [403, "403 FORBIDDEN"],
    [404, "401 UNAUTHENTICATED"],
    [408, "503 AUTH_UNAVAILABLE"],
    [429, "503 AUTH_UNAVAILABLE"],
    [500, "503 AUTH_UNAVAILABLE"],
    [503, "503 AUTH_UNAVAILABLE"],
  ])("of status %i is %s", async (code, is) => {
    answer = status(code);
    expect(await ask()).toBe(is);
    expect(seen === undefined).toBe(!is.startsWith("200"));
  });

  it.each([
    ["nobody", {}],
    ["an empty name", { "x-consumer-name": "" }],
    ["two names", { "x-consumer-name": ["alice", "bob"] }],
    ["too long a name", { "x-consumer-name": "a".repeat(257) }],
    ["control characters", { "x-consumer-name": "a\tb" }],
  ])("that names %s lets nobody in", async (_, headers) => {
    answer = (response) => void response.writeHead(200, headers as never).end();
    expect(await ask()).toBe("503 AUTH_UNAVAILABLE");
    expect(seen).toBeUndefined();
  });

  it("lets nobody in when it does not come, comes too late, or never ends", async () => {
    answer = () => {};
    expect(await ask({ timeout: "50ms" })).toBe("503 AUTH_UNAVAILABLE");
    answer = (response) => void response.writeHead(200, { "x-consumer-name": "alice" }).flushHeaders();
    expect(await ask({ timeout: "50ms" })).toBe("503 AUTH_UNAVAILABLE");
    answer = (response) => void response.setHeader("x-consumer-name", "alice").end("x".repeat(70_000));
    expect(await ask()).toBe("503 AUTH_UNAVAILABLE");
    answer = (response) => void response.destroy();
    expect(await ask()).toBe("503 AUTH_UNAVAILABLE");
    await server.close();
    expect(await ask()).toBe("503 AUTH_UNAVAILABLE");
    expect(seen).toBeUndefined();
    expect(JSON.stringify([host.log.lines, [...host.counts]])).not.toContain("planted");
  });

  it("has the challenge in the place of its own", async () => {
    answer = (response) => void response.writeHead(401, { "www-authenticate": "Negotiate" }).end();
    const handler = await build({ challenge: 'Basic realm="shop"' });
    const error = await Promise.resolve(handler(exchange(KEY))).catch((thrown: unknown) => thrown);
    expect((error as GatewayError).headers).toEqual(["www-authenticate", 'Basic realm="shop"']);
  });
});

describe("headers that are copied", () => {
  const copying = { copyHeaders: ["X-User-Id", "authorization"] };
  const forged = { "X-User-Id": "forged", "x-other": "1" };

  it("take the place of the client's, whether the answer has them or not", async () => {
    answer = (response) => known(response.setHeader("x-user-id", ["1", "2"]) as ServerResponse);
    await ask(copying, { headers: { ...forged, authorization: "Bearer planted" } });
    expect(seen?.headers.raw).toEqual(["x-other", "1", "x-user-id", "1", "x-user-id", "2"]);
    answer = (response) => known(response.setHeader("authorization", "Bearer inside") as ServerResponse);
    await ask(copying, { headers: { ...forged, cookie: "a=1" } });
    expect(seen?.headers.raw).toEqual(["x-other", "1", "cookie", "a=1", "authorization", "Bearer inside"]);
  });

  it("are never the client's, whoever lets it in", async () => {
    const handler = await build(copying, { optional: true });
    await send(handler, { headers: forged });
    expect(seen?.headers.raw).toEqual(["x-other", "1"]);
    const other = { forward: { url: server.url, headers: ["x-other"], keep: true } };
    const both = await build({}, { methods: [other, { forward: { url: server.url, ...copying } }] });
    expect(await send(both, { headers: forged })).toBe("200 alice");
    expect(seen?.headers.raw).toEqual(["x-other", "1"]);
  });

  it("are never the client's either where servers may take their names for others", async () => {
    const handler = await build(copying, { optional: true });
    const headers = ["X_User_Id", "forged", "x-user_id", "forged", "X.user-id", "forged", "x_other", "1"];
    await send(handler, { headers });
    expect(seen?.headers.raw).toEqual(["x_other", "1"]);
    await send(handler, { headers: [...headers, "cookie", "a=1"] });
    expect(seen?.headers.raw).toEqual(["x_other", "1", "cookie", "a=1"]);
  });

  it("are there with remembered answers too", async () => {
    answer = (response) => known(response.setHeader("x-user-id", "1") as ServerResponse);
    const handler = await build({ ...copying, cacheFor: "1m" });
    for (let i = 0; i < 2; i++) {
      await send(handler, { headers: { cookie: "a=1", ...forged } });
      expect(seen?.headers.raw).toEqual(["cookie", "a=1", "x-other", "1", "x-user-id", "1"]);
    }
    expect(asked).toHaveLength(1);
  });
});

describe("answers", () => {
  it("are not remembered unless that is said", async () => {
    const handler = await build();
    for (let i = 0; i < 2; i++) await send(handler);
    expect(asked).toHaveLength(2);
  });

  it("are remembered for the same request only, for their time, over reloads", async () => {
    const options = { cacheFor: "10s" };
    const handler = await build(options);
    const requests: RequestInit[] = [
      KEY,
      { ...KEY, method: "POST" },
      { ...KEY, target: "/?a" },
      { headers: { authorization: "Bearer other" } },
      { headers: { "x-api-key": "Bearer planted" } },
    ];
    for (const request of [...requests, ...requests]) await send(handler, request);
    expect(asked).toHaveLength(requests.length);
    host.clock.advance(9999);
    expect((await build(options))(exchange(KEY))).not.toBeInstanceOf(Promise);
    host.clock.advance(1);
    answer = status(401);
    expect(await send(handler)).toBe("401 UNAUTHENTICATED");
    expect(await ask({ ...options, method: "POST" })).toBe("401 UNAUTHENTICATED");
    expect(asked).toHaveLength(requests.length + 2);
  });

  it.each([
    [401, "401 UNAUTHENTICATED"],
    [403, "403 FORBIDDEN"],
  ])("of status %i are remembered for a shorter time", async (code, is) => {
    answer = status(code);
    const handler = await build({ cacheFor: "1m" });
    for (let i = 0; i < 2; i++) expect(await send(handler)).toBe(is);
    answer = known;
    host.clock.advance(4999);
    expect(await send(handler)).toBe(is);
    expect(asked).toHaveLength(1);
    host.clock.advance(1);
    expect(await send(handler)).toBe("200 alice");
    answer = status(code);
    host.clock.advance(59_999);
    expect(await send(handler)).toBe("200 alice");
    host.clock.advance(1);
    expect(await send(handler)).toBe(is);
  });

  it("that did not come are not remembered", async () => {
    const handler = await build({ cacheFor: "1m" });
    answer = status(500);
    expect(await send(handler)).toBe("503 AUTH_UNAVAILABLE");
    answer = known;
    expect(await send(handler)).toBe("200 alice");
  });

  it("are shared by those who ask the same at the same time", async () => {
    const handler = await build();
    const replies = await Promise.all(Array.from({ length: 20 }, () => send(handler)));
    expect(new Set(replies)).toEqual(new Set(["200 alice"]));
    expect(asked).toHaveLength(1);
  });

  it("are waited for by so many, and the others are told that nobody can tell", async () => {
    const handler = await build();
    const one = (_: unknown, i: number): Promise<string> => send(handler, { ...KEY, target: `/${i}` });
    const replies = await Promise.all(Array.from({ length: 501 }, one));
    expect(replies.pop()).toBe("503 AUTH_UNAVAILABLE");
    expect(new Set(replies)).toEqual(new Set(["200 alice"]));
  });

  it("are counted", async () => {
    answer = status(403);
    await ask();
    const labels = JSON.stringify({ route: "test", stage: "stage", method: "forward", outcome: "forbidden" });
    expect(host.collected("sluice_auth_requests_total")).toEqual({ [labels]: 1 });
    expect([...host.counts]).toEqual([
      [`sluice_auth_forward_questions_total{"host":"127.0.0.1:${server.port}","outcome":"ok"}`, 1],
    ]);
  });
});

const inside = (): Exchange | undefined => seen;

it("lets in whom an answer from 200 to 299 names, and nobody else", async () => {
  const handler = await build();
  const names = fc.option(fc.string({ unit: fc.constantFrom("a", "B", "9", " ", ",", "%", "\t", "\x80") }));
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 200, max: 599 }), names, async (code, name) => {
      answer = (response) => {
        if (name !== null) response.setHeader("x-consumer-name", name);
        response.writeHead(code).end();
      };
      seen = undefined;
      const reply = await send(handler);
      const consumer = inside()?.consumer;
      if (consumer === undefined)
        expect(reply).toMatch(/^(401 UNAUTHENTICATED|403 FORBIDDEN|503 AUTH_UNAVAILABLE)$/);
      else expect([code < 300, consumer.name]).toEqual([true, expect.stringMatching(/./)]);
      const isNamed = /^[aB9,% ]*$/.test(name ?? "") && (name ?? "").trim() !== "";
      if (code < 300 && isNamed) expect(reply).toBe(`200 ${name!.trim()}`);
    }),
    { numRuns: 300 },
  );
});

it.each([
  ["no URL", { url: "auth" }, "/url"],
  ["another scheme", { url: "file:///etc/passwd" }, "/url"],
  ["http:", { url: "http://auth.example.com" }, "/url"],
  ["a password", { url: "https://user:planted@auth.example.com" }, "/url"],
  ["what is no header", { headers: ["a b"] }, "/headers/0"],
  ["a header of the connection", { headers: ["cookie", "Proxy-Authorization"] }, "/headers/1"],
  ["Host", { copyHeaders: ["Host"] }, "/copyHeaders/0"],
  ["the length", { copyHeaders: ["content-length"] }, "/copyHeaders/0"],
  ["a challenge of two lines", { challenge: "a\nb" }, "/challenge"],
])("refuses %s", async (_, options, at) => {
  const error = await build(options).catch((thrown: unknown) => thrown);
  expect((error as ConfigError).problems).toMatchObject([{ pointer: `/methods/0/forward${at}` }]);
  expect(String(error)).not.toContain("planted");
});

it("takes http: elsewhere when that is said", async () => {
  await build({ url: "http://auth.example.com", allowHttp: true });
});
