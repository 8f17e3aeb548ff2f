import { expect, it } from "vitest";
import { hashPassword, isPassword, noPassword, parsePasswordHash } from "../../core/password-hash.ts";

it("knows the example of RFC 7914, section 12", async () => {
  const expected = {
    ln: 14,
    r: 8,
    p: 1,
    salt: Buffer.from("SodiumChloride"),
    hash: Buffer.from(
      "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2" +
        "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887",
      "hex",
    ),
  };
  expect(await isPassword("pleaseletmein", expected)).toBe(true);
  expect(await isPassword("pleaseletmeim", expected)).toBe(false);
});

it("makes another hash each time, which the password fits in every writing of its letters", async () => {
  const [first, second] = [await hashPassword("caf\u00e9"), await hashPassword("caf\u00e9")];
  expect(first).toMatch(/^\$scrypt\$ln=15,r=8,p=3\$[\w+/]{22}\$[\w+/]{43}$/);
  expect(first).not.toBe(second);
  expect(await isPassword("cafe\u0301", parsePasswordHash(first)!)).toBe(true);
  expect(await isPassword("cafe", parsePasswordHash(first)!)).toBe(false);
});

const SALT = "c29kaXVtY2hsb3JpZGUuLg";
const HASH = "Bf7o8E8FvMTeH3NzHDhcvvLnYcXl0IeNW8bQdYpbUVM";

it.each([
  [`$scrypt$ln=15,r=8,p=3$${SALT}$${HASH}`, true],
  [`$scrypt$ln=17,r=8,p=1$${SALT}$${HASH}`, true],
  [`$scrypt$ln=13,r=8,p=8$${SALT}$${HASH}`, false],
  [`$scrypt$ln=18,r=8,p=1$${SALT}$${HASH}`, false],
  [`$scrypt$ln=17,r=8,p=5$${SALT}$${HASH}`, false],
  [`$scrypt$ln=15,r=8,p=0$${SALT}$${HASH}`, false],
  [`$scrypt$ln=99,r=99,p=99$${SALT}$${HASH}`, false],
  [`$scrypt$ln=15,r=8,p=3$c2FsdA$${HASH}`, false],
  [`$scrypt$ln=15,r=8,p=3$${SALT}$c2hvcnQ`, false],
  [`$scrypt$ln=15,r=8,p=3$${SALT}$${HASH}\n`, false],
  [`$2b$12$${SALT}$${HASH}`, false],
  ["password", false],
])("takes %j: %s", (text, isTaken) => {
  expect(parsePasswordHash(text) !== undefined).toBe(isTaken);
});

it("has hashes for nobody, which are as much work", () => {
  expect(noPassword()).toMatchObject({ ln: 15, r: 8, p: 3 });
  expect(noPassword({ ln: 14, r: 8, p: 1 })).toMatchObject({ ln: 14, r: 8, p: 1 });
});
