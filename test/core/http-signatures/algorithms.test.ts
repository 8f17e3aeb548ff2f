import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { describe, expect, it } from "vitest";
import {
  KEY_PAIR_ALGORITHMS,
  type KeyPairAlgorithm,
  readPrivateKey,
  readPublicKey,
  readSecret,
  signBase,
  verifyBase,
} from "../../../core/http-signatures/algorithms.ts";

const SHA512 = { hashAlgorithm: "sha512", mgf1HashAlgorithm: "sha512" };
const pairs: Record<string, { publicKey: KeyObject; privateKey: KeyObject }> = {
  ed25519: generateKeyPairSync("ed25519"),
  p256: generateKeyPairSync("ec", { namedCurve: "P-256" }),
  p384: generateKeyPairSync("ec", { namedCurve: "P-384" }),
  rsa: generateKeyPairSync("rsa", { modulusLength: 2048 }),
  pss: generateKeyPairSync("rsa-pss", { modulusLength: 2048 }),
  pss256: generateKeyPairSync("rsa-pss", {
    modulusLength: 2048,
    hashAlgorithm: "sha256",
    mgf1HashAlgorithm: "sha256",
  }),
  pss512: generateKeyPairSync("rsa-pss", { modulusLength: 2048, ...SHA512 }),
  pssMgf1: generateKeyPairSync("rsa-pss", { modulusLength: 2048, ...SHA512, mgf1HashAlgorithm: "sha256" }),
  pssSalt: generateKeyPairSync("rsa-pss", {
    modulusLength: 2048,
    ...SHA512,
    ...({ saltLength: 65 } as object),
  }),
  short: generateKeyPairSync("rsa", { modulusLength: 1024 }),
  ed448: generateKeyPairSync("ed448"),
};

const FITTING: Record<KeyPairAlgorithm, string[]> = {
  ed25519: ["ed25519"],
  "ecdsa-p256-sha256": ["p256"],
  "ecdsa-p384-sha384": ["p384"],
  "rsa-pss-sha512": ["rsa", "pss", "pss512"],
  "rsa-v1_5-sha256": ["rsa"],
};

const spki = (key: KeyObject): string => key.export({ type: "spki", format: "pem" }).toString();
const pkcs8 = (key: KeyObject): string => key.export({ type: "pkcs8", format: "pem" }).toString();

describe.each(KEY_PAIR_ALGORITHMS)("%s", (algorithm) => {
  it("takes the keys that go with it, and no others", () => {
    const fits = (read: () => KeyObject): boolean => {
      try {
        return read() !== undefined;
      } catch (error) {
        expect((error as Error).message).toMatch(`${algorithm} needs `);
        return false;
      }
    };
    for (const [name, { publicKey, privateKey }] of Object.entries(pairs)) {
      const isFitting = FITTING[algorithm].includes(name);
      expect([name, fits(() => readPublicKey(algorithm, spki(publicKey)))]).toEqual([name, isFitting]);
      expect([name, fits(() => readPrivateKey(algorithm, pkcs8(privateKey)))]).toEqual([name, isFitting]);
    }
  });

  it("knows what it has signed, and nothing else", () => {
    for (const name of FITTING[algorithm]) {
      const { publicKey, privateKey } = pairs[name]!;
      const signature = signBase(algorithm, privateKey, "base");
      expect(verifyBase(algorithm, publicKey, "base", signature)).toBe(true);
      expect(verifyBase(algorithm, publicKey, "Base", signature)).toBe(false);
      expect(verifyBase(algorithm, publicKey, "base", Buffer.alloc(0))).toBe(false);
      expect(verifyBase(algorithm, publicKey, "base", signature.subarray(1))).toBe(false);
      signature[10]! ^= 1;
      expect(verifyBase(algorithm, publicKey, "base", signature)).toBe(false);
    }
  });
});

it("never takes a private key for a public one", () => {
  const { publicKey, privateKey } = pairs["ed25519"]!;
  expect(() => readPublicKey("ed25519", pkcs8(privateKey))).toThrow("This is a private key");
  expect(() => readPrivateKey("ed25519", spki(publicKey))).toThrow("This is no private key");
});

it.each(["", "text", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"])(
  "refuses %j as a key",
  (pem) => {
    expect(() => readPublicKey("ed25519", pem)).toThrow("This is no public key in PEM");
    expect(() => readPrivateKey("ed25519", pem)).toThrow("This is no private key in PEM");
  },
);

describe("a secret", () => {
  it("is base64 of at least 32 bytes", () => {
    expect(readSecret(Buffer.alloc(32, 1).toString("base64")).symmetricKeySize).toBe(32);
    for (const wrong of [
      "",
      Buffer.alloc(31, 1).toString("base64"),
      "a passphrase that is long enough to be a good secret",
      Buffer.alloc(32, 255).toString("base64url"),
      `${Buffer.alloc(32, 1).toString("base64")}\n`,
    ]) {
      expect(() => readSecret(wrong)).toThrow("base64 of at least 32 bytes");
    }
  });

  it("proves what it has signed", () => {
    const key = readSecret(Buffer.alloc(32, 1).toString("base64"));
    const signature = signBase("hmac-sha256", key, "base");
    expect(verifyBase("hmac-sha256", key, "base", signature)).toBe(true);
    expect(verifyBase("hmac-sha256", key, "other", signature)).toBe(false);
    expect(verifyBase("hmac-sha256", key, "base", signature.subarray(1))).toBe(false);
  });
});
