import { describe, expect, it } from "vitest";
import { HeaderList } from "../../../core/headers.ts";
import { signBase, verifyBase } from "../../../core/http-signatures/algorithms.ts";
import type { SignedRequest } from "../../../core/http-signatures/components.ts";
import { signatureBase } from "../../../core/http-signatures/signature-base.ts";
import { addSignature, readSignatures } from "../../../core/http-signatures/signature-fields.ts";
import { ED25519_PRIVATE_KEY, KEYS, VECTORS, type Vector } from "../../support/rfc9421.ts";

function requestOf({ host, method, target, headers, label, input, signature }: Vector): SignedRequest {
  const [path = "", query] = target.split("?");
  const signed = ["Signature-Input", `${label}=${input}`, "Signature", `${label}=:${signature}:`];
  return {
    method,
    scheme: "https",
    authority: host,
    path,
    search: query === undefined ? "" : `?${query}`,
    headers: new HeaderList(["Host", host, ...headers, ...signed]),
  };
}

function isValid(vector: Vector, change: Partial<SignedRequest> = {}): boolean {
  const request = { ...requestOf(vector), ...change };
  const [signature] = readSignatures(request.headers)!;
  const base = signatureBase(signature!.input, request);
  return base !== undefined && verifyBase(vector.algorithm, KEYS[vector.key], base, signature!.bytes);
}

const vector = (label: string): Vector => VECTORS.find((each) => each.label === label)!;

describe.each(VECTORS)("RFC 9421 $section", (each) => {
  it("has the signature base that the RFC shows", () => {
    const request = requestOf(each);
    const [signature] = readSignatures(request.headers)!;
    expect(signature!.label).toBe(each.label);
    expect(signatureBase(signature!.input, request)).toBe(`${each.base}"@signature-params": ${each.input}`);
  });

  it("is valid, and not with another request", () => {
    expect(isValid(each)).toBe(true);
    if (each.base === "") return;
    const headers = new HeaderList(requestOf(each).headers.raw.slice());
    for (const name of ["content-type", "accept", "client-cert", "content-digest"]) headers.delete(name);
    expect(isValid(each, { headers })).toBe(false);
    expect(isValid(each, { authority: "example.net" })).toBe(false);
  });

  it("is written as it was read", () => {
    const { headers } = requestOf(each);
    const before = headers.raw.slice();
    addSignature(headers, readSignatures(headers)![0]!);
    expect(headers.raw).toEqual(before);
  });
});

it.each(["sig-b25", "sig-b26", "transform"])("makes the very signature of %s", (label) => {
  const each = vector(label);
  const key = each.algorithm === "ed25519" ? ED25519_PRIVATE_KEY : KEYS[each.key];
  const base = `${each.base}"@signature-params": ${each.input}`;
  expect(signBase(each.algorithm, key, base).toString("base64")).toBe(each.signature);
});

it("knows the signature of the response in B.2.4", () => {
  const base = `"@status": 200
"content-type": application/json
"content-digest": sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:
"content-length": 23
"@signature-params": ("@status" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-ecc-p256"`;
  const signature =
    "wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==";
  const verify = (text: string): boolean =>
    verifyBase("ecdsa-p256-sha256", KEYS["test-key-ecc-p256"], text, Buffer.from(signature, "base64"));
  expect(verify(base)).toBe(true);
  expect(verify(base.replace("200", "201"))).toBe(false);
});

describe("the transformations of B.4", () => {
  const transform = vector("transform");
  const { raw } = requestOf(transform).headers;
  const withHeaders = (...lines: string[]): Partial<SignedRequest> => ({
    headers: new HeaderList([...lines, ...raw.slice(raw.indexOf("Signature-Input"))]),
  });

  it.each([
    [
      "a new header and query parameter",
      {
        search: "?name1=Value1&Name2=value2&param=added",
        ...withHeaders(...raw.slice(0, 8), "Accept-Language", "en-US"),
      },
    ],
    [
      "lines of a header joined into one",
      withHeaders("Referer", "https://developer.example.org/demo", "Accept", "application/json, */*"),
    ],
    [
      "headers in another order",
      withHeaders("Accept", "application/json", "Accept", "*/*", "Host", "example.org"),
    ],
  ])("survives %s", (_, change) => expect(isValid(transform, change)).toBe(true));

  it.each([
    ["another method and authority", { method: "POST", authority: "example.com" }],
    ["lines of a header in another order", withHeaders("Accept", "*/*", "Accept", "application/json")],
  ])("does not survive %s", (_, change) => expect(isValid(transform, change)).toBe(false));
});
