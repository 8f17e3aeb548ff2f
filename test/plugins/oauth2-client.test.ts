import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ConfigError, type Exchange, GatewayError, type Handler, Reply } from "../../core/plugin.ts";
import { oauth2Client } from "../../plugins/oauth2-client.ts";
import { retry } from "../../plugins/retry.ts";
import { buildStage, exchange, FakeHost, type RequestInit } from "../support/harness.ts";
import { type FakeOAuthServer, startOAuthServer } from "../support/oauth-server.ts";

let host: FakeHost;
let server: FakeOAuthServer;
/** Values of `authorization` that the upstream saw. */
let seen: string[][];
/** Tokens that the upstream refuses. */
let refused: string[];

beforeEach(async () => {
  host = new FakeHost();
  seen = [];
  refused = [];
  server = await startOAuthServer();
  server.answer = () => granted();
});
afterEach(async () => {
  for (const kept of host.kept.values()) (kept as { close?(): void }).close?.();
  await server.close();
});

/** A token that is another each time. */
const granted = (more: object = {}): object => ({
  access_token: `planted-${server.asked.length}`,
  token_type: "Bearer",
  expires_in: 1000,
  ...more,
});

const build = (options: object = {}): Promise<Handler> =>
  buildStage(
    oauth2Client,
    { tokenUrl: `${server.url}/token`, clientId: "gateway", clientSecret: "planted-secret", ...options },
    (x: Exchange) => {
      const values = x.headers.getAll("authorization");
      seen.push(values);
      return new Reply(refused.includes(values[0] ?? "") ? 401 : 200);
    },
    host,
  );

/** The token that the upstream saw, or how it ended. */
async function send(handler: Handler, request: RequestInit = {}): Promise<string> {
  try {
    const { status } = await handler(exchange(request));
    const [value = "none", ...more] = seen.at(-1)!;
    expect(more).toEqual([]);
    return status === 200 ? value : `${status} ${value}`;
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    return `${error.status} ${error.code}`;
  }
}

const NONE = "503 TOKEN_UNAVAILABLE";

/** Lets what goes on in the background come to its end. */
const settled = async (questions: number): Promise<void> => {
  const asked = (): number => [...host.counts.values()].reduce((sum, count) => sum + count, 0);
  await expect.poll(asked).toBe(questions);
  await new Promise(setImmediate);
};

describe("a request for a token", () => {
  it("says what for, and who asks in the header", async () => {
    const handler = await build({ scope: ["read", "write"], audience: "https://api.example.com" });
    await send(handler);
    expect(server.asked).toMatchObject([{ url: "POST /token" }]);
    expect(server.asked[0]?.form).toEqual({
      grant_type: "client_credentials",
      scope: "read write",
      audience: "https://api.example.com",
    });
    const credentials = Buffer.from("gateway:planted-secret").toString("base64");
    expect(server.asked[0]?.headers.authorization).toBe(`Basic ${credentials}`);
  });

  it("says who asks in the body if that is said", async () => {
    await send(await build({ clientAuthentication: "client_secret_post", scope: "read write" }));
    expect(server.asked[0]?.form).toEqual({
      grant_type: "client_credentials",
      scope: "read write",
      client_id: "gateway",
      client_secret: "planted-secret",
    });
    expect(server.asked[0]?.headers.authorization).toBeUndefined();
  });

  it("goes where the issuer says", async () => {
    expect(await send(await build({ tokenUrl: undefined, issuer: server.url }))).toBe("Bearer planted-1");
  });

  it("is made when it is needed, once for all who need it, and not again after a reload", async () => {
    const handler = await build();
    expect(server.asked).toHaveLength(0);
    const all = await Promise.all(Array.from({ length: 20 }, () => send(handler)));
    expect(new Set(all)).toEqual(new Set(["Bearer planted-1"]));
    expect(await send(await build())).toBe("Bearer planted-1");
    expect(server.asked).toHaveLength(1);
    expect(await send(await build({ scope: "read" }))).toBe("Bearer planted-2");
  });
});

