/**
 * One request on its way through a pipeline: what the client sent, what is known about it, and what will be
 * sent upstream. Knows nothing of sockets, so that any protocol can fill it.
 */
import { monotonicMs } from "./clock.ts";
import type { Body } from "./body.ts";
import type { GatewayError } from "./errors.ts";
import { HeaderList } from "./headers.ts";
import type { Log } from "./log.ts";
import { type BodyErrors, Message } from "./message.ts";
import type { RouteStats } from "./observe/request-stats.ts";
import { Peer } from "./peer.ts";
import type { Target } from "./plugin.ts";
import type { Reply } from "./reply.ts";
import { nextRequestId } from "./request-ids.ts";

export type { Log };

const BODY_ERRORS: BodyErrors = {
  tooLarge: "BODY_TOO_LARGE",
  invalid: "BODY_INVALID",
  unknownCoding: "BODY_ENCODING_UNSUPPORTED",
};

/** Somebody known to the gateway on whose behalf a request is made. */
export interface Consumer {
  readonly name: string;
  readonly roles: readonly string[];
  readonly tier?: string;
  /** Tells the credential that was used from others of the consumer; never the secret itself. */
  readonly credential?: string;
  readonly claims?: Readonly<Record<string, unknown>>;
}

/** What an exchange knows of the route that matched it. */
export interface RouteInfo {
  readonly name: string;
  /** Send the client's Host upstream, not the target's. */
  readonly preserveHost: boolean;
  /** Largest request body in bytes; undefined for the listener's. */
  readonly maxBodyBytes: number | undefined;
  /** Where its requests are counted. */
  readonly stats: RouteStats | undefined;
}

/** Something that can be given up with an exchange: not a function, because a closure a request is dear. */
export interface Abortable {
  abort(reason: Error): void;
}

/** Something that is told when an exchange has ended: not a function, for the same reason. */
export interface EndListener {
  onExchangeEnd(x: Exchange): void;
}

/** Decides which targets an exchange may go to, beside what is known of their health. */
export interface TargetGuard {
  /** Called with the target that would be asked next; true lets the request go there, and `settle` follows. */
  admit(target: Target, x: Exchange): boolean;
  /**
   * What came of an admission: the target's reply, its body still streaming, or what was thrown. Neither, when
   * another guard refused the target, so that it was not asked.
   */
  settle?(target: Target, x: Exchange, reply: Reply | undefined, error: unknown): void;
  /** Why the exchange fails when no target is left; undefined when this guard refused none. */
  refusal?(): GatewayError | undefined;
}

/** When an exchange must have ended. */
export interface Deadline {
  /** Milliseconds of the monotonic clock that `startedAt` is of. */
  readonly at: number;
  /** Header that tells the upstream how many milliseconds are left; lower case. */
  readonly header: string | undefined;
}

/** The request as it was, for stages that try again what the stages below may have changed. */
export interface RequestSnapshot {
  readonly method: string;
  readonly path: string;
  readonly search: string;
  readonly headers: readonly string[];
}

/** Takes informational replies on their way to the client. */
export interface Informant {
  inform(status: number, headers: string[]): void;
}

/** What a server must know to open an exchange. */
export interface ExchangeInit {
  method: string;
  /** Path and query as they came, origin form (RFC 9112 section 3.2.1). */
  target: string;
  headers: HeaderList;
  body: Body | null;
  /** Host and port the client asked for, as it came. */
  authority: string;
  /** Scheme the client used, as far as it can be known. */
  scheme: "http" | "https";
  /** The protocol version of the client's message, such as `1.1`. */
  httpVersion: string;
  peer: Peer;
  /** Largest request body in bytes. */
  maxBodyBytes: number;
  /** Address of the client itself: the peer's, or what trusted proxies say. */
  clientAddress: string;
  log: Log;
}

/** The route of an exchange that no route has matched. */
export const NO_ROUTE: RouteInfo = {
  name: "",
  preserveHost: false,
  maxBodyBytes: undefined,
  stats: undefined,
};

