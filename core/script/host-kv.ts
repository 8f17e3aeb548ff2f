/** Values that scripts keep in a store, under keys of their own. */
import { GatewayError } from "../errors.ts";
import type { KeyValueStore } from "../store/store.ts";
import type { HookRun } from "./hook-run.ts";

const MOST_KEY_BYTES = 512;
const MOST_VALUE_BYTES = 64 * 1024;
/** Room for a key and a value as JSON, whatever they are of. */
const MOST_CHARS = 6 * (MOST_KEY_BYTES + MOST_VALUE_BYTES) + 1024;

/** @param argument JSON `[verb, key, …]`; gives JSON `[result]` */
export async function askStore({ stage }: HookRun, argument: string): Promise<string> {
  const { kv } = stage.grants;
  if (kv === undefined) throw new Error("kv is not granted: add grants: { kv: true } to the stage");
  if (argument.length > MOST_CHARS) throw refused(`a value can have ${MOST_VALUE_BYTES} bytes`);
  const [verb, key, ...rest] = JSON.parse(argument) as unknown[];
  if (typeof key !== "string" || key === "") throw refused("a key is a text, and not empty");
  if (Buffer.byteLength(key) > MOST_KEY_BYTES) throw refused(`a key can have ${MOST_KEY_BYTES} bytes`);
  const { store } = stage;
  if (store === undefined) throw refused(`there is no store ${kv.store}`);
  try {
    return JSON.stringify([await perform(store, String(verb), `${kv.namespace}:${key}`, rest)]);
  } catch (error) {
    throw error instanceof GatewayError ? refused(whyOf(error)) : error;
  }
}

async function perform(store: KeyValueStore, verb: string, key: string, rest: unknown[]): Promise<unknown> {
  switch (verb) {
    case "get":
      return store.get(key);
    case "set": {
      const [value, options] = rest;
      if (typeof value !== "string") throw refused("a value is a text");
      if (Buffer.byteLength(value) > MOST_VALUE_BYTES) {
        throw refused(`a value can have ${MOST_VALUE_BYTES} bytes`);
      }
      return store.set(key, value, {
        ...timeToLive(options),
        ifAbsent: fieldOf(options, "ifAbsent") === true,
      });
    }
    case "incr": {
      const [by, options] = rest;
      if (!Number.isSafeInteger(by)) throw refused("incr adds a whole number");
      return store.incr(key, by as number, timeToLive(options));
    }
    case "delete":
      return store.delete(key);
    default:
      throw refused(`there is no ${verb.slice(0, 50)}`);
  }
}

function timeToLive(options: unknown): { ttlMs?: number } {
  const ttlMs = fieldOf(options, "ttlMs");
  if (ttlMs === undefined) return {};
  if (!Number.isSafeInteger(ttlMs) || (ttlMs as number) < 1) {
    throw refused("ttlMs is a whole number of milliseconds, at least 1");
  }
  return { ttlMs: ttlMs as number };
}

function fieldOf(options: unknown, key: string): unknown {
  return typeof options === "object" && options !== null
    ? (options as Record<string, unknown>)[key]
    : undefined;
}

function refused(why: string): Error {
  return new Error(`kv failed: ${why}`);
}

function whyOf({ code, cause }: GatewayError): string {
  if (code === "STORE_UNAVAILABLE") return "the store cannot be reached";
  return cause instanceof Error ? cause.message : "the store refuses it";
}
