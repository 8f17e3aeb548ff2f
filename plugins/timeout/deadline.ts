/** Deadlines of exchanges, and what waits for the stages below no longer than until they pass. */
import {
  type Abortable,
  type Body,
  BytesBody,
  type EndListener,
  type Exchange,
  GatewayError,
  type Handler,
  type Reply,
  type Sink,
} from "../../core/plugin.ts";

/** The deadline of one exchange. There is one at most, with one timer. */
export class ExchangeDeadline implements EndListener {
  at: number;
  header: string | undefined;
  readonly #x: Exchange;
  #timer: NodeJS.Timeout;

  /**
   * Sets a deadline; of several the earliest counts. One that has passed gives the exchange up at once.
   * @param now monotonic milliseconds, as `at`
   */
  static set(x: Exchange, at: number, header: string | undefined, now: number): void {
    if (x.deadline instanceof ExchangeDeadline) x.deadline.#tighten(at, header, now);
    else x.deadline = new ExchangeDeadline(x, at, header, now);
  }

  private constructor(x: Exchange, at: number, header: string | undefined, now: number) {
    this.at = at;
    this.header = header;
    this.#x = x;
    this.#timer = this.#start(now);
    x.onEnd(this);
  }

  onExchangeEnd(): void {
    clearTimeout(this.#timer);
  }

  expire(): void {
    this.#x.abort(new GatewayError("DEADLINE_EXCEEDED"));
  }

  #tighten(at: number, header: string | undefined, now: number): void {
    this.header = header ?? this.header;
    if (at >= this.at) return;
    this.at = at;
    clearTimeout(this.#timer);
    this.#timer = this.#start(now);
  }

  #start(now: number): NodeJS.Timeout {
    const ms = Math.ceil(this.at - now); // whole: Node keeps timers of equal length in one list
    if (ms <= 0) this.expire();
    return setTimeout(expire, ms, this);
  }
}

function expire(deadline: ExchangeDeadline): void {
  deadline.expire();
}

/**
 * The stages below against the end of the exchange. Once their reply is there it is the reply's body, so that the
 * deadline covers bodies that cannot be given up by themselves.
 */
export class Race implements Abortable, Body, Sink {
  readonly #x: Exchange;
  #resolve: ((reply: Reply) => void) | undefined;
  #reject: ((error: unknown) => void) | undefined;
  #over: Error | undefined;
  #body: Body | undefined;
  #sink: Sink | undefined;

  constructor(x: Exchange) {
    this.#x = x;
    this.#resolve = undefined;
    this.#reject = undefined;
    this.#over = undefined;
    this.#body = undefined;
    this.#sink = undefined;
  }

  run(next: Handler): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.#x.onAbort(this);
      if (this.#over === undefined) void this.#follow(next);
    });
  }

  get length(): number | undefined {
    return this.#body!.length;
  }

  abort(reason: Error): void {
    if (this.#over !== undefined) return;
    this.#over = reason;
    this.#reject!(reason);
    const sink = this.#sink;
    this.#sink = undefined;
    this.#body?.cancel(reason);
    sink?.fail(reason);
  }

  start(sink: Sink): void {
    if (this.#over !== undefined) return sink.fail(this.#over);
    this.#sink = sink;
    this.#body!.start(this);
  }

  resume(): void {
    this.#body!.resume();
  }

  cancel(reason?: Error): void {
    this.#sink = undefined;
    this.#body!.cancel(reason);
  }

  write(chunk: Buffer): boolean {
    return this.#sink?.write(chunk) ?? true;
  }

  end(last?: Buffer, trailers?: string[]): void {
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.end(last, trailers);
  }

  fail(error: Error): void {
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.fail(error);
  }

  async #follow(next: Handler): Promise<void> {
    let reply: Reply;
    try {
      reply = await next(this.#x);
    } catch (error) {
      this.#reject!(error);
      return;
    }
    if (this.#over !== undefined) return reply.body?.cancel(this.#over);
    if (reply.body !== null && !(reply.body instanceof BytesBody)) {
      this.#body = reply.body;
      reply.body = this;
    }
    this.#resolve!(reply);
  }
}
