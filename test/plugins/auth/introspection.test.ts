import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Consumers } from "../../../core/consumers.ts";
import {
  type ConfigError,
  type Exchange,
  GatewayError,
  type Handler,
  textReply,
} from "../../../core/plugin.ts";
import { auth } from "../../../plugins/auth.ts";
import { buildStage, exchange, FakeHost, type RequestInit } from "../../support/harness.ts";
import { type FakeOAuthServer, startOAuthServer } from "../../support/oauth-server.ts";

let host: FakeHost;
let seen: Exchange | undefined;
let server: FakeOAuthServer;

beforeEach(async () => {
  host = new FakeHost();
  seen = undefined;
  server = await startOAuthServer();
  server.answer = () => claims();
});
afterEach(async () => {
  for (const kept of host.kept.values()) (kept as { close?(): void }).close?.();
  await server.close();
});

const seconds = (): number => host.clock.now() / 1000;
const claims = (more: object = {}): object => ({ active: true, sub: "alice", ...more });
const bearer = (token: string): RequestInit => ({ headers: { authorization: `Bearer ${token}` } });
const TOKEN = bearer("planted-token");
const SECRET = "planted: s&cret";

const build = (options: object = {}): Promise<Handler> =>
  buildStage(
    auth,
    {
      methods: [
        {
          introspection: {
            endpoint: `${server.url}/introspect`,
            clientId: "gate way",
            clientSecret: SECRET,
            ...options,
          },
        },
      ],
    } as never,
    (x) => {
      seen = x;
      return textReply(200, "in");
    },
    host,
  );

async function send(handler: Handler, request: RequestInit = TOKEN): Promise<string> {
  try {
    const reply = await handler(exchange(request));
    return `${reply.status} ${seen?.consumer?.name ?? "nobody"}`;
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    return `${error.status} ${error.code}`;
  }
}

const ask = async (options: object = {}, request?: RequestInit): Promise<string> =>
  send(await build(options), request);
const NO = "401 UNAUTHENTICATED";
const CANNOT_TELL = "503 AUTH_UNAVAILABLE";

describe("the question", () => {
  it("has the token, and who asks in the header", async () => {
    expect(await ask()).toBe("200 alice");
    expect(server.asked).toMatchObject([
      {
        url: "POST /introspect",
        form: { token: "planted-token", token_type_hint: "access_token" },
        headers: { accept: "application/json", "content-type": "application/x-www-form-urlencoded" },
      },
    ]);
    const [scheme, credentials = ""] = server.asked[0]!.headers.authorization!.split(" ");
    expect(scheme).toBe("Basic");
    expect(Buffer.from(credentials, "base64").toString()).toBe("gate+way:planted%3A+s%26cret");
  });

  it("has who asks in the body if that is said", async () => {
    await ask({ clientAuthentication: "client_secret_post" });
    expect(server.asked[0]?.form).toMatchObject({ client_id: "gate way", client_secret: SECRET });
    expect(server.asked[0]?.headers.authorization).toBeUndefined();
  });

  it.each(["", "a b", "a\u00e9", "a=b", "a,b", "a".repeat(16_385)])(
    "is not asked about %j",
    async (token) => {
      expect(await ask({}, bearer(token))).toBe(NO);
      expect(await ask({}, {})).toBe(NO);
      expect(server.asked).toHaveLength(0);
    },
  );

  it("is about a token wherever it is, which is taken from the request", async () => {
    expect(await ask({ query: "t" }, { target: "/?a=1&t=planted" })).toBe("200 alice");
    expect(seen?.search).toBe("?a=1");
    await ask();
    expect(seen?.headers.raw).toEqual([]);
  });
});

