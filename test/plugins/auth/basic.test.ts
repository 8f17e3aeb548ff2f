import { beforeEach, describe, expect, it } from "vitest";
import { Consumers } from "../../../core/consumers.ts";
import { ConfigError, type Exchange, GatewayError, type Handler, textReply } from "../../../core/plugin.ts";
import { createSharedMemory, SharedMemory } from "../../../core/threads/shared-memory.ts";
import { auth } from "../../../plugins/auth.ts";
import { buildStage, exchange, FakeHost, type RequestInit } from "../../support/harness.ts";
import { hashOf } from "../../support/passwords.ts";

let host: FakeHost;
let handler: Handler;
let seen: Exchange | undefined;

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

/** Of "myPassword", from Apache's page on password formats. */
const BCRYPT = "$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC";

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

describe("a file of names and passwords", () => {
  const file = (htpasswd: string): object => ({ methods: [{ basic: { htpasswd } }] });
  const another = hashOf("another");

  it("lets in whoever is in it, beside the consumers that have passwords", async () => {
    const to = await build(file(`# staff\r\nZo\u00eb:${another}\n\nAlice:${passwordHash}\n`));
    expect(await ask(basic("Zoe\u0308:another"), to)).toBe("200 Zo\u00eb");
    expect(seen?.consumer).toEqual({ name: "Zo\u00eb", roles: [], credential: "Zo\u00eb" });
    expect(await ask(RIGHT, to)).toBe("200 Alice");
    expect(await ask(basic("Zo\u00eb:caf\u00e9:au lait"), to)).toBe(REFUSED);
    expect(await ask(basic("# staff:another"), to)).toBe(REFUSED);
    expect(await ask(basic("Zo\u00eb:another"))).toBe(REFUSED);
  });

  it("gives names the roles that consumers of the same name have", async () => {
    const to = await build(file(`Alice:${another}`));
    expect(await ask(basic("Alice:another"), to)).toBe("200 Alice");
    expect(seen?.consumer).toEqual({ name: "Alice", roles: ["user"], credential: "Alice" });
  });

  it("may have hashes by bcrypt, as `htpasswd -B` makes them, beside others", async () => {
    const to = await build(file(`apache:${BCRYPT}\nother:${another}`));
    expect(await ask(basic("apache:myPassword"), to)).toBe("200 apache");
    expect(await ask(basic("other:another"), to)).toBe("200 other");
    for (const wrong of ["apache:mypassword", "apache:another", "other:myPassword", "nobody:myPassword"]) {
      expect(await ask(basic(wrong), to)).toBe(REFUSED);
    }
    expect(() => to(exchange(basic("apache:mypassword")))).toThrow(GatewayError);
    expect(to(exchange(basic("apache:myPassword")))).not.toBeInstanceOf(Promise);
  });

  it("has the same work done for names that it does not have", async () => {
    const checked: unknown[] = [];
    const identify = (...args: unknown[]): string => {
      checked.push(args[3]);
      return "invalid";
    };
    host.kept.set("auth passwords", { identify });
    const to = await build(file(`one:${BCRYPT.replace("$05$", "$11$")}`));
    expect(await ask(basic("nobody:x"), to)).toBe(REFUSED);
    expect(checked).toEqual([{ cost: 11, text: expect.stringMatching(/^\$2b\$11\$/) }]);
  });

  it("lets nobody in by a password that it no longer has", async () => {
    expect(await ask(basic("apache:myPassword"), await build(file(`apache:${BCRYPT}`)))).toBe("200 apache");
    const changed = await build(file(`apache:${BCRYPT.slice(0, -1)}G`));
    expect(await ask(basic("apache:myPassword"), changed)).toBe(REFUSED);
  });

  it("is told of where hashes are too easy to try out, by one of all threads", async () => {
    await build(file(`one:${BCRYPT}\ntwo:${BCRYPT}\nthree:${BCRYPT.replace("$05$", "$10$")}`));
    expect(host.log.lines).toEqual([
      {
        level: "warn",
        fields: expect.objectContaining({ weak: 2 }),
        message: expect.stringContaining("below 10"),
      },
    ]);
    host.shared = new SharedMemory(createSharedMemory(2), 1);
    await build(file(`one:${BCRYPT}`));
    expect(host.log.lines).toHaveLength(1);
  });

  it("is refused with each line that does not count, and without its hash", async () => {
    const lines = [
      "one:$2y$15$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC",
      "two:$apr1$Mk9D5x5p$planted",
      "three:{SHA}planted",
      "four:$6$planted$planted",
      "five:planted",
      ":planted",
      "planted",
      `six:${another}`,
      `six:${another}`,
      `seven:${another.replace("ln=14", "ln=10")}`,
      "control\u0007:planted",
    ];
    const error = (await build(file(lines.join("\n"))).catch((thrown: unknown) => thrown)) as ConfigError;
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).not.toContain("planted");
    expect(error.message.split("\n")).toEqual([
      expect.stringMatching(
        /^Line 1 of the file: the hash of one is bcrypt that cannot be read, or has a cost below 4 or above 14; .*`sluice hash-password`/,
      ),
      expect.stringMatching(/^Line 2 .* of two is MD5/),
      expect.stringMatching(/^Line 3 .* of three is SHA-1/),
      expect.stringMatching(/^Line 4 .* of four is SHA-2 crypt/),
      expect.stringMatching(/^Line 5 .* of five is of a kind that is not known/),
      "Line 6 of the file: it is not `name:hash`",
      "Line 7 of the file: it is not `name:hash`",
      "Line 9 of the file: the name six is there already",
      expect.stringMatching(/^Line 10 .* of seven is scrypt that cannot be read, or takes less/),
      "Line 11 of the file: it is not `name:hash`",
    ]);
    expect(error.problems[0]).toMatchObject({ pointer: "/methods/0/basic/htpasswd", code: "CONFIG_VALUE" });
  });

  it("is refused when a consumer has one of its names for another password", async () => {
    await expect(build(file(`alice:${another}`))).rejects.toThrow("A consumer has the name alice already");
  });
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
});
