import { createHash } from "node:crypto";
import { expect, it } from "vitest";
import { Consumers } from "../../core/consumers.ts";

const digest = (key: string): string => createHash("sha256").update(key).digest("hex");

const consumers = new Consumers([
  {
    name: "mobile",
    roles: ["user"],
    tier: "premium",
    claims: { plan: "gold" },
    apiKeys: [
      { id: "old", sha256: digest("first-key-of-mobile"), expiresAt: 1000 },
      { id: "new", sha256: digest("second-key-of-mobile"), roles: ["user", "beta"], tier: "free" },
    ],
  },
  { name: "web", roles: [], apiKeys: [{ id: "only", sha256: digest("the-key-of-web-é") }] },
]);

it("finds whose key it is, with what the consumer is", () => {
  expect(consumers.ofApiKey("first-key-of-mobile", 999)).toEqual({
    name: "mobile",
    roles: ["user"],
    tier: "premium",
    claims: { plan: "gold" },
    credential: "old",
  });
  expect(consumers.ofApiKey("the-key-of-web-é", 0)).toEqual({ name: "web", roles: [], credential: "only" });
});

it("gives roles and tier of the key where it has some", () => {
  expect(consumers.ofApiKey("second-key-of-mobile", 5000)).toMatchObject({
    roles: ["user", "beta"],
    tier: "free",
    claims: { plan: "gold" },
  });
});

it("does not know a key from the moment on that it expires", () => {
  expect(consumers.ofApiKey("first-key-of-mobile", 1000)).toBeUndefined();
});

it.each([
  "",
  "first-key-of-mobil",
  "FIRST-KEY-OF-MOBILE",
  digest("first-key-of-mobile"),
  "the-key-of-web-e\u0301",
])("does not know %j", (key) => expect(consumers.ofApiKey(key, 0)).toBeUndefined());

it("finds whose key of signatures it is, until it expires", () => {
  const key = Buffer.alloc(32, 1).toString("base64");
  const known = new Consumers([
    {
      name: "partner",
      roles: ["reader"],
      apiKeys: [],
      signatureKeys: [
        { id: "k", keyId: "2027", algorithm: "hmac-sha256", key, expiresAt: 1000, tier: "gold" },
      ],
    },
  ]);
  const found = known.ofSignatureKey("2027", 999);
  expect(found?.consumer).toEqual({ name: "partner", roles: ["reader"], tier: "gold", credential: "k" });
  expect(found?.key.export().toString("base64")).toBe(key);
  expect(known.ofSignatureKey("2027", 1000)).toBeUndefined();
  expect(known.ofSignatureKey("constructor", 0)).toBeUndefined();
});

it("finds consumers by their names", () => {
  expect(consumers.get("mobile")).toMatchObject({ name: "mobile", tier: "premium" });
  expect(consumers.get("constructor")).toBeUndefined();
});
