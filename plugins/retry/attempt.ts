/** One exchange in a retry stage: how the request was, so that each attempt starts from the same. */
import {
  BytesBody,
  type Body,
  type Exchange,
  GatewayError,
  type HeaderList,
  type TargetGuard,
} from "../../core/plugin.ts";
import { addGuard, removeGuard } from "../../core/target-guards.ts";
import { Replay } from "./replay.ts";

/** The request before its first attempt. */
export class Beginning {
  readonly #x: Exchange;
  readonly #request: ReturnType<Exchange["snapshot"]>;
  readonly #body: Body | null;
  readonly #replay: Replay | undefined;
  readonly #failureHeaders: HeaderList | undefined;
  readonly #guards: number;

  /** @param maxBodyBytes most of a streaming body that is kept for another attempt */
  constructor(x: Exchange, maxBodyBytes: number) {
    this.#x = x;
    this.#request = x.snapshot();
    this.#body = x.body;
    this.#failureHeaders = x.failureHeaders?.clone();
    this.#guards = x.guards?.length ?? 0;
    this.#replay = undefined;
    if (x.body !== null && !(x.body instanceof BytesBody)) {
      this.#replay = new Replay(x.body, maxBodyBytes);
      x.onEnd(this.#replay);
      x.body = this.#replay.open();
    }
  }

  /** True while the whole body can be sent once more. */
  get canRepeat(): boolean {
    return this.#replay?.isComplete ?? true;
  }

  /** Puts the request back, and takes back what the stages below left on the exchange. */
  restore(): void {
    const x = this.#x;
    x.restore(this.#request, this.#replay?.open() ?? this.#body);
    x.failureHeaders = this.#failureHeaders?.clone();
    if (this.#guards === 0) x.guards = undefined;
    else x.guards!.length = this.#guards;
  }

  /** No attempt follows. */
  close(): void {
    this.#replay?.close();
  }

  /** No attempt follows, and the last one failed: a stage above may still send the body elsewhere. */
  fail(): void {
    const replay = this.#replay;
    if (replay?.isComplete) this.#x.body = replay.open();
    replay?.close();
  }
}

/**
 * One attempt with a time limit. What it has sent is given up at the limit, and it sends nothing more; a stage
 * below that waits for something else is waited for, because it still works on the exchange.
 */
export class TimedAttempt implements TargetGuard {
  readonly #x: Exchange;
  readonly #mark: number;
  readonly #timer: NodeJS.Timeout;
  /** What it fails with if the limit has passed. */
  failure: GatewayError | undefined;

  constructor(x: Exchange, ms: number) {
    this.#x = x;
    this.#mark = x.abortMark;
    this.failure = undefined;
    this.#timer = setTimeout(expire, ms, this);
  }

  /** Asked once the limit has passed: what the attempt still asks for must not be sent. */
  admit(): boolean {
    return false;
  }

  /** It is over, by itself or because of the limit. Stages above may ask for targets again. */
  end(): void {
    clearTimeout(this.#timer);
    if (this.failure !== undefined) removeGuard(this.#x, this);
  }

  expire(): void {
    const x = this.#x;
    this.failure = new GatewayError("UPSTREAM_TIMEOUT", { detail: "No attempt got a reply in time" });
    addGuard(x, this);
    x.abortSince(this.#mark, this.failure);
  }
}

function expire(attempt: TimedAttempt): void {
  attempt.expire();
}
