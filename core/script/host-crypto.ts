/** Cryptography for scripts: an isolate has none. What a granted secret stands for is put in here, and never goes back. */
import { createHmac, hash, randomBytes, randomUUID, timingSafeEqual } from "node:crypto";
import type { HookRun } from "./hook-run.ts";
import { bytesOf } from "./host-data.ts";
import { isSecret, secretText } from "./host-secrets.ts";

const HASHES: ReadonlySet<unknown> = new Set(["sha1", "sha256", "sha384", "sha512"]);
const ENCODINGS: ReadonlySet<unknown> = new Set(["hex", "base64", "base64url"]);
const MOST_RANDOM_BYTES = 65_536;
/** Room for the largest body, and for what is not such data: nothing cuts what is done with it here. */
const MOST_DATA_CHARS = 16 * 1024 ** 2 + 1;
const MOST_OTHER_CHARS = 1024 ** 2;

/** @param argument JSON `[algorithm, encoding]`, a line feed, and the data */
export function hashData(_run: HookRun, argument: string): string {
  const [[algorithm, encoding], data] = readData(argument);
  return hash(algorithmOf(algorithm), data, encodingOf(encoding));
}

/** @param argument JSON `[algorithm, encoding, key]`, and so on; a key that is a secret is `[name, prefix]` */
export function signData(run: HookRun, argument: string): string {
  const [[algorithm, encoding, key], data] = readData(argument);
  return createHmac(algorithmOf(algorithm), keyOf(run, key)).update(data).digest(encodingOf(encoding));
}

function readData(argument: string): [how: unknown[], data: Buffer] {
  const end = argument.indexOf("\n");
  if (end > MOST_OTHER_CHARS || argument.length - end - 1 > MOST_DATA_CHARS) throw tooLarge();
  return [JSON.parse(argument.slice(0, end)) as unknown[], bytesOf(argument.slice(end + 1))];
}

function tooLarge(): Error {
  return new RangeError("This is too large: data can have 16 MB, a key or what is compared less than 1 MB");
}

/** @param argument JSON of both, each as a key is given */
export function compareData(run: HookRun, argument: string): string {
  if (argument.length > MOST_OTHER_CHARS) throw tooLarge();
  const [a, b] = (JSON.parse(argument) as unknown[]).map((each) => keyOf(run, each)) as [Buffer, Buffer];
  // Those of different lengths are compared all the same: the time must not tell whether they are.
  const isSame = timingSafeEqual(a, a.length === b.length ? b : Buffer.alloc(a.length));
  return isSame && a.length === b.length ? "1" : "0";
}

export function createUuid(): string {
  return randomUUID();
}

/** @param argument how many bytes */
export function createRandom(_run: HookRun, argument: string): string {
  const length = Number(argument);
  if (!Number.isInteger(length) || length < 0 || length > MOST_RANDOM_BYTES) {
    throw new Error(`randomBytes takes a length from 0 to ${MOST_RANDOM_BYTES}`);
  }
  return randomBytes(length).toString("latin1");
}

function algorithmOf(name: unknown): string {
  if (HASHES.has(name)) return name as string;
  throw new Error(`There is no algorithm ${quote(name)}; there are ${[...HASHES].join(", ")}`);
}

function encodingOf(name: unknown): "hex" | "base64" | "base64url" {
  if (ENCODINGS.has(name)) return name as "hex" | "base64" | "base64url";
  throw new Error(`There is no encoding ${quote(name)}; there are ${[...ENCODINGS].join(", ")}`);
}

function quote(value: unknown): string {
  return JSON.stringify(String(value).slice(0, 50));
}

function keyOf(run: HookRun, key: unknown): Buffer {
  return isSecret(key) ? Buffer.from(secretText(run, key)) : bytesOf(key);
}