describe("the token", () => {
  it("takes the place of what the client has sent", async () => {
    const headers = { Authorization: ["Basic YTpi", "Bearer other"] };
    expect(await send(await build(), { headers })).toBe("Bearer planted-1");
  });

  it.each([
    [0, 750],
    [0.5, 800],
    [0.999, 849.9],
  ])("is renewed in the background at a part of its life that chance (%d) decides", async (random, atS) => {
    host.randoms.push(random);
    const handler = await build();
    await send(handler);
    host.clock.advance(atS * 1000 - 1);
    expect(await send(handler)).toBe("Bearer planted-1");
    expect(server.asked).toHaveLength(1);
    host.clock.advance(1);
    expect(await send(handler)).toBe("Bearer planted-1");
    await settled(2);
    expect(await send(handler)).toBe("Bearer planted-2");
    expect(server.asked).toHaveLength(2);
  });

  it.each([
    [1000, 995_000],
    [10, 9000],
    ["1000", 995_000],
    [undefined, 295_000],
    [1e30, 366 * 86_400_000 - 5000],
  ])("that lives for %s s is not used when it could end on the way", async (life, usedMs) => {
    server.answer = () => granted({ expires_in: life });
    const handler = await build();
    await send(handler);
    server.answer = (_, response) => void response.writeHead(500).end();
    host.clock.advance(usedMs - 1);
    expect(await send(handler)).toBe("Bearer planted-1");
    host.clock.advance(1);
    expect(await send(handler)).toBe(NONE);
  });

  it("goes on to be used until it ends while no other can be had", async () => {
    const handler = await build();
    await send(handler);
    await server.close();
    for (let i = 0; i < 19; i++) {
      host.clock.advance(52_300);
      expect(await send(handler)).toBe("Bearer planted-1");
    }
    host.clock.advance(1300);
    expect(await send(handler)).toBe(NONE);
    expect(host.log.lines).toHaveLength(1);
  });

  it("that the upstream refuses is forgotten, and its reply goes on", async () => {
    const handler = await build();
    await send(handler);
    refused = ["Bearer planted-1"];
    host.clock.advance(5000);
    expect(await send(handler)).toBe("401 Bearer planted-1");
    expect(await send(handler)).toBe("Bearer planted-2");
  });

  it("that the upstream refuses is another one when `retry` asks again", async () => {
    const options = { attempts: 2, on: [401], backoff: { base: "1ms", max: "1ms" } };
    const handler = await buildStage(retry, options, await build(), host);
    await send(handler);
    refused = ["Bearer planted-1"];
    host.clock.advance(5000);
    expect(await send(handler, { headers: { authorization: "Basic YTpi" } })).toBe("Bearer planted-2");
    expect(seen).toEqual([["Bearer planted-1"], ["Bearer planted-1"], ["Bearer planted-2"]]);
  });

  it("that the upstream refuses is not forgotten while it is new, so that not all requests ask for one", async () => {
    const handler = await build();
    refused = ["Bearer planted-1"];
    for (let i = 0; i < 10; i++) expect(await send(handler)).toBe("401 Bearer planted-1");
    host.clock.advance(4999);
    expect(await send(handler)).toBe("401 Bearer planted-1");
    expect(server.asked).toHaveLength(1);
  });

  it("that came later is not forgotten because an older one was refused", async () => {
    const waiting: (() => void)[] = [];
    const handler = await buildStage(
      oauth2Client,
      { tokenUrl: `${server.url}/token`, clientId: "gateway", clientSecret: "planted-secret" },
      async (x) => {
        seen.push(x.headers.getAll("authorization"));
        await new Promise<void>((resolve) => waiting.push(resolve));
        return new Reply(401);
      },
      host,
    );
    const replies = [handler(exchange()), handler(exchange())];
    await expect.poll(() => waiting.length).toBe(2);
    host.clock.advance(5000);
    waiting[0]!();
    await replies[0];
    const third = handler(exchange());
    await expect.poll(() => waiting.length).toBe(3);
    host.clock.advance(5000);
    waiting[1]!();
    await replies[1];
    const fourth = handler(exchange());
    await expect.poll(() => waiting.length).toBe(4);
    expect(seen.flat().map((value) => value.at(-1))).toEqual(["1", "1", "2", "2"]);
    for (const resolve of waiting) resolve();
    await Promise.all([third, fourth]);
  });
});