export class Exchange extends Message {
  /** Method to send upstream; starts as the client's. */
  method: string;
  /** Path to send upstream, in wire form (percent-encoded); starts as the client's. */
  path: string;
  /** Query to send upstream with its `?`, or empty. */
  search: string;
  /** The client's own method, path and query, whatever stages change. */
  readonly originalMethod: string;
  readonly originalPath: string;
  readonly originalSearch: string;
  readonly authority: string;
  readonly scheme: "http" | "https";
  readonly httpVersion: string;
  readonly peer: Peer;
  readonly clientAddress: string;
  /** Largest request body in bytes: the listener's limit, or the route's once there is one. */
  maxBodyBytes: number;
  route: RouteInfo;
  /** Values of `:param` segments, decoded; `*` is what a prefix left over. */
  params: Readonly<Record<string, string>>;
  consumer: Consumer | undefined;
  /** Milliseconds of a monotonic clock when the request head was complete. */
  readonly startedAt: number;
  /** Upstream that was asked last; empty when none was. */
  upstream: string;
  /** Target that was asked last. */
  target: Target | undefined;
  /** Requests that were sent to targets for it: more than one when it was tried again. */
  attempts: number;
  /** Targets that failed this exchange: another is asked if there is one. */
  tried: Target[] | undefined;
  /** Asked before a target is; more than one are a list. */
  guards: TargetGuard[] | undefined;
  /** When it must have ended, if there is such a time. */
  deadline: Deadline | undefined;
  /** Milliseconds from sending upstream to its reply head, summed over attempts; -1 when none was asked. */
  upstreamMs: number;
  /** The generation it runs on, told when the exchange has ended; before that, when another does on its behalf. */
  owner: { hold(): void; end(): void } | undefined;
  /** Milliseconds spent in each stage, by stage name, when timing is on. */
  timings: Map<string, number> | undefined;
  /** Takes informational replies (1xx) of the upstream, if the protocol can carry them. */
  informant: Informant | undefined;
  /**
   * Headers for the reply that the server makes if the exchange fails. A stage that edits the headers of
   * replies edits these when the stages below throw, by `editReplyHeaders`.
   */
  failureHeaders: HeaderList | undefined;
  /** What scripts keep for this request, as JSON, by name of the script. */
  scriptStates: Map<string, string> | undefined;
  readonly #log: Log;
  #id: string | undefined;
  #aborted: Error | undefined;
  /** Told when the exchange is given up: one, or a list once there are more. */
  #abortable: Abortable | Abortable[] | undefined;
  /** Told when the exchange has ended, in the same way. */
  #endListener: EndListener | EndListener[] | undefined;
  #controller: AbortController | undefined;
  #query: URLSearchParams | undefined;

  constructor(init: ExchangeInit) {
    super(init.headers, init.body);
    const { target } = init;
    const mark = target.indexOf("?");
    this.method = init.method;
    this.path = mark === -1 ? target : target.slice(0, mark);
    this.search = mark === -1 ? "" : target.slice(mark);
    this.originalMethod = this.method;
    this.originalPath = this.path;
    this.originalSearch = this.search;
    this.authority = init.authority;
    this.scheme = init.scheme;
    this.httpVersion = init.httpVersion;
    this.peer = init.peer;
    this.clientAddress = init.clientAddress;
    this.maxBodyBytes = init.maxBodyBytes;
    this.route = NO_ROUTE;
    this.params = NO_PARAMS;
    this.consumer = undefined;
    this.startedAt = monotonicMs();
    this.upstream = "";
    this.target = undefined;
    this.attempts = 0;
    this.tried = undefined;
    this.guards = undefined;
    this.deadline = undefined;
    this.upstreamMs = -1;
    this.owner = undefined;
    this.timings = undefined;
    this.informant = undefined;
    this.failureHeaders = undefined;
    this.scriptStates = undefined;
    this.#log = init.log;
    this.#id = undefined;
    this.#aborted = undefined;
    this.#abortable = undefined;
    this.#endListener = undefined;
    this.#controller = undefined;
    this.#query = undefined;
  }

  protected override get bodyErrors(): BodyErrors {
    return BODY_ERRORS;
  }

  /** Address of the other end of the client's connection: a proxy's, if there is one. */
  get peerAddress(): string {
    return this.peer.address;
  }

  /** Identifies the request in logs; the `request-id` plugin replaces it by the client's. */
  get id(): string {
    this.#id ??= nextRequestId();
    return this.#id;
  }

  set id(id: string) {
    this.#id = id;
  }

  /** A log whose lines carry the request's id and route. */
  get log(): Log {
    return this.#log.child({ requestId: this.id, route: this.route.name });
  }

  /** The client's query, decoded. Not for changing: assign {@link search}. */
  get query(): URLSearchParams {
    this.#query ??= new URLSearchParams(this.originalSearch);
    return this.#query;
  }

  /** Why the exchange was given up, or undefined while it goes on. */
  get aborted(): Error | undefined {
    return this.#aborted;
  }

