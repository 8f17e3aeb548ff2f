/** A store as stages have it: what they ask is checked and counted, and the store is opened for the first who asks. */
import { toGatewayError } from "../errors.ts";
import type { StoreResult, StoreStats } from "../observe/store-stats.ts";
import type { Clock } from "../plugin.ts";
import {
  type IncrOptions,
  invalid,
  type KeyValueStore,
  MOST_ARGUMENT_BYTES,
  MOST_KEY_BYTES,
  MOST_VALUE_BYTES,
  type ScriptArgument,
  type SetOptions,
  type StoreScript,
  type Subscriber,
} from "./store.ts";

export class StoreClient implements KeyValueStore {
  readonly runsScripts: boolean;
  readonly #create: () => Promise<KeyValueStore>;
  readonly #stats: StoreStats;
  readonly #clock: Clock;
  #opening: Promise<KeyValueStore> | undefined;

  constructor(create: () => Promise<KeyValueStore>, stats: StoreStats, clock: Clock, runsScripts: boolean) {
    this.runsScripts = runsScripts;
    this.#create = create;
    this.#stats = stats;
    this.#clock = clock;
  }

  /** Opens it, once. */
  open(): Promise<KeyValueStore> {
    if (this.#opening === undefined) {
      this.#opening = this.#create();
      this.#opening.catch(() => {}); // whoever asks hears of it
    }
    return this.#opening;
  }

  /** Resolves when nothing is being opened. */
  async opened(): Promise<void> {
    await this.#opening;
  }

  get(key: string): Promise<string | undefined> {
    return this.#ask(async (store) => store.get(checkKey(key)));
  }

  set(key: string, value: string, options?: SetOptions): Promise<boolean> {
    return this.#ask(async (store) => store.set(checkKey(key), checkValue(value), checkTtl(options)));
  }

  incr(key: string, by: number, options?: IncrOptions): Promise<number> {
    return this.#ask(async (store) => {
      if (!Number.isSafeInteger(by)) throw invalid("only whole numbers can be added");
      return store.incr(checkKey(key), by, checkTtl(options));
    });
  }

  delete(key: string): Promise<boolean> {
    return this.#ask(async (store) => store.delete(checkKey(key)));
  }

  run(
    script: StoreScript,
    keys: readonly string[],
    args: readonly ScriptArgument[],
    timeoutMs?: number,
  ): Promise<unknown> {
    return this.#ask(async (store) => store.run(script, keys.map(checkKey), checkArguments(args), timeoutMs));
  }

  runForBytes(
    script: StoreScript,
    keys: readonly string[],
    args: readonly ScriptArgument[],
  ): Promise<unknown> {
    return this.#ask(async (store) => store.runForBytes(script, keys.map(checkKey), checkArguments(args)));
  }

  getBytes(key: string): Promise<Buffer | undefined> {
    return this.#ask(async (store) => store.getBytes(checkKey(key)));
  }

  /** Not counted as a call: nobody waits for it. */
  async subscribe(channel: string, subscriber: Subscriber): Promise<() => void> {
    return (await this.open()).subscribe(checkKey(channel), subscriber);
  }

  async #ask<T>(call: (store: KeyValueStore) => Promise<T>): Promise<T> {
    const began = this.#clock.monotonic();
    let result: StoreResult = "ok";
    try {
      return await call(await this.open());
    } catch (error) {
      const failure = toGatewayError(error);
      result = failure.code === "STORE_VALUE_INVALID" ? "invalid" : "unavailable";
      throw failure;
    } finally {
      this.#stats.record(result, this.#clock.monotonic() - began);
    }
  }
}

function checkKey(key: string): string {
  if (typeof key !== "string" || key === "") throw invalid("a key is a text that is not empty");
  if (isLonger(key, MOST_KEY_BYTES)) throw invalid(`a key has at most ${MOST_KEY_BYTES} bytes`);
  return key.toWellFormed();
}

function checkValue(value: string): string {
  if (typeof value !== "string") throw invalid("a value is a text");
  if (isLonger(value, MOST_VALUE_BYTES)) throw invalid(`a value has at most ${MOST_VALUE_BYTES} bytes`);
  return value.toWellFormed();
}

function checkArguments(args: readonly ScriptArgument[]): readonly ScriptArgument[] {
  for (const arg of args) {
    if (typeof arg !== "number" && arg.length > MOST_ARGUMENT_BYTES)
      throw invalid(`an argument of a script has at most ${MOST_ARGUMENT_BYTES} bytes`);
  }
  return args;
}

function checkTtl<O extends IncrOptions>(options: O | undefined): O | undefined {
  const ttlMs = options?.ttlMs;
  if (ttlMs !== undefined && (!Number.isSafeInteger(ttlMs) || ttlMs < 1))
    throw invalid("a time to live is a whole number of milliseconds, at least 1");
  return options;
}

/** No character takes more than three bytes for each of its 16 bits. */
function isLonger(text: string, bytes: number): boolean {
  return text.length * 3 > bytes && Buffer.byteLength(text) > bytes;
}