describe("the answer", () => {
  it("says who asks, with all that it says of the token", async () => {
    const more = { roles: ["user"], plan: "gold", scope: "read write", jti: "one", exp: seconds() + 60 };
    server.answer = () => claims(more);
    await ask({ tierClaim: "plan", prefix: "login:" });
    expect(seen?.consumer).toEqual({
      name: "login:alice",
      roles: ["user"],
      tier: "gold",
      credential: "one",
      claims: { sub: "alice", ...more },
    });
  });

  it("can be of a consumer of the configuration only", async () => {
    expect(await ask({ knownConsumers: true })).toBe(NO);
    host.consumers = new Consumers([{ name: "alice", roles: ["admin"], apiKeys: [] } as never]);
    expect(await ask({ knownConsumers: true })).toBe("200 alice");
    expect(seen?.consumer).toMatchObject({ roles: ["admin"], claims: { sub: "alice" } });
  });

  it.each([
    ["that it is not active", () => ({ ...claims(), active: false })],
    ["nobody's name", () => ({ active: true })],
    ["a name that cannot be one", () => claims({ sub: "a\nb" })],
    ["that it has ended", () => claims({ exp: seconds() - 30 })],
    ["an end that is no number", () => claims({ exp: String(seconds() + 60) })],
    ["that it has not begun", () => claims({ nbf: seconds() + 31 })],
    ["another issuer", () => claims({ iss: "https://other.example.com" })],
    ["no audience", () => claims({ aud: undefined })],
    ["another audience", () => claims({ aud: ["users", "undefined"] })],
    ["another type", () => claims({ token_type: "DPoP" })],
    ["a key that it is bound to", () => claims({ cnf: { "x5t#S256": "x" } })],
    ["what is too deep", () => claims({ x: JSON.parse("[".repeat(40) + "]".repeat(40)) as object })],
  ])("that says %s lets nobody in", async (_, answer) => {
    const right = { aud: ["orders", "users"], token_type: "bearer", iss: server.url };
    const options = { audience: "orders", issuer: server.url };
    server.answer = () => ({ ...right, exp: seconds() + 60, nbf: seconds(), ...claims() });
    expect(await ask(options)).toBe("200 alice");
    server.answer = () => ({ ...right, ...answer() });
    expect(await ask(options, bearer("other"))).toBe(NO);
  });

  it("may be a little early or late", async () => {
    server.answer = () => claims({ exp: seconds() - 29, nbf: seconds() + 30 });
    expect(await ask()).toBe("200 alice");
    expect(await ask({ clockSkew: "29s" })).toBe(NO);
  });

  it.each([
    ["nothing", ""],
    ["no JSON", "planted-in-the-answer"],
    ["a list", "[]"],
    ["null", "null"],
    ["nothing of whether it is active", '{"sub":"alice"}'],
    ["a text for that", '{"active":"true","sub":"alice"}'],
    ["too much", `{"active":true,"sub":"alice","x":"${"x".repeat(262_144)}"}`],
  ])("that is %s is none", async (_, body) => {
    server.answer = (_question, response) => void response.end(body);
    expect(await ask()).toBe(CANNOT_TELL);
    const shown = JSON.stringify([host.log.lines, [...host.counts]]);
    expect(shown).toContain("cannot be asked");
    expect(shown).not.toContain("planted");
  });

  it.each([201, 302, 400, 401, 403, 500])("of status %i is none", async (status) => {
    server.answer = (_, response) => void response.writeHead(status).end('{"active":true,"sub":"alice"}');
    expect(await ask()).toBe(CANNOT_TELL);
  });

  it("is not waited for too long", async () => {
    server.answer = () => undefined;
    expect(await ask({ timeout: "50ms" })).toBe(CANNOT_TELL);
    await server.close();
    expect(await ask({ timeout: "1s" })).toBe(CANNOT_TELL);
  });
});