  /** Aborts when the client goes away or a deadline passes. Made on first use. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = new AbortController();
      this.#controller = controller;
      this.onAbort({ abort: (reason) => controller.abort(reason) });
    }
    return this.#controller.signal;
  }

  /** Has `abortable` aborted if the exchange is given up, at once if it already was. */
  onAbort(abortable: Abortable): void {
    if (this.#aborted !== undefined) return abortable.abort(this.#aborted);
    if (this.#abortable === undefined) this.#abortable = abortable;
    else if (Array.isArray(this.#abortable)) this.#abortable.push(abortable);
    else this.#abortable = [this.#abortable, abortable];
  }

  /** Gives the exchange up: the upstream request is aborted and nothing is sent any more. */
  abort(reason: Error): void {
    if (this.#aborted !== undefined) return;
    this.#aborted = reason;
    const abortable = this.#abortable;
    this.#abortable = undefined;
    if (Array.isArray(abortable)) for (const each of abortable) each.abort(reason);
    else abortable?.abort(reason);
  }

  /** How much would be aborted now: what {@link abortSince} takes. */
  get abortMark(): number {
    const abortable = this.#abortable;
    if (abortable === undefined) return 0;
    return Array.isArray(abortable) ? abortable.length : 1;
  }

  /**
   * Aborts what was begun since `mark` and forgets it, while the exchange goes on: for stages that give up one
   * attempt and try again.
   */
  abortSince(mark: number, reason: Error): void {
    const abortable = this.#abortable;
    if (abortable === undefined) return;
    const all = Array.isArray(abortable) ? abortable : [abortable];
    const since = all.slice(mark);
    this.#abortable = mark === 0 ? undefined : all.slice(0, mark);
    for (const each of since) each.abort(reason);
    if (this.#controller?.signal.aborted) this.#controller = undefined;
  }

  /** Has `listener` told when the exchange has ended: its reply is sent, or it was given up. */
  onEnd(listener: EndListener): void {
    if (this.#endListener === undefined) this.#endListener = listener;
    else if (Array.isArray(this.#endListener)) this.#endListener.push(listener);
    else this.#endListener = [this.#endListener, listener];
  }

  /** The first of those told by {@link onEnd} that `test` accepts: what a stage has left on the exchange before. */
  findEndListener<T>(test: (listener: EndListener, about: T) => boolean, about: T): EndListener | undefined {
    const listener = this.#endListener;
    if (listener === undefined) return undefined;
    if (Array.isArray(listener)) return listener.find((each) => test(each, about));
    return test(listener, about) ? listener : undefined;
  }

  /** The exchange has ended. Called once, by whoever opened it. */
  end(): void {
    const listener = this.#endListener;
    this.#endListener = undefined;
    try {
      if (Array.isArray(listener)) for (const each of listener) each.onExchangeEnd(this);
      else listener?.onExchangeEnd(this);
    } finally {
      this.owner?.end(); // or its generation would never close
    }
  }

  /** The request as it is now, without its body. */
  snapshot(): RequestSnapshot {
    return {
      method: this.method,
      path: this.path,
      search: this.search,
      headers: this.headers.raw.slice(),
    };
  }

  /** Puts the request back to what it was. */
  restore(request: RequestSnapshot, body: Body | null): void {
    this.method = request.method;
    this.path = request.path;
    this.search = request.search;
    this.headers = new HeaderList(request.headers.slice());
    this.replaceBody(body);
  }

  /**
   * A second exchange with the same request as it is now. It has a life of its own: it is not given up with this
   * one, and whoever made it calls {@link end}.
   */
  fork(body: Body | null): Exchange {
    const fork = new Exchange({
      method: this.originalMethod,
      target: this.originalPath + this.originalSearch,
      headers: this.headers.clone(),
      body,
      authority: this.authority,
      scheme: this.scheme,
      httpVersion: this.httpVersion,
      peer: this.peer,
      maxBodyBytes: this.maxBodyBytes,
      clientAddress: this.clientAddress,
      log: this.#log,
    });
    fork.method = this.method;
    fork.path = this.path;
    fork.search = this.search;
    fork.route = this.route;
    fork.params = this.params;
    fork.consumer = this.consumer;
    fork.id = this.id;
    return fork;
  }
}

const NO_PARAMS: Readonly<Record<string, string>> = Object.freeze({});

/** An exchange made by hand: for tests and for requests that the gateway makes itself. */
export function createExchange(init: Partial<ExchangeInit> & { log: Log }): Exchange {
  return new Exchange({
    method: "GET",
    target: "/",
    headers: new HeaderList(),
    body: null,
    authority: "localhost",
    scheme: "http",
    httpVersion: "1.1",
    peer: new Peer("127.0.0.1", 80, "http", () => false),
    clientAddress: "127.0.0.1",
    maxBodyBytes: Number.POSITIVE_INFINITY,
    ...init,
  });
}
