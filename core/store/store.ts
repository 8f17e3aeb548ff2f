/** Stores: texts under keys that outlive requests, and that all threads see, or all gateways. */
import { createHash } from "node:crypto";
import { GatewayError } from "../errors.ts";

export interface SetOptions {
  /** Whole milliseconds that the value is kept, at least 1; until it is replaced or makes room by default. */
  readonly ttlMs?: number;
  /** Sets it only where there is none. */
  readonly ifAbsent?: boolean;
  /** Sets it only where this is the value; in one step, so one of many who read the same can replace it. */
  readonly ifValue?: string;
}

export interface IncrOptions {
  /** Whole milliseconds that a number is kept which this makes; one that is there keeps its time. */
  readonly ttlMs?: number;
}

/** A program in Lua that runs in the store. */
export interface StoreScript {
  readonly lua: string;
  /** What the store knows it by once it has seen it. */
  readonly sha: string;
}

export function createStoreScript(lua: string): StoreScript {
  return { lua, sha: createHash("sha1").update(lua).digest("hex") };
}

/**
 * Values under keys. A call fails with STORE_UNAVAILABLE when the store could not be asked, or has not answered in its
 * time: it may have done it all the same. It fails with STORE_VALUE_INVALID when it asks for what no store can do.
 */
export interface KeyValueStore {
  get(key: string): Promise<string | undefined>;
  /** @returns false when `ifAbsent` is set and there was a value, or `ifValue` and there was another one, or none */
  set(key: string, value: string, options?: SetOptions): Promise<boolean>;
  /**
   * Adds to a whole number, 0 where there is none, in one step.
   * @param by a whole number
   * @returns the sum
   */
  incr(key: string, by: number, options?: IncrOptions): Promise<number>;
  /** @returns whether there was a value */
  delete(key: string): Promise<boolean>;
  /** Whether {@link run} can be used: stores in memory run nothing. */
  readonly runsScripts: boolean;
  /**
   * Runs a script: nothing else happens in the store meanwhile.
   * @param keys those that it uses; in a cluster all of one slot, by the same text in braces
   * @param timeoutMs less than what the store is given for a call, if that is too long
   * @returns what it returns, as Redis has it: whole numbers, texts, lists, null
   */
  run(
    script: StoreScript,
    keys: readonly string[],
    args: readonly ScriptArgument[],
    timeoutMs?: number,
  ): Promise<unknown>;
  /** As {@link run}, with bytes in the place of texts that it returns. */
  runForBytes(
    script: StoreScript,
    keys: readonly string[],
    args: readonly ScriptArgument[],
  ): Promise<unknown>;
  /** Gives a value as bytes; those of stores that run scripts. */
  getBytes(key: string): Promise<Buffer | undefined>;
  /**
   * Tells of what scripts publish on a channel, `redis.call('PUBLISH', ARGV[n], …)`, for as long as the store is open,
   * by a connection of its own. A channel has the prefix of the store as keys do: pass it as one.
   * @returns ends it
   */
  subscribe(channel: string, subscriber: Subscriber): Promise<() => void>;
}

/** What a script is given: bytes as they are, the others as text. */
export type ScriptArgument = string | number | Buffer;

/** Who hears of what is published. */
export interface Subscriber {
  told(message: string): void;
  /** From now on nothing is missed, as far as is known; until now something may have been. */
  connected(): void;
}

/** Longest key and value, in bytes of UTF-8. */
export const MOST_KEY_BYTES = 1024;
export const MOST_VALUE_BYTES = 1024 ** 2;
/** Longest argument of a script, in bytes. */
export const MOST_ARGUMENT_BYTES = 64 * 1024 ** 2;

export function unavailable(cause: unknown): GatewayError {
  return new GatewayError("STORE_UNAVAILABLE", { headers: ["retry-after", "1"], cause });
}

/** What stores do that have no scripts. */
export const runNothing = (): Promise<never> => Promise.reject(invalid("stores in memory run no scripts"));

export function invalid(reason: string): GatewayError {
  return new GatewayError("STORE_VALUE_INVALID", { cause: new Error(reason) });
}

/** The number that a value stands for. @throws GatewayError when it is none */
export function parseNumber(value: string): number {
  const number = Number(value);
  if (!/^(0|-?[1-9]\d*)$/.test(value) || !Number.isSafeInteger(number))
    throw invalid("the value is not a whole number");
  return number;
}

/**
 * Waits for an answer, for so many milliseconds.
 * @throws GatewayError STORE_UNAVAILABLE when it does not come
 */
export async function within<T>(ms: number, answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const end = (): void => reject(unavailable(new Error(`no answer in ${ms} ms`)));
    // In two halves: a thread that was busy may have sent the question only now. An answer that came meanwhile is
    // still to be read.
    timer = setTimeout(() => {
      timer = setTimeout(() => setImmediate(end), ms / 2);
    }, ms / 2);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
