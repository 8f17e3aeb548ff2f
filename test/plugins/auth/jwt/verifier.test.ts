import { beforeEach, expect, it } from "vitest";
import type { KeySource } from "../../../../core/jwt/key-source.ts";
import { createIssuer } from "../../../../plugins/auth/jwt/issuer.ts";
import { type KeySet, loadJose, type TokenKeys } from "../../../../core/jwt/keys.ts";
import { Verifier } from "../../../../plugins/auth/jwt/verifier.ts";
import { FakeHost } from "../../../support/harness.ts";
import { jwkOf, keyPair, makeToken } from "../../../support/tokens.ts";

const host = new FakeHost();
const CLAIMS = { iss: "a", sub: "alice", exp: host.clock.now() / 1000 + 60 };

const tokenOf = (kid: string): string =>
  makeToken({ alg: "ES256", kid }, CLAIMS, keyPair("ES256", kid).privateKey);

/** Keys of an issuer that a test decides on. */
class FakeKeys implements KeySource {
  now: KeySet | undefined;
  /** What comes when somebody asks for newer ones. */
  next: KeySet | undefined;
  isFailing = false;
  isCrowded = false;
  renewals = 0;

  current(): KeySet | undefined {
    return this.now;
  }

  async renew(): Promise<boolean> {
    this.renewals++;
    this.now = this.next ?? this.now;
    return !this.isCrowded;
  }
}

let tokenKeys: TokenKeys;
let keys: FakeKeys;
let verifier: Verifier;

const setOf = (...kids: string[]): KeySet => {
  const all = kids.map((kid) => jwkOf(keyPair("ES256", kid).publicKey, { kid }));
  return tokenKeys.parseSet(JSON.stringify({ keys: all }));
};

beforeEach(async () => {
  tokenKeys = await loadJose();
  keys = new FakeKeys();
  const options = {
    issuer: "a",
    anyAudience: true,
    algorithms: ["ES256"],
    jwks: { keys: [jwkOf(keyPair("ES256", "1").publicKey)] },
    requiredClaims: [],
    clockSkew: "0ms",
    refresh: "1m",
    staleFor: "1m",
    consumerClaim: "sub",
    rolesClaim: "roles",
  };
  const issuer = await createIssuer(options as never, "", tokenKeys, host);
  verifier = new Verifier([{ ...issuer, keys }], tokenKeys, host.clock);
});

async function verdict(token: string): Promise<string> {
  const found = await verifier.verify(token);
  return typeof found === "string" ? found : found.consumer.name;
}

it("looks at a token again when the keys have changed, whether it was right or wrong", async () => {
  keys.now = setOf("1", "2");
  const [first, second] = [
    tokenOf("1"),
    makeToken({ alg: "ES256", kid: "2" }, CLAIMS, keyPair("ES256", "3").privateKey),
  ];
  expect([await verdict(first), await verdict(second)]).toEqual(["alice", "invalid"]);
  const replaced = jwkOf(keyPair("ES256", "3").publicKey, { kid: "2" });
  keys.now = tokenKeys.parseSet(JSON.stringify({ keys: [replaced] }));
  expect([await verdict(first), await verdict(second)]).toEqual(["invalid", "alice"]);
});

it("asks for newer keys when there is none of that name, and only then", async () => {
  keys.now = setOf("1");
  expect(await verdict(tokenOf("1"))).toBe("alice");
  expect(await verdict(makeToken({ alg: "ES256", kid: "1" }, CLAIMS, keyPair("ES256", "2").privateKey))).toBe(
    "invalid",
  );
  expect(keys.renewals).toBe(0);
  keys.next = setOf("2");
  expect(await verdict(tokenOf("2"))).toBe("alice");
  expect(await verdict(tokenOf("3"))).toBe("invalid");
  expect(keys.renewals).toBe(2);
});

it("cannot tell while there are no keys, or no newer ones can be had", async () => {
  expect(await verdict(tokenOf("1"))).toBe("unavailable");
  keys.now = setOf("1");
  keys.isFailing = true;
  expect(await verdict(tokenOf("1"))).toBe("alice");
  expect(await verdict(tokenOf("2"))).toBe("unavailable");
  expect(await verdict(`${tokenOf("1").slice(0, -4)}AAAA`)).toBe("invalid");
  keys.now = undefined;
  expect(await verdict(tokenOf("1"))).toBe("unavailable");
});

it("cannot tell while too many wait for newer keys", async () => {
  keys.now = setOf("1");
  keys.isCrowded = true;
  expect(await verdict(tokenOf("1"))).toBe("alice");
  expect(await verdict(tokenOf("2"))).toBe("unavailable");
});

it("takes the keys that come when there were none", async () => {
  keys.next = setOf("1");
  expect(await verdict(tokenOf("1"))).toBe("alice");
  expect(await verdict(tokenOf("2"))).toBe("invalid");
});
