import { createHash, createHmac } from "node:crypto";
import { describe, expect, it } from "vitest";
import { openFunction } from "../../support/scripts.ts";

const GRANTS = { secrets: { KEY: "s3cret" } };

describe("ctx.crypto", () => {
  it("hashes texts and bytes as Node does", async () => {
    await using hash = await openFunction(`(ctx, req, algorithm, text, encoding) => [
      ctx.crypto.hash(algorithm, text, encoding),
      ctx.crypto.hash(algorithm, new TextEncoder().encode(text), encoding),
    ]`);
    for (const algorithm of ["sha1", "sha256", "sha384", "sha512"]) {
      for (const encoding of ["hex", "base64", "base64url"] as const) {
        const expected = createHash(algorithm).update("grüße 🎈").digest(encoding);
        expect(await hash(algorithm, "grüße 🎈", encoding)).toEqual([expected, expected]);
      }
    }
  });

  it("signs with a text, with bytes, and with a secret, which it never shows", async () => {
    await using sign = await openFunction(
      `(ctx) => {
        const { KEY } = ctx.secrets;
        const sign = (key) => ctx.crypto.hmac("sha256", key, "data");
        return [sign("s3cret"), sign(new TextEncoder().encode("s3cret")), sign(KEY), sign(KEY.withPrefix("a-"))];
      }`,
      { grants: GRANTS },
    );
    const expected = createHmac("sha256", "s3cret").update("data").digest("hex");
    const prefixed = createHmac("sha256", "a-s3cret").update("data").digest("hex");
    expect(await sign()).toEqual([expected, expected, expected, prefixed]);
  });

  it("compares texts, bytes and secrets, of the same length or not", async () => {
    await using equal = await openFunction(
      `(ctx) => {
        const equal = ctx.crypto.timingSafeEqual;
        return [
          equal("a", "a"), equal("", ""), equal("s3cret", ctx.secrets.KEY), equal(new Uint8Array([228]), "ä".normalize()),
          equal("a", "b"), equal("a", "ab"), equal("a\\0", "a"), equal("s3cre", ctx.secrets.KEY), equal("ä", new Uint8Array([195, 164])),
        ];
      }`,
      { grants: GRANTS },
    );
    expect(await equal()).toEqual([true, true, true, false, false, false, false, false, true]);
  });

  it("gives random bytes and UUIDs", async () => {
    await using random = await openFunction(`(ctx) => {
      const { randomBytes, randomUUID } = ctx.crypto;
      return [randomBytes(0).length, randomBytes(65536).length, randomBytes(16).join(), randomBytes(16).join(), randomUUID()];
    }`);
    const [none, most, a, b, uuid] = (await random()) as [number, number, string, string, string];
    expect([none, most]).toEqual([0, 65_536]);
    expect(a).not.toBe(b);
    expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  it("gives and takes base64 in both variants", async () => {
    await using code = await openFunction(`({ crypto: { base64 } }, req, bytes) => {
      const data = new Uint8Array(bytes);
      const texts = [base64.encode(data), base64.encode(data, "base64url")];
      return [...texts, ...texts.map((text) => [...base64.decode(text)])];
    }`);
    for (const bytes of [[], [251], [251, 255], [251, 255, 191], [...Array(256).keys()]]) {
      const buffer = Buffer.from(bytes);
      expect(await code(bytes)).toEqual([
        buffer.toString("base64"),
        buffer.toString("base64url"),
        bytes,
        bytes,
      ]);
    }
  });

  it.each([
    ['hash("md5", "a")', 'There is no algorithm "md5"; there are sha1, sha256, sha384, sha512'],
    ['hash("sha256", "a", "utf8")', 'There is no encoding "utf8"; there are hex, base64, base64url'],
    ['hash("sha256", 7)', "data must be a string or a Uint8Array"],
    ['hmac("constructor", "a", "b")', 'There is no algorithm "constructor"'],
    ['hmac("sha256", null, "b")', "key must be a string or a Uint8Array"],
    ["randomBytes(65537)", "randomBytes takes a length from 0 to 65536"],
    ["randomBytes(-1)", "randomBytes takes a length from 0 to 65536"],
    ["randomBytes(1.5)", "randomBytes takes a length from 0 to 65536"],
    ['base64.encode("a", "base32")', 'There is no variant "base32"'],
    ['base64.decode("a?")', "The text is not valid base64"],
  ])("refuses %s", async (call, message) => {
    await using refused = await openFunction(`(ctx) => ctx.crypto.${call}`);
    await expect(refused()).rejects.toThrow(message);
  });
});

describe("ctx.secrets", () => {
  it("says which grant is missing", async () => {
    await using use = await openFunction("(ctx) => ctx.secrets.OTHER", { grants: GRANTS });
    await expect(use()).rejects.toThrow(
      'The secret "OTHER" is not granted: add grants: { secrets: { OTHER: … } } to the stage',
    );
  });

  it("shows names and no values, however it is looked at", async () => {
    await using look = await openFunction(
      `async (ctx) => {
        const { KEY } = ctx.secrets;
        const own = (value) => Object.getOwnPropertyNames(value).map((name) => String(value[name]));
        const seen = [
          String(KEY), JSON.stringify(ctx.secrets), JSON.stringify(ctx), Object.keys(ctx.secrets).join(), own(KEY).join(),
          own(Object.getPrototypeOf(KEY)).join(), JSON.stringify(await ctx.secrets), String(KEY.withPrefix("Bearer ")),
        ];
        for (const call of [
          () => ctx.crypto.hmac("no", KEY, "a"), () => ctx.crypto.hash("sha256", KEY), () => btoa(KEY),
          () => ctx.fetch("https://example.com", { headers: { a: KEY } }),
        ]) {
          try { seen.push(String(await call())); } catch (error) { seen.push(error.stack); }
        }
        ctx.log.info("the key " + KEY, { KEY, all: ctx.secrets });
        return seen;
      }`,
      { grants: GRANTS },
    );
    const seen = (await look()) as string[];
    expect(seen.slice(0, 2)).toEqual(["[secret KEY]", '{"KEY":"[secret KEY]"}']);
    expect(JSON.stringify([seen, look.host.log.lines])).not.toContain("s3cret");
    expect(look.host.log.lines[0]?.message).toBe("the key [secret KEY]");
  });

  it("cannot be used by a name that was not granted, even where the sandbox is fooled", async () => {
    await using use = await openFunction(
      `(ctx) => {
        const key = ctx.secrets.KEY;
        Array.prototype.toJSON = function () { return this[0] === "sha256" ? ["sha256", "hex", ["toString", ""]] : this; };
        return ctx.crypto.hmac("sha256", key, "x");
      }`,
      { grants: GRANTS },
    );
    await expect(use()).rejects.toThrow('The secret "toString" is not granted to this stage');
  });

  it("takes data as large as a body, and not more", async () => {
    await using ask = await openFunction(
      `({ crypto }) => {
        const most = "a".repeat(16 * 1024 ** 2);
        const refusals = [
          () => crypto.hash("sha1", most + "a"),
          () => crypto.hmac("sha1", "key", most + "a"),
          () => crypto.hmac("sha1", "a".repeat(2e6), "data"),
          () => crypto.timingSafeEqual("a".repeat(2e6), "a"),
        ].map((each) => { try { return each(); } catch (error) { return String(error).slice(0, 24); } });
        return [crypto.hash("sha1", most), ...refusals];
      }`,
      { limits: { cpuMs: 10_000, memoryBytes: 256 * 1024 ** 2 } },
    );
    const expected = createHash("sha1")
      .update("a".repeat(16 * 1024 ** 2))
      .digest("hex");
    expect(await ask()).toEqual([expected, ...Array(4).fill("Error: This is too large")]);
  });
});
