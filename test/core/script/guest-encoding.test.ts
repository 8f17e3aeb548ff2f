import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openFunction, type SandboxFunction } from "../../support/scripts.ts";

/** Texts with everything that UTF-16 can hold, halves of pairs too. */
const anyText = fc
  .array(
    fc.oneof(
      fc.integer({ min: 0, max: 0x7f }),
      fc.integer({ min: 0x80, max: 0xffff }),
      fc.integer({ min: 0xd800, max: 0xdfff }),
    ),
    { maxLength: 40 },
  )
  .map((units) => String.fromCharCode(...units));
/** Bytes that are almost UTF-8, often. */
const anyBytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.tuple(anyText, fc.nat(), fc.nat(255)).map(([text, at, byte]) => {
    const bytes = Buffer.from(`${text}.`);
    bytes[at % bytes.length] = byte;
    return bytes;
  }),
);

const thrown = (run: () => unknown): unknown => {
  try {
    return run();
  } catch {
    return "thrown";
  }
};

/** Calls what throws or not in the sandbox. */
const SAFE = "const safe = (run) => { try { return run(); } catch (error) { return 'thrown'; } };";

let sandbox: SandboxFunction;
beforeAll(async () => {
  sandbox = await openFunction(`(ctx, req, op, value) => {
    ${SAFE}
    const bytes = Array.isArray(value) ? new Uint8Array(value) : undefined;
    switch (op) {
      case "encode": return [...new TextEncoder().encode(value)];
      case "decode": return new TextDecoder().decode(bytes);
      case "decode-fatal": return safe(() => new TextDecoder("utf8", { fatal: true, ignoreBOM: true }).decode(bytes));
      case "btoa": return safe(() => btoa(value));
      case "atob": return safe(() => atob(value));
    }
  }`);
});
afterAll(() => sandbox[Symbol.asyncDispose]());

describe("texts and bytes in the sandbox", () => {
  it("are encoded as Node does", () =>
    fc.assert(
      fc.asyncProperty(anyText, async (text) => {
        expect(await sandbox("encode", text)).toEqual([...new TextEncoder().encode(text)]);
      }),
    ));

  it("are decoded as Node does, with marks of the byte order and without", () =>
    fc.assert(
      fc.asyncProperty(anyBytes, fc.boolean(), async (some, isMarked) => {
        const bytes = isMarked ? Buffer.concat([Buffer.from("\ufeff"), some]) : some;
        expect(await sandbox("decode", [...bytes])).toBe(new TextDecoder().decode(bytes));
        const strict = new TextDecoder("utf8", { fatal: true, ignoreBOM: true });
        expect(await sandbox("decode-fatal", [...bytes])).toBe(thrown(() => strict.decode(bytes)));
      }),
    ));

  it.each([
    ["c080"],
    ["c1bf41"],
    ["e08080"],
    ["e09fbf"],
    ["e282"],
    ["e2828241"],
    ["eda080"],
    ["edbfbf"],
    ["f0808080"],
    ["f08fbfbf"],
    ["f09f8e"],
    ["f4908080"],
    ["f5808080"],
    ["80"],
    ["ff"],
    ["efbfbd"],
  ])("are decoded as Node does from %s, which is almost UTF-8", async (hex) => {
    const bytes = Buffer.from(hex, "hex");
    expect(await sandbox("decode", [...bytes])).toBe(new TextDecoder().decode(bytes));
  });

  it("are decoded whole when they are long", async () => {
    const text = "aä€🎈".repeat(20_000);
    expect(await sandbox("decode", [...Buffer.from(text)])).toBe(text);
    expect(await sandbox("encode", text)).toEqual([...Buffer.from(text)]);
  });

  it("go to base64 and back as in Node", () =>
    fc.assert(
      fc.asyncProperty(
        fc.oneof(anyText, fc.stringMatching(/^[A-Za-z0-9+/]{0,9}[ \n]{0,2}={0,3}$/), fc.base64String()),
        async (text) => {
          expect(await sandbox("btoa", text)).toBe(thrown(() => btoa(text)));
          expect(await sandbox("atob", text)).toBe(thrown(() => atob(text)));
        },
      ),
      { numRuns: 300 },
    ));

  it("are not decoded in parts, and from nothing but bytes", async () => {
    await using refused = await openFunction(`(ctx, req, which) => [
      () => new TextDecoder().decode(new Uint8Array(1), { stream: true }),
      () => new TextDecoder().decode("abc"),
      () => new TextDecoder("latin1"),
    ][which]()`);
    await expect(refused(0)).rejects.toThrow("TextDecoder cannot decode a text in parts");
    await expect(refused(1)).rejects.toThrow("decode takes an ArrayBuffer or a view of one");
    await expect(refused(2)).rejects.toThrow("TextDecoder knows utf-8 only, not latin1");
  });

  it("are decoded from buffers and views of any kind", async () => {
    await using decode = await openFunction(`() => {
      const { buffer } = new TextEncoder().encode("-abc-");
      const of = (view) => new TextDecoder().decode(view);
      return [of(buffer), of(new DataView(buffer, 1, 3)), of(new Uint16Array(buffer.slice(1, 3))), of()];
    }`);
    expect(await decode()).toEqual(["-abc-", "abc", "ab", ""]);
  });
});
