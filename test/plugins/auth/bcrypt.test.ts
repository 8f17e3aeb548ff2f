import { describe, expect, it } from "vitest";
import { isBcryptPassword, noBcrypt, parseBcrypt } from "../../../plugins/auth/bcrypt.ts";

const isPassword = (password: string, text: string): Promise<boolean> =>
  isBcryptPassword(password, parseBcrypt(text)!);

/** The first is of Apache's page on password formats; the others are by crypt(3), whose code for bcrypt htpasswd has too. */
const VECTORS: readonly (readonly [string, string])[] = [
  ["myPassword", "$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC"],
  ["p\u00e4ssword", "$2y$05$abcdefghijklmnopqrstuucZGbUxuMlEqps0qcu2pjhO7vaatQZIC"],
  ["caf\u00e9:au lait", "$2a$04$abcdefghijklmnopqrstuuhmGTN0sTSzhcqs9G48JPRI1bwEZ31X6"],
  ["U*U", "$2b$04$abcdefghijklmnopqrstuuCFaEytnzrfaPZJKbS76hh9vqd9r8v2S"],
  ["", "$2y$04$......................w74bL5gU7LSJClZClCa.Pkz14aTv/XO"],
  ["staple", "$2y$10$abcdefghijklmnopqrstuuv5hWBDN0u1YQvhzg5.t0MU/N/eC9TPm"],
  ["x".repeat(72), "$2y$04$abcdefghijklmnopqrstuubzadhGtS2zEF.gu0yd0opP6cVzb.e0i"],
];

it.each(VECTORS)("knows the password %j", async (password, text) => {
  for (const kind of ["$2a$", "$2b$", "$2y$"]) {
    expect(await isPassword(password, kind + text.slice(4))).toBe(true);
  }
  expect(await isPassword(`y${password}`.slice(0, 72), text)).toBe(false);
});

const [, OF_72_BYTES] = VECTORS.at(-1)!;

describe("a password that others would be as right as", () => {
  it("is wrong where bcrypt does not look at its end", async () => {
    expect(await isPassword("x".repeat(73), OF_72_BYTES)).toBe(false);
    // Of 72 characters and 73 bytes, and the hash of its first 72 bytes.
    const cut = "$2y$04$abcdefghijklmnopqrstuuBQHqZaO/dlDRZ.TvJ67we2MtFVZUvA2";
    expect(await isPassword(`${"x".repeat(71)}\u00e4`, cut)).toBe(false);
    expect(await isPassword("x".repeat(72 + 256), OF_72_BYTES)).toBe(false);
  });

  it("is wrong where it has a NUL, which is where bcrypt begins anew", async () => {
    const [password, text] = VECTORS[3]!;
    expect(await isPassword(`${password}\0${password}`, text)).toBe(false);
    expect(await isPassword(`${password}\0`, text)).toBe(false);
  });
});

it("takes every writing of letters", async () => {
  expect(await isPassword("cafe\u0301:au lait", VECTORS[2]![1])).toBe(true);
});

const REST = "abcdefghijklmnopqrstuucZGbUxuMlEqps0qcu2pjhO7vaatQZIC";

it.each([
  [`$2y$04$${REST}`, true],
  [`$2a$14$${REST}`, true],
  [`$2y$03$${REST}`, false],
  [`$2y$15$${REST}`, false],
  [`$2y$31$${REST}`, false],
  [`$2y$5$${REST}`, false],
  [`$2x$05$${REST}`, false],
  [`$2$05$${REST}`, false],
  [`$2y$05$${REST}\n`, false],
  [`$2y$05$${REST.slice(1)}`, false],
  [`$2y$05$${REST}.`, false],
  [`$2y$05$${REST.replace("Z", "=")}`, false],
  [`$2y$05$${REST.replace("uu", "uv")}`, false],
  [`$2y$05$${REST.slice(0, -1)}D`, false],
])("takes %j: %s", (text, isTaken) => {
  expect(parseBcrypt(text) !== undefined).toBe(isTaken);
});

it("has hashes for nobody, which are as much work", async () => {
  for (const cost of [4, 5, 14]) {
    const hash = noBcrypt({ cost });
    expect(parseBcrypt(hash.text)).toEqual(hash);
    expect(hash.cost).toBe(cost);
    expect(noBcrypt({ cost }).text).not.toBe(hash.text);
  }
  expect(await isBcryptPassword("", noBcrypt({ cost: 4 }))).toBe(false);
});
