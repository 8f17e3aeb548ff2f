import { scryptSync } from "node:crypto";
import { beforeEach, describe, expect, it } from "vitest";
import { Consumers } from "../../../core/consumers.ts";
import { type Exchange, GatewayError, type Handler, textReply } from "../../../core/plugin.ts";
import { auth } from "../../../plugins/auth.ts";
import { buildStage, exchange, FakeHost, type RequestInit } from "../../support/harness.ts";

let host: FakeHost;
let handler: Handler;
let seen: Exchange | undefined;

const unpadded = (bytes: Buffer): string => bytes.toString("base64").replaceAll("=", "");

/** The hash of a password, as cheap as may be. */
function hashOf(password: string): string {
  const salt = Buffer.alloc(16, "salt");
  const hash = scryptSync(password, salt, 32, { N: 2 ** 14, r: 8, p: 1 });
  return `$scrypt$ln=14,r=8,p=1$${unpadded(salt)}$${unpadded(hash)}`;
}

const passwordHash = hashOf("caf\u00e9:au lait");

const userOf = (more: object = {}) =>
  new Consumers([
    {
      name: "Alice",
      roles: ["user"],
      apiKeys: [],
      passwords: [{ id: "alice", username: "alice", passwordHash, ...more }],
    },
  ]);

const build = (options: object = { methods: ["basic"] }): Promise<Handler> =>
  buildStage(
    auth,
    options as never,
    (x) => {
      seen = x;
      return textReply(200, "in");
    },
    host,
  );

beforeEach(async () => {
  host = new FakeHost();
  host.consumers = userOf();
  seen = undefined;
  handler = await build();
});

const encode = (text: string | Buffer): string => Buffer.from(text).toString("base64");
const basic = (text: string | Buffer): RequestInit => ({
  headers: { authorization: `Basic ${encode(text)}` },
});
const RIGHT = basic("alice:caf\u00e9:au lait");

async function ask(request: RequestInit, to = handler): Promise<string> {
  seen = undefined;
  try {
    return `${(await to(exchange(request))).status} ${seen!.consumer?.name ?? "nobody"}`;
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    return [error.status, ...error.headers].join(" ");
  }
}

const REFUSED = '401 www-authenticate Basic realm="sluice", charset="UTF-8"';

describe("a name and a password", () => {
  it("say who asks, and are taken from the request", async () => {
    expect(await ask(RIGHT)).toBe("200 Alice");
    expect(seen?.consumer).toEqual({ name: "Alice", roles: ["user"], credential: "alice" });
    expect(seen?.headers.raw).toEqual([]);
    expect(await ask(RIGHT, await build({ methods: [{ basic: { keep: true } }] }))).toBe("200 Alice");
    expect(seen?.headers.has("authorization")).toBe(true);
  });

  it("may be written otherwise where it means the same", async () => {
    expect(await ask(basic("alice:cafe\u0301:au lait"))).toBe("200 Alice");
    host.consumers = userOf({ username: "Zo\u00eb" });
    expect(await ask(basic("Zoe\u0308:cafe\u0301:au lait"), await build())).toBe("200 Alice");
    const { authorization } = RIGHT.headers as { authorization: string };
    expect(await ask({ headers: { authorization: authorization.replace("Basic ", "bASIC  ") } })).toBe(
      "200 Alice",
    );
  });

  it("are left to other methods in other schemes", async () => {
    const optional = await build({ methods: ["basic"], optional: true });
    const request = { headers: { authorization: "Bearer abc" } };
    expect(await ask(request, optional)).toBe("200 nobody");
    expect(seen?.headers.get("authorization")).toBe("Bearer abc");
  });

  it("hold until they expire, also those that are remembered", async () => {
    host.consumers = userOf({ expiresAt: host.clock.now() + 1 });
    handler = await build();
    expect(await ask(RIGHT)).toBe("200 Alice");
    host.clock.advance(1);
    expect(await ask(RIGHT)).toBe(REFUSED);
  });

  it("hold no more once the password has changed", async () => {
    expect(await ask(RIGHT)).toBe("200 Alice");
    host.consumers = userOf({ passwordHash: hashOf("another") });
    expect(await ask(RIGHT, await build())).toBe(REFUSED);
  });
});

const { authorization: line } = RIGHT.headers as { authorization: string };

it.each([
  ["nothing", {}],
  ["a wrong password", basic("alice:cafe:au lait")],
  ["no password", basic("alice:")],
  ["no colon", basic("alice")],
  ["a name that nobody has", basic("bob:caf\u00e9:au lait")],
  ["the name of the consumer", basic("Alice:caf\u00e9:au lait")],
  ["an object's own name", basic("__proto__:x")],
  ["nothing after the scheme", { headers: { authorization: "Basic" } }],
  ["what is not base64", { headers: { authorization: `${line}!` } }],
  ["something after it", { headers: { authorization: `${line} x` } }],
  ["control characters", basic("alice:caf\u00e9:au lait\0")],
  ["bytes that are no UTF-8", basic(Buffer.from("alice:caf\xe9:au lait", "latin1"))],
  ["the header twice", { headers: ["authorization", line, "authorization", line] }],
])("refuses %s in the same words", async (_, request) => {
  expect(await ask(request as RequestInit)).toBe(REFUSED);
  expect(seen).toBeUndefined();
});

it("does not look at what is too long", () => {
  expect(() => handler(exchange(basic(`alice:${"x".repeat(1000)}`)))).toThrow(GatewayError);
});

it("answers at once what it has looked at before, right or wrong", async () => {
  const wrong = basic("alice:wrong");
  expect(handler(exchange(RIGHT))).toBeInstanceOf(Promise);
  await ask(RIGHT);
  await ask(wrong);
  expect(handler(exchange(RIGHT))).not.toBeInstanceOf(Promise);
  expect(() => handler(exchange(wrong))).toThrow(GatewayError);
});

it("takes as long for names that nobody has", async () => {
  const time = async (name: string): Promise<number> => {
    const start = performance.now();
    await ask(basic(`${name}:${Math.random()}`));
    return performance.now() - start;
  };
  const best = async (name: string): Promise<number> =>
    Math.min(await time(name), await time(name), await time(name), await time(name));
  expect((await best("nobody")) / (await best("alice"))).toBeGreaterThan(0.4);
});

it("has a bounded number wait, and says that it cannot tell for the others", async () => {
  const replies: string[] = [];
  const asked = Array.from({ length: 53 }, async (_, i) => {
    replies.push(await ask(basic(`alice:${i}`)));
  });
  await new Promise((resolve) => setImmediate(resolve));
  expect(replies).toEqual(Array(3).fill("503 retry-after 5"));
  await Promise.all(asked);
  expect(replies.filter((reply) => reply === REFUSED)).toHaveLength(50);
}, 60_000);
