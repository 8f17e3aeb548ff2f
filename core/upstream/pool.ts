/**
 * The only door to undici: connections to one target. A request takes the idle connection that was used last,
 * so that few stay warm; a new one is opened when none is idle, up to a maximum; beyond it requests wait in
 * order. (undici's own Pool looks through all its connections for a free one, twice a request.)
 */
import { createRequire } from "node:module";
import type { Dispatcher } from "undici";
import { Connector, type ConnectorOptions } from "./connector.ts";

const require = createRequire(import.meta.url);
/** Not out of undici itself: with it come its fetch, caches, mocks and web sockets, 8 MB that nobody here uses. */
const Client = require("undici/lib/dispatcher/client.js") as typeof import("undici").Client;

/** How to connect to a target. Durations in milliseconds. */
export interface PoolOptions extends ConnectorOptions {
  connections: number;
  headersTimeoutMs: number;
  bodyTimeoutMs: number;
  keepAliveMs: number;
  maxHeaderBytes: number;
}

/** Connections to a target. */
export interface Connections {
  /** Sends a request; its handler hears of everything, failures included. */
  dispatch(request: PoolRequest, handler: PoolHandler): void;
  /** Lets requests that are in flight or wait end, then closes the connections. */
  close(): Promise<void>;
}

/** Opens connections to a target of the upstream of that name. */
export type OpenConnections = (upstream: string, options: PoolOptions) => Connections;

/** A request to dispatch. */
export interface PoolRequest {
  method: string;
  /** Path and query in wire form. */
  path: string;
  /** Flat `[name, value, …]`. */
  headers: string[];
  /** Bytes, or the least of a stream: `on`, `resume`, `pause`, `destroy`. */
  body: Buffer | NodeJS.EventEmitter | null;
  /** Set by the pool. */
  servername?: string;
}

/** A Buffer's fast way to a Latin-1 string, which Node has and its types do not. */
export interface RawBytes {
  latin1Slice(): string;
}

/** Pauses, resumes and aborts a request, and holds its raw headers. */
export interface PoolController {
  readonly rawHeaders: RawBytes[] | null;
  readonly rawTrailers: RawBytes[] | null;
  pause(): void;
  resume(): void;
  abort(reason: Error): void;
}

/** Callbacks of a request. */
export interface PoolHandler {
  /** True once the request has failed or is not wanted any more. */
  readonly done: boolean;
  onRequestStart(controller: PoolController): void;
  onResponseStart(controller: PoolController, status: number, headers: unknown, reason?: string): void;
  onResponseData(controller: PoolController, chunk: Buffer): void;
  onResponseEnd(controller: PoolController): void;
  /** The connection failed. What follows may call the reply complete all the same. */
  onConnectionError?(error: Error): void;
  /** No controller when the request failed before it was sent. */
  onResponseError(controller: PoolController | null, error: Error): void;
}

interface Waiting {
  request: PoolRequest;
  handler: PoolHandler;
  timer: NodeJS.Timeout;
}

/** Raised for a request that found no free connection in time. */
export class QueueTimeout extends Error {
  readonly code = "SLUICE_QUEUE_TIMEOUT";
}

/** Raised for a request to a target that is no more. */
export class PoolClosed extends Error {
  readonly code = "SLUICE_POOL_CLOSED";
}

/** A connection, and whom to tell of its failure. */
class PooledClient extends Client {
  handler: PoolHandler | undefined;
}

export class Pool implements Connections {
  readonly #options: PoolOptions;
  readonly #connector: Connector;
  /** undici drops a connection when the next request has another name, the Host's by default. The connector decides. */
  readonly #serverName: string | undefined;
  readonly #clients = new Set<PooledClient>();
  /** Clients that can take a request now, the last used on top. */
  readonly #idle: PooledClient[] = [];
  readonly #waiting = new Set<Waiting>();
  #closed = false;
  /** Called when the last waiting request has gone, once the pool closes. */
  #onNoneWaiting: (() => void) | undefined;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#connector = new Connector(options);
    this.#serverName = options.tls === undefined ? undefined : "target";
  }

  dispatch(request: PoolRequest, handler: PoolHandler): void {
    if (this.#closed) return handler.onResponseError(null, new PoolClosed("the pool is closed"));
    const client = this.#idle.pop() ?? this.#open();
    if (client === undefined) this.#wait(request, handler);
    else this.#send(client, request, handler);
  }

  /** Connections that exist or are being opened. */
  get size(): number {
    return this.#clients.size;
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#waiting.size > 0) await new Promise<void>((resolve) => (this.#onNoneWaiting = resolve));
    await Promise.all([...this.#clients].map((client) => client.close()));
  }

  #send(client: PooledClient, request: PoolRequest, handler: PoolHandler): void {
    client.handler = handler;
    if (this.#serverName !== undefined) request.servername = this.#serverName;
    // A refused request (`done`) leaves the client free; one that was taken frees it with "drain".
    const took = client.dispatch(
      request as Dispatcher.DispatchOptions,
      handler as unknown as Dispatcher.DispatchHandler,
    );
    if (took || handler.done) this.#onFree(client);
  }

  #open(): PooledClient | undefined {
    const o = this.#options;
    if (this.#clients.size >= o.connections) return undefined;
    const client = new PooledClient(o.origin, {
      pipelining: 1,
      connect: (_options, callback) =>
        this.#connector.connect((error, socket) => {
          if (socket === null) return callback(error!, null);
          // Heard before undici hears it, to whom a reset is a good end of a reply without a length.
          socket.on("error", (broken) => client.handler?.onConnectionError?.(broken));
          callback(null, socket);
        }),
      headersTimeout: o.headersTimeoutMs,
      bodyTimeout: o.bodyTimeoutMs,
      keepAliveTimeout: o.keepAliveMs,
      maxHeaderSize: o.maxHeaderBytes,
      allowH2: false,
    });
    this.#clients.add(client);
    client.on("drain", () => this.#onFree(client));
    client.on("disconnect", () => this.#forget(client));
    return client;
  }

  #onFree(client: PooledClient): void {
    client.handler = undefined;
    for (const waiting of this.#waiting) {
      this.#leave(waiting);
      if (!waiting.handler.done) return this.#send(client, waiting.request, waiting.handler);
    }
    this.#idle.push(client);
  }

  /** Drops a client whose idle connection ended; a busy one comes back by itself. */
  #forget(client: PooledClient): void {
    const at = this.#idle.indexOf(client);
    if (at === -1) return;
    this.#idle.splice(at, 1);
    this.#clients.delete(client);
    if (!client.destroyed) void client.close();
  }

  #wait(request: PoolRequest, handler: PoolHandler): void {
    const timer = setTimeout(
      () => this.#giveUp(waiting, new QueueTimeout("no connection became free in time")),
      this.#options.connectTimeoutMs,
    );
    const waiting: Waiting = { request, handler, timer };
    this.#waiting.add(waiting);
  }

  #giveUp(waiting: Waiting, error: Error): void {
    this.#leave(waiting);
    if (!waiting.handler.done) waiting.handler.onResponseError(null, error);
  }

  #leave(waiting: Waiting): void {
    clearTimeout(waiting.timer);
    this.#waiting.delete(waiting);
    if (this.#waiting.size === 0) this.#onNoneWaiting?.();
  }
}
