/** Checks consumers. What is kept of a key is its digest, so that nothing beyond here knows the key. */
import { createHash } from "node:crypto";
import { childPointer } from "../pointer.ts";
import type { ApiKeyRecord, ConsumerRecord } from "../consumers.ts";
import { asList, asRecord, type Checking } from "./checking.ts";

/** Digits of a digest that stand for a credential without an id. */
const ID_DIGITS = 12;

/** What is told apart from others of its kind, by what it is told apart by: where it was first. */
type Places = Map<string, string>;

/** @returns the consumers, as far as they can be read */
export function checkConsumers(checking: Checking, config: Record<string, unknown>): ConsumerRecord[] {
  const names: Places = new Map();
  const keys: Places = new Map();
  return asList(config["consumers"]).map((value, i) => {
    const consumer = asRecord(value);
    const pointer = childPointer("/consumers", i);
    const { name, roles, tier, claims, credentials } = consumer;
    if (typeof name === "string") {
      reportTwice(checking, names, name, "This consumer is there already", `${pointer}/name`);
    }
    const ids: Places = new Map();
    const apiKeys = asList(credentials).flatMap((credential, at) =>
      checkCredential(checking, asRecord(credential), `${pointer}/credentials/${at}`, keys, ids),
    );
    return {
      name: String(name),
      roles: asList(roles).map(String),
      ...(typeof tier === "string" ? { tier } : {}),
      ...(claims === undefined ? {} : { claims: asRecord(claims) }),
      apiKeys,
    };
  });
}

function checkCredential(
  checking: Checking,
  credential: Record<string, unknown>,
  pointer: string,
  keys: Places,
  ids: Places,
): ApiKeyRecord[] {
  const { apiKey, apiKeySha256, expires, roles, tier } = credential;
  const [sha256, at] =
    typeof apiKey === "string" ? [digestOf(apiKey), "apiKey"] : [apiKeySha256, "apiKeySha256"];
  if (typeof sha256 !== "string") return []; // reported by the schema
  const { id = sha256.slice(0, ID_DIGITS) } = credential;
  reportTwice(checking, keys, sha256, "This key is there already", `${pointer}/${at}`);
  reportTwice(checking, ids, String(id), "The consumer has a credential of this id already", `${pointer}/id`);
  const expiresAt = typeof expires === "string" ? Date.parse(expires) : undefined;
  if (Number.isNaN(expiresAt)) checking.report("CONFIG_VALUE", "There is no such time", `${pointer}/expires`);
  return [
    {
      id: String(id),
      sha256,
      ...(expiresAt === undefined ? {} : { expiresAt }),
      ...(roles === undefined ? {} : { roles: asList(roles).map(String) }),
      ...(typeof tier === "string" ? { tier } : {}),
    },
  ];
}

/** SHA-256 of a key, in hexadecimal. */
function digestOf(key: string): string {
  return createHash("sha256").update(key).digest("hex");
}

function reportTwice(
  checking: Checking,
  places: Places,
  what: string,
  message: string,
  pointer: string,
): void {
  const first = places.get(what);
  if (first === undefined) places.set(what, pointer);
  else {
    checking.report(
      "CONFIG_DUPLICATE_NAME",
      `${message}; the first is at ${checking.placeOf(first)}`,
      pointer,
    );
  }
}
