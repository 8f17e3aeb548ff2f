/** What RFC 7515 (appendix A) and RFC 8037 (appendix A) give as examples. */
import { compactVerify, type JWTVerifyGetKey } from "jose";
import { describe, expect, it } from "vitest";
import { type GatewayError, textReply } from "../../../../core/plugin.ts";
import { auth } from "../../../../plugins/auth.ts";
import { loadJose } from "../../../../core/jwt/keys.ts";
import { buildStage, exchange, FakeHost } from "../../../support/harness.ts";

const CLAIMS =
  "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const SECRET = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
const A1 = `eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.${CLAIMS}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk`;
const RSA = {
  kty: "RSA",
  n:
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS" +
    "-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2C" +
    "apHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb" +
    "54h4FRWyuXpoQ",
  e: "AQAB",
};
const A2 =
  `eyJhbGciOiJSUzI1NiJ9.${CLAIMS}.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_l` +
  "F5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe" +
  "7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqV" +
  "t5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
const P256 = {
  kty: "EC",
  crv: "P-256",
  x: "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
  y: "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
};
const A3 = `eyJhbGciOiJFUzI1NiJ9.${CLAIMS}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q`;
const P521 = {
  kty: "EC",
  crv: "P-521",
  x: "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
  y: "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2",
};
const A4 =
  "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34X" +
  "O0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";
const A5 = `eyJhbGciOiJub25lIn0.${CLAIMS}.`;
const ED25519 = { kty: "OKP", crv: "Ed25519", x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" };
const RFC8037 =
  "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4k" +
  "i4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

async function ask(keys: object, token: string): Promise<unknown> {
  const host = new FakeHost();
  host.clock.time = 1_300_819_380_000 - 1;
  const issuers = [{ issuer: "joe", anyAudience: true, consumerClaim: "iss", ...keys }];
  let claims: unknown;
  const upstream = (x: ReturnType<typeof exchange>) => {
    claims = x.consumer?.claims;
    return textReply(200, "in");
  };
  const handler = await buildStage(auth, { methods: [{ jwt: { issuers } }] }, upstream, host);
  try {
    await handler(exchange({ headers: { authorization: `Bearer ${token}` } }));
  } catch (error) {
    return (error as GatewayError).code;
  }
  return claims;
}

describe("the tokens of RFC 7515, appendix A", () => {
  const secret = { algorithms: ["HS256"], secret: SECRET, secretEncoding: "base64" };
  const set = (alg: string, ...keys: object[]): object => ({ algorithms: [alg], jwks: { keys } });

  it.each([
    ["A.1", secret, A1],
    ["A.2", set("RS256", RSA, P256), A2],
    ["A.3", set("ES256", RSA, P256, P521), A3],
  ])("%s is right", async (_, keys, token) => {
    expect(await ask(keys, token)).toEqual({
      iss: "joe",
      exp: 1_300_819_380,
      "http://example.com/is_root": true,
    });
  });

  it.each([
    ["A.5, which is not signed,", secret, A5],
    ["A.5, which is not signed,", set("RS256", RSA), A5],
    ["A.4, which has no claims,", set("ES512", P521), A4],
  ])("%s is refused", async (_, keys, token) => {
    expect(await ask(keys, token)).toBe("UNAUTHENTICATED");
  });
});

it.each([
  ["RFC 7515, A.4", P521, A4, "Payload"],
  ["RFC 8037, A.5", ED25519, RFC8037, "Example of Ed25519 signing"],
])("knows the signature of %s, though it is not over claims", async (_, key, token, payload) => {
  const { find } = (await loadJose()).parseSet(JSON.stringify({ keys: [key] }));
  const verified = await compactVerify(token, find as JWTVerifyGetKey);
  expect(Buffer.from(verified.payload).toString()).toBe(payload);
});
