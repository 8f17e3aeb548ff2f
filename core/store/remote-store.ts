/** A store in memory as data threads have it: the control thread is asked. */
import type { Caller } from "../threads/calls.ts";
import {
  type IncrOptions,
  type KeyValueStore,
  runNothing,
  type SetOptions,
  unavailable,
  within,
} from "./store.ts";

/** What a store is asked, on its way to another thread. */
export type StoreCall =
  | readonly ["get" | "delete", key: string]
  | readonly ["set", key: string, value: string, options: SetOptions | undefined]
  | readonly ["incr", key: string, by: number, options: IncrOptions | undefined];

export type StoreAnswer = string | boolean | number | undefined;

/** What another thread answers. */
export type StoreCalls = {
  /** @param id see `storeId` */
  askStore(id: string, call: StoreCall): Promise<StoreAnswer>;
};

/** The control thread may be busy with a large configuration. */
const ANSWER_MS = 1000;
/** Calls of a thread that may wait for their answers. */
const MOST_WAITING = 10_000;

/** Answers a call from another thread. */
export function answerStore(store: KeyValueStore, call: StoreCall): Promise<StoreAnswer> {
  switch (call[0]) {
    case "get":
    case "delete":
      return store[call[0]](call[1]);
    case "set":
      return store.set(call[1], call[2], call[3]);
    case "incr":
      return store.incr(call[1], call[2], call[3]);
  }
}

export class RemoteStore implements KeyValueStore {
  readonly runsScripts = false;
  readonly run = runNothing;
  readonly runForBytes = runNothing;
  readonly getBytes = runNothing;
  readonly subscribe = runNothing;
  readonly #caller: Caller<StoreCalls>;
  readonly #id: string;

  constructor(caller: Caller<StoreCalls>, id: string) {
    this.#caller = caller;
    this.#id = id;
  }

  get(key: string): Promise<string | undefined> {
    return this.#ask(["get", key]) as Promise<string | undefined>;
  }

  set(key: string, value: string, options?: SetOptions): Promise<boolean> {
    return this.#ask(["set", key, value, options]) as Promise<boolean>;
  }

  incr(key: string, by: number, options?: IncrOptions): Promise<number> {
    return this.#ask(["incr", key, by, options]) as Promise<number>;
  }

  delete(key: string): Promise<boolean> {
    return this.#ask(["delete", key]) as Promise<boolean>;
  }

  async #ask(call: StoreCall): Promise<StoreAnswer> {
    if (this.#caller.waiting >= MOST_WAITING) throw unavailable(new Error("too many calls wait"));
    return within(ANSWER_MS, this.#caller.call("askStore", this.#id, call));
  }
}
