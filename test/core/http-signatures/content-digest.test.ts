import { expect, it } from "vitest";
import { contentDigest, isDigestOf } from "../../../core/http-signatures/content-digest.ts";

/** The content of RFC 9530 appendix B, and of RFC 9421 without its line break. */
const BODY = Buffer.from('{"hello": "world"}\n');
const SHA256 = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
const SHA512 =
  "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:";
const OTHER = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:";

it("is made of the body", () => {
  expect(contentDigest(BODY)).toBe(SHA256);
  expect(contentDigest(Buffer.from('{"hello": "world"}'))).toBe(OTHER);
  expect(contentDigest(Buffer.alloc(0))).toBe("sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:");
});

it.each([SHA256, SHA512, `${SHA256}, ${SHA512}`, `md5=:AAAA:, ${SHA512}`, `unixsum=1, ${SHA256};a=1`])(
  "is the body's: %s",
  (field) => expect(isDigestOf(field, BODY)).toBe(true),
);

it.each([
  OTHER,
  `${OTHER}, ${SHA512}`,
  `${SHA256}, ${SHA512.replace("YMAa", "YMAb")}`,
  "",
  "sha-256",
  "sha-256=RK",
  "sha-256=::",
  'sha-256="RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg="',
  SHA256.replace("sha-256", "sha-1"),
  SHA256.replace("sha-256", "SHA-256"),
  `${SHA256},`,
  SHA256.replace("RK/0qy18", ""),
  SHA256.replace("sha-256", "sha-512"),
])("is not the body's: %j", (field) => expect(isDigestOf(field, BODY)).toBe(false));