describe("without a token", () => {
  it("nothing is sent, not even what the client has sent", async () => {
    server.answer = (_, response) => void response.writeHead(500).end();
    const handler = await build();
    const x = exchange({ headers: { authorization: "Basic YTpi" } });
    const error = await Promise.resolve(handler(x)).catch((thrown: unknown) => thrown);
    expect(x.headers.raw).toEqual([]);
    expect(error).toMatchObject({ code: "TOKEN_UNAVAILABLE", headers: ["retry-after", "5"] });
    expect(seen).toEqual([]);
  });

  it("its server is asked again after a while that grows", async () => {
    server.answer = (_, response) => void response.writeHead(500).end();
    const handler = await build();
    const waits: number[] = [];
    for (let i = 0; i < 6; i++) {
      const asked = server.asked.length;
      let waitMs = 0;
      for (; server.asked.length === asked; waitMs += 1000) {
        if (waitMs > 0) host.clock.advance(1000);
        expect(await send(handler)).toBe(NONE);
      }
      waits.push(waitMs - 1000);
    }
    expect(waits).toEqual([0, 1000, 2000, 4000, 8000, 10_000]);
    server.answer = () => granted();
    host.clock.advance(10_000);
    expect(await send(handler)).toBe("Bearer planted-7");
    // It begins anew.
    server.answer = (_, response) => void response.writeHead(500).end();
    host.clock.advance(1_000_000);
    expect(await send(handler)).toBe(NONE);
    server.answer = () => granted();
    host.clock.advance(1000);
    expect(await send(handler)).toBe("Bearer planted-9");
  });
});

describe("an answer", () => {
  it.each([
    ["of another status", 201, granted],
    ["that is a redirect", 302, granted],
    ["that is no JSON", 200, () => "planted-garbage"],
    ["that is a list", 200, () => []],
    ["without a token", 200, () => granted({ access_token: undefined })],
    ["with an empty token", 200, () => granted({ access_token: "" })],
    ["with a token of two lines", 200, () => granted({ access_token: "planted\r\nx-admin: 1" })],
    ["with a token that is not ASCII", 200, () => granted({ access_token: "plantedé" })],
    ["with a token that is too long", 200, () => granted({ access_token: "x".repeat(16_385) })],
    ["without a type", 200, () => granted({ token_type: undefined })],
    ["of another type", 200, () => granted({ token_type: "DPoP" })],
    ["without a life", 200, () => granted({ expires_in: 0 })],
    ["with a life that is over", 200, () => granted({ expires_in: -1 })],
    ["with a life that is no number", 200, () => granted({ expires_in: "soon" })],
    ["that is too large", 200, () => granted({ x: "x".repeat(262_144) })],
  ])("%s gives none", async (_, status, body) => {
    server.answer = (_question, response) => {
      const text = body();
      response.writeHead(status).end(typeof text === "string" ? text : JSON.stringify(text));
      return undefined;
    };
    expect(await send(await build())).toBe(NONE);
    expect(JSON.stringify([host.log.lines, [...host.counts]])).not.toContain("planted");
  });

  it("that is a refusal has its code in the log, and nothing else of it", async () => {
    server.answer = (_, response) => {
      response
        .writeHead(401)
        .end('{"error": "invalid_client", "error_description": "planted-secret is wrong"}');
      return undefined;
    };
    await send(await build());
    expect(host.log.lines[0]?.fields).toMatchObject({ why: "the answer has status 401: invalid_client" });
  });

  it("is not waited for too long", async () => {
    server.answer = () => undefined;
    expect(await send(await build({ timeout: "50ms" }))).toBe(NONE);
  });
});

it.each([
  ["neither tokenUrl nor issuer", { tokenUrl: undefined }, ""],
  ["http:", { tokenUrl: "http://login.example.com/token" }, "/tokenUrl"],
  ["an issuer with a fragment", { issuer: "https://login.example.com/#a" }, "/issuer"],
  ["a password", { tokenUrl: "https://a:planted@login.example.com/token" }, "/tokenUrl"],
])("refuses %s", async (_, options, at) => {
  const error = await build(options).catch((thrown: unknown) => thrown);
  expect((error as ConfigError).problems).toMatchObject([{ code: "CONFIG_VALUE", pointer: at }]);
  expect(String(error)).not.toContain("planted");
});

it.each(["answers", "fails"])("leaves no token to the stages above when what is below %s", async (how) => {
  const below = (x: Exchange): Reply => {
    seen.push(x.headers.getAll("authorization"));
    if (how === "fails") throw new GatewayError("UPSTREAM_RESET");
    return new Reply(200);
  };
  const options = { tokenUrl: `${server.url}/token`, clientId: "gateway", clientSecret: "secret" };
  const handler = await buildStage(oauth2Client, options as never, below, host);
  for (let i = 0; i < 2; i++) {
    const x = exchange({ headers: { authorization: "Basic YTpi" } });
    await Promise.resolve(handler(x)).catch(() => {});
    expect(seen.at(-1)).toEqual([expect.stringMatching(/^Bearer /)]);
    expect(x.headers.raw).toEqual([]);
  }
});
