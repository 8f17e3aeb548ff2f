/** Calls between threads: each has a number, and its answer the same. */
import { ConfigError, type ErrorCode, GatewayError, type Problem } from "../errors.ts";

/** The end of a channel that messages are sent to. */
export interface Outlet {
  postMessage(message: unknown): void;
}

/** What a thread can be asked: parameters and result are what can be sent. */
export type CallTable = { readonly [name: string]: (...args: never[]) => unknown };

export interface CallMessage {
  readonly call: string;
  readonly id: number;
  readonly args: readonly unknown[];
}

export interface AnswerMessage {
  readonly answer: number;
  readonly result?: unknown;
  readonly error?: SentError;
}

/** An error on its way: those of the gateway arrive as such, others with their words and their stack. */
type SentError =
  | { readonly problems: readonly Problem[] }
  | {
      readonly failure: ErrorCode;
      readonly detail: string | undefined;
      readonly headers: readonly string[];
      readonly cause: string | undefined;
    }
  | { readonly name: string; readonly message: string; readonly code: unknown; readonly stack: string };

/** Asks another thread. */
export class Caller<Table extends CallTable> {
  readonly #outlet: Outlet;
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #next = 1;
  #failure: Error | undefined;

  constructor(outlet: Outlet) {
    this.#outlet = outlet;
  }

  /** How many calls wait for their answers. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** @throws what the other thread throws, and what {@link fail} was told */
  call<K extends keyof Table & string>(
    name: K,
    ...args: Parameters<Table[K]>
  ): Promise<Awaited<ReturnType<Table[K]>>> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const id = this.#next++;
    this.#waiting.set(id, { resolve, reject });
    this.#outlet.postMessage({ call: name, id, args } satisfies CallMessage);
    return promise as Promise<Awaited<ReturnType<Table[K]>>>;
  }

  onAnswer({ answer, result, error }: AnswerMessage): void {
    const waiting = this.#waiting.get(answer);
    this.#waiting.delete(answer);
    if (error === undefined) waiting?.resolve(result);
    else waiting?.reject(received(error));
  }

  /** The other thread is gone: whoever waits, or asks from now on, is told. */
  fail(error: Error): void {
    this.#failure = error;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

/** Answers a call. */
export async function answerCall<Table extends CallTable>(
  table: Table,
  { call, id, args }: CallMessage,
  outlet: Outlet,
): Promise<void> {
  let answer: AnswerMessage;
  try {
    answer = { answer: id, result: await table[call]!(...(args as never[])) };
  } catch (error) {
    answer = { answer: id, error: toSent(error) };
  }
  outlet.postMessage(answer);
}

function toSent(error: unknown): SentError {
  if (error instanceof ConfigError) return { problems: error.problems };
  if (error instanceof GatewayError) {
    const { code, detail, headers, cause } = error;
    return { failure: code, detail, headers, cause: cause === undefined ? undefined : messageOf(cause) };
  }
  const { name, message, code, stack } = (
    error instanceof Error ? error : new Error(String(error))
  ) as Error & {
    code?: unknown;
  };
  return { name, message, code, stack: stack ?? "" };
}

function received(error: SentError): Error {
  if ("problems" in error) return new ConfigError(error.problems);
  if ("failure" in error) {
    const { failure, detail, headers, cause } = error;
    return new GatewayError(failure, {
      headers,
      ...(detail === undefined ? {} : { detail }),
      ...(cause === undefined ? {} : { cause: new Error(cause) }),
    });
  }
  const { name, message, code, stack } = error;
  const made = Object.assign(new Error(message), { name, stack });
  return code === undefined ? made : Object.assign(made, { code });
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