describe("answers", () => {
  it("are remembered for a time, over reloads, by token", async () => {
    for (const token of ["one", "two", "one", "two"]) expect(await ask({}, bearer(token))).toBe("200 alice");
    expect(server.asked).toHaveLength(2);
    host.clock.advance(29_999);
    const handler = await build();
    expect(handler(exchange(bearer("one")))).not.toBeInstanceOf(Promise);
    host.clock.advance(1);
    server.answer = () => ({ active: false });
    expect(await send(handler, bearer("one"))).toBe(NO);
    host.clock.advance(4999);
    expect(() => handler(exchange(bearer("one")))).toThrow(GatewayError);
    host.clock.advance(1);
    server.answer = () => claims();
    expect(await send(handler, bearer("one"))).toBe("200 alice");
  });

  it("do not outlive the token", async () => {
    const exp = seconds() + 10;
    server.answer = () => claims({ exp });
    const handler = await build();
    expect(await send(handler)).toBe("200 alice");
    host.clock.advance(9999);
    expect(handler(exchange(TOKEN))).not.toBeInstanceOf(Promise);
    host.clock.advance(1);
    server.answer = () => ({ active: false });
    expect(await send(handler)).toBe(NO);
  });

  it("are shared by those who ask at the same time", async () => {
    const handler = await build();
    const replies = await Promise.all(Array.from({ length: 20 }, () => send(handler)));
    expect(new Set(replies)).toEqual(new Set(["200 alice"]));
    expect(server.asked).toHaveLength(1);
  });
});

const inside = (): Exchange | undefined => seen;

it("lets nobody in whom the answer does not name, whatever it is", async () => {
  const handler = await build({ cacheFor: "0s" });
  const odd = fc.oneof(fc.jsonValue(), fc.constantFrom<unknown>(true, true, "true", 1, "alice", "bob"));
  const claimed = fc.record(
    { active: odd, sub: odd, exp: odd, nbf: odd, token_type: odd },
    { requiredKeys: ["active", "sub"] },
  );
  const answers = fc.oneof(
    fc.json(),
    fc.string(),
    claimed.map((x) => JSON.stringify(x)),
  );
  const statuses = fc.constantFrom(200, 200, 200, 201, 204, 400, 401, 500);
  await fc.assert(
    fc.asyncProperty(answers, statuses, async (body, status) => {
      server.answer = (_, response) => void response.writeHead(status).end(body);
      seen = undefined;
      const reply = await send(handler);
      const consumer = inside()?.consumer;
      if (consumer === undefined) expect([NO, CANNOT_TELL]).toContain(reply);
      else {
        const { active, sub } = JSON.parse(body) as Record<string, unknown>;
        expect([status, active, sub]).toEqual([200, true, consumer.name]);
      }
    }),
    { numRuns: 300 },
  );
});

describe("an issuer", () => {
  const options = (): object => ({ endpoint: undefined, issuer: server.url });

  it("says where to ask", async () => {
    for (let i = 0; i < 3; i++) expect(await ask(options(), bearer(`t${i}`))).toBe("200 alice");
    expect(server.asked[0]?.url).toBe("POST /introspect");
    expect(server.discoveries).toBe(1);
  });

  it("is not asked where when that is configured", async () => {
    await ask({ issuer: server.url });
    expect(server.discoveries).toBe(0);
  });

  it("that cannot be asked lets nobody in, and is asked again after a while", async () => {
    server.published = "";
    const handler = await build(options());
    for (let i = 0; i < 3; i++) expect(await send(handler)).toBe(CANNOT_TELL);
    expect(server.discoveries).toBe(1);
    server.published = undefined;
    host.clock.advance(5000);
    expect(await send(handler)).toBe("200 alice");
  });
});

it.each([
  ["neither endpoint nor issuer", { endpoint: undefined }, ""],
  ["an endpoint by http:", { endpoint: "http://login.example.com" }, "/endpoint"],
  ["an issuer by http:", { issuer: "http://login.example.com" }, "/issuer"],
  ["an issuer with a query", { issuer: "https://login.example.com?a" }, "/issuer"],
  ["a password", { endpoint: "https://a:planted@login.example.com" }, "/endpoint"],
  ["a header that is none", { header: "a b" }, "/header"],
])("refuses %s", async (_, options, at) => {
  const error = await build(options).catch((thrown: unknown) => thrown);
  expect((error as ConfigError).problems).toMatchObject([
    { code: "CONFIG_VALUE", pointer: `/methods/0/introspection${at}` },
  ]);
  expect(String(error)).not.toContain("planted");
});
