/**
 * The only file that knows fastify: a listener that turns HTTP/1.1 messages into exchanges and replies into
 * bytes on a socket. Everything a stage may ask of a connection is a value here; nothing else writes to one.
 */
import { type FastifyInstance, fastify } from "fastify";
import { type IncomingMessage, STATUS_CODES, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Sink } from "./body.ts";
import type { ListenerConfig } from "./config/schema.ts";
import { ERRORS, type ErrorCode, GatewayError, problemBody, toGatewayError } from "./errors.ts";
import { Exchange, type Informant, type Log } from "./exchange.ts";
import { HeaderList } from "./headers.ts";
import { inspectHead } from "./http-rules.ts";
import { compileTrust, Peer, type TrustTest } from "./peer.ts";
import { problemReply, Reply } from "./reply.ts";
import { RequestBody } from "./request-body.ts";
import { parseDuration, parseSize } from "./units.ts";

/** What a listener serves: the gateway, or the admin interface. */
export interface Service {
  readonly log: Log;
  /** Answers an exchange. Failures are thrown. */
  handle(x: Exchange): Reply | Promise<Reply>;
  /** An exchange began; its outcome follows. */
  onStart(): void;
  /** An exchange has ended, one way or the other. */
  onEnd(x: Exchange, outcome: Outcome): void;
  /** A message was refused before it became an exchange. */
  onRefused(code: ErrorCode, peer: string): void;
}

/** How an exchange ended. */
export interface Outcome {
  status: number;
  /** Set when the gateway or the client failed it. */
  code: ErrorCode | undefined;
  /** The failure, for the log. */
  error: GatewayError | undefined;
  bytesIn: number;
  bytesOut: number;
}

/** A listener's settings as the request path uses them. */
interface Settings {
  maxHeaderBytes: number;
  maxHeaders: number;
  maxBodyBytes: number;
  bodyTimeoutMs: number;
  sendTimeoutMs: number;
  maxRequests: number;
  isTrusted: TrustTest;
}

/** What is known of a socket. */
interface Connection {
  readonly peer: Peer;
  /**
   * Exchanges under way on it: more than one only when the client pipelines. An array, because a Set that
   * things come and go in keeps dead ones alive: each of its outgrown tables points to the next.
   */
  readonly open: Transaction[];
  /** The last valid Host that came on it. */
  host: string | undefined;
  /** Requests that began on it. */
  requests: number;
  /** Something that is not HTTP came: nothing that comes after it is believed. */
  refused: boolean;
}

const CONNECTION = Symbol("connection");
type OurSocket = Socket & { [CONNECTION]?: Connection };

/** Bodies up to this length are copied behind the head. */
const SMALL_BODY_BYTES = 4096;

/** How often slow clients are looked for. */
const CHECK_INTERVAL_MS = 1000;

/** Splits `host:port` or `[v6]:port`. */
export function parseAddress(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(":");
  return { host: address.slice(0, colon).replace(/^\[|\]$/g, ""), port: Number(address.slice(colon + 1)) };
}

export class Listener {
  /** As configured; with port 0 the real one is in {@link url}. */
  readonly address: string;
  readonly service: Service;
  readonly #app: FastifyInstance;
  #settings: Settings;
  #draining = false;
  /** Exchanges under way. */
  #open = 0;

  constructor(config: ListenerConfig, service: Service) {
    this.address = config.address;
    this.service = service;
    this.#settings = readSettings(config);
    this.#app = fastify({
      logger: false,
      // Routing is the gateway's: fastify sees one path, and the target stays in `originalUrl`.
      rewriteUrl: () => "/",
      return503OnClosing: false,
      requestTimeout: 0,
      connectionTimeout: 0,
      clientErrorHandler: (error, socket) => this.#onClientError(error, socket as OurSocket),
      http: {
        requireHostHeader: false,
        connectionsCheckingInterval: CHECK_INTERVAL_MS,
        noDelay: true,
        keepAlive: true,
        // A request without a body needs no stream; one with a body says so in its head (RFC 9112 section 6.3).
        optimizeEmptyRequests: true,
      },
    });
    this.#app.addHook("onRequest", (request, reply) => {
      reply.hijack();
      this.#onRequest(request.raw as IncomingMessage & { originalUrl: string }, reply.raw);
    });
    const { server } = this.#app;
    server.on("connection", (socket: OurSocket) => this.#onConnection(socket));
    server.on("checkContinue", (request, response) => server.emit("request", request, response));
    server.on("checkExpectation", (request, response) => server.emit("request", request, response));
    server.on("connect", (_request, socket: Socket) => {
      socket.on("error", () => {}); // Node has let go of the socket; its end is told by "close"
      this.#onBadMessage(socket as OurSocket, new GatewayError("METHOD_UNSUPPORTED"));
    });
    this.update(config);
  }

  /** Where it listens, such as `http://127.0.0.1:8080`. */
  get url(): string {
    const { address, port, family } = this.#server.address() as AddressInfo;
    return `http://${family === "IPv6" ? `[${address}]` : address}:${port}`;
  }

  /** Open connections. */
  connections(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.getConnections((error, count) => (error ? reject(error) : resolve(count)));
    });
  }

  /** Takes over changed limits and timeouts: at once for what is read per request, else for new connections. */
  update(config: ListenerConfig): void {
    this.#settings = readSettings(config);
    const server = this.#server as Server & { maxHeaderSize: number };
    server.maxHeaderSize = this.#settings.maxHeaderBytes;
    // The size limits the count; beyond a count of its own Node would drop lines in silence.
    server.maxHeadersCount = 0;
    server.headersTimeout = parseDuration(config.timeouts.headers);
    server.keepAliveTimeout = parseDuration(config.timeouts.keepAlive);
    // Node refuses requests beyond this, but leaves the closing to the client.
    server.maxRequestsPerSocket = config.limits.requestsPerConnection;
    // Zero would mean "none at all" to Node.
    server.maxConnections = config.limits.connections || Number.POSITIVE_INFINITY;
  }

  /** @throws Error with a code such as EADDRINUSE */
  async listen(): Promise<void> {
    const { host, port } = parseAddress(this.address);
    // For `localhost` fastify would open a second server on ::1, which knows nothing of what is set up here.
    await this.#app.listen({ host: host === "localhost" ? "127.0.0.1" : host, port });
  }

  /**
   * Stops taking connections; requests under way may end, each with `Connection: close`.
   * @param drainMs after which what is still open is cut off
   * @returns how many requests were cut off
   */
  async close(drainMs: number): Promise<number> {
    this.#draining = true;
    let cut = 0;
    const timer = setTimeout(() => {
      cut = this.#open;
      this.#server.closeAllConnections();
    }, drainMs);
    try {
      await this.#app.close();
    } finally {
      clearTimeout(timer);
    }
    return cut;
  }

  get #server(): Server {
    return this.#app.server as Server;
  }

  /** A transaction of this listener has ended. */
  onEnd(transaction: Transaction, socket: OurSocket, x: Exchange, outcome: Outcome): void {
    this.#open--;
    const open = socket[CONNECTION]!.open;
    open.splice(open.indexOf(transaction), 1);
    x.owner?.end();
    this.service.onEnd(x, outcome);
  }

  /** True while the listener closes: connections are not to be used again. */
  get draining(): boolean {
    return this.#draining;
  }

  #onConnection(socket: OurSocket): void {
    const peer = new Peer(
      socket.remoteAddress ?? "",
      socket.localPort ?? 0,
      "http",
      this.#settings.isTrusted,
    );
    const connection: Connection = { peer, open: [], host: undefined, requests: 0, refused: false };
    socket[CONNECTION] = connection;
    socket.on("close", () => {
      for (const transaction of connection.open.slice()) transaction.onClientGone();
    });
  }

  #onRequest(request: IncomingMessage & { originalUrl: string }, response: ServerResponse): void {
    const socket = request.socket as OurSocket;
    const connection = socket[CONNECTION]!;
    if (connection.refused) return; // it ends when the replies to what came before are out
    const { peer } = connection;
    const settings = this.#settings;
    const raw = request.rawHeaders;
    let x: Exchange;
    let body: RequestBody | null = null;
    try {
      const facts = inspectHead(
        {
          method: request.method!,
          target: request.originalUrl,
          version: request.httpVersion,
          scheme: peer.scheme,
          knownHost: connection.host,
          raw,
        },
        settings,
        peer.trusted,
      );
      connection.host = facts.authority || undefined;
      if (facts.bodyLength !== 0) {
        const onStart = facts.expectsContinue ? () => response.writeContinue() : undefined;
        body = new RequestBody(request, facts.bodyLength, settings.bodyTimeoutMs, onStart);
      }
      const headers = new HeaderList(raw);
      x = new Exchange({
        method: request.method!,
        target: facts.target,
        headers,
        body,
        authority: facts.authority,
        scheme: peer.trusted ? peer.clientScheme(headers) : peer.scheme,
        httpVersion: request.httpVersion,
        peer,
        clientAddress: peer.trusted ? peer.clientAddress(headers) : peer.address,
        maxBodyBytes: settings.maxBodyBytes,
        log: this.service.log,
      });
    } catch (error) {
      connection.refused = true;
      return this.#refuseRequest(response, peer, toGatewayError(error));
    }
    const number = ++connection.requests;
    const transaction = new Transaction(x, body, request, response, this, settings, number);
    connection.open.push(transaction);
    this.#open++;
    this.service.onStart();
    // `OPTIONS *` asks about the server as a whole (RFC 9110 section 9.3.7): no route has a say in it.
    if (x.path === "*") transaction.send(new Reply(204));
    else transaction.run();
  }

  /** Answers a message that is not fit to be an exchange, and ends the connection: its framing is in doubt. */
  #refuseRequest(response: ServerResponse, peer: Peer, error: GatewayError): void {
    this.service.onRefused(error.code, peer.address);
    const text = problemBody(error.code, error.detail);
    response.writeHead(error.status, [
      "content-type",
      "application/problem+json",
      "content-length",
      String(Buffer.byteLength(text)),
      "connection",
      "close",
    ]);
    response.end(text);
  }

  /** What Node's parser refused, and clients that were too slow. */
  #onClientError(error: Error & { code?: string }, socket: OurSocket): void {
    if (CLIENT_GONE.has(error.code ?? "") || !socket.writable) {
      socket.destroy();
      return;
    }
    const code = CLIENT_ERRORS[error.code ?? ""] ?? "REQUEST_INVALID";
    this.#onBadMessage(socket, new GatewayError(code, { cause: error }));
  }

  /** The requests that came before it are answered in order; then the connection ends. */
  #onBadMessage(socket: OurSocket, error: GatewayError): void {
    const connection = socket[CONNECTION];
    if (connection === undefined) return this.#refuse(socket, error.code);
    if (connection.refused) return;
    connection.refused = true;
    const last = connection.open.at(-1);
    if (last === undefined) this.#refuse(socket, error.code);
    else last.onBadMessage(error, last.number === connection.requests);
  }

  #refuse(socket: OurSocket, code: ErrorCode): void {
    this.service.onRefused(code, socket[CONNECTION]?.peer.address ?? "");
    const text = problemBody(code);
    const head = [
      `HTTP/1.1 ${ERRORS[code].status} ${STATUS_CODES[ERRORS[code].status]}`,
      "content-type: application/problem+json",
      `content-length: ${Buffer.byteLength(text)}`,
      "connection: close",
    ];
    socket.end(`${head.join("\r\n")}\r\n\r\n${text}`);
    socket.destroySoon();
  }
}

/** The connection broke or ended, the last also in the middle of a message: there is nobody to answer. */
const CLIENT_GONE = new Set(["ECONNRESET", "EPIPE", "HPE_INVALID_EOF_STATE"]);

const CLIENT_ERRORS: Record<string, ErrorCode> = {
  HPE_HEADER_OVERFLOW: "HEADERS_TOO_LARGE",
  HPE_CHUNK_EXTENSIONS_OVERFLOW: "BODY_TOO_LARGE",
  HPE_INVALID_VERSION: "VERSION_UNSUPPORTED",
  HPE_PAUSED_H2_UPGRADE: "VERSION_UNSUPPORTED",
  HPE_INVALID_TRANSFER_ENCODING: "TRANSFER_ENCODING_INVALID",
  HPE_INVALID_URL: "REQUEST_TARGET_INVALID",
  ERR_HTTP_REQUEST_TIMEOUT: "REQUEST_TIMEOUT",
};

function readSettings(config: ListenerConfig): Settings {
  return {
    maxHeaderBytes: parseSize(config.limits.headerSize),
    maxHeaders: config.limits.headerCount,
    maxBodyBytes: parseSize(config.limits.bodySize),
    bodyTimeoutMs: parseDuration(config.timeouts.body),
    sendTimeoutMs: parseDuration(config.timeouts.send),
    maxRequests: config.limits.requestsPerConnection || Number.POSITIVE_INFINITY,
    isTrusted: compileTrust(config.trustedProxies, "/trustedProxies"),
  };
}

/** One exchange on a socket: runs it, writes its reply, and tells the service how it ended. */
class Transaction implements Sink, Informant {
  /** Which request of its connection it is, from 1. */
  readonly number: number;
  readonly #x: Exchange;
  readonly #requestBody: RequestBody | null;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #listener: Listener;
  readonly #settings: Settings;
  /** The connection cannot be used again after this. */
  #closing = false;
  #reply: Reply | undefined;
  #error: GatewayError | undefined;
  #bytesOut = 0;
  /** Runs while the client takes nothing; undefined until it did so for the first time. */
  #sendTimer: NodeJS.Timeout | undefined;
  #done = false;

  constructor(
    x: Exchange,
    requestBody: RequestBody | null,
    request: IncomingMessage,
    response: ServerResponse,
    listener: Listener,
    settings: Settings,
    number: number,
  ) {
    this.number = number;
    this.#x = x;
    this.#requestBody = requestBody;
    this.#request = request;
    this.#response = response;
    this.#listener = listener;
    this.#settings = settings;
    if (requestBody !== null) requestBody.maxBytes = () => x.maxBodyBytes;
    x.informant = this;
  }

  run(): void {
    try {
      const result = this.#listener.service.handle(this.#x);
      if (result instanceof Promise) {
        result.then(
          (reply) => this.send(reply),
          (error: unknown) => this.#sendFailure(error),
        );
      } else this.send(result);
    } catch (error) {
      this.#sendFailure(error);
    }
  }

  send(reply: Reply): void {
    const x = this.#x;
    if (this.#done) {
      reply.body?.cancel();
      return;
    }
    this.#reply = reply;
    const { status } = reply;
    const { raw } = reply.headers;
    const isHead = x.originalMethod === "HEAD";
    if (reply.body !== null && (isHead || status === 204 || status === 304)) {
      reply.body.cancel();
      reply.body = null;
    }
    if (status === 204) reply.headers.delete("content-length");
    else if (reply.body === null && !isHead && status !== 304) reply.headers.set("content-length", "0");
    const isLast = this.#closing || this.number >= this.#settings.maxRequests;
    if (isLast || this.#listener.draining || this.#requestBody?.awaitsContinue) {
      raw.push("connection", "close");
    }
    try {
      // The reason phrase is the upstream's business only while it is printable (RFC 9112 section 4).
      const { reason } = reply;
      if (reason && reason !== STATUS_CODES[status] && /^[\t\x20-\x7e\x80-\xff]*$/.test(reason))
        this.#response.writeHead(status, reason, raw);
      else this.#response.writeHead(status, raw);
    } catch (error) {
      reply.body?.cancel();
      this.#reply = undefined;
      if (this.#error !== undefined) return this.#breakOff(this.#error);
      const code = x.upstream === "" ? "HEADER_INVALID" : "UPSTREAM_REPLY_INVALID";
      return this.#sendFailure(new GatewayError(code, { cause: error }));
    }
    if (reply.body === null) return this.end();
    reply.body.start(this);
    // Nothing of the body is there yet: the client need not wait for it to see the head.
    if (!this.#done && this.#bytesOut === 0) this.#response.flushHeaders();
  }

  write(chunk: Buffer): boolean {
    if (this.#done) return true;
    this.#bytesOut += chunk.length;
    const response = this.#response;
    if (response.write(chunk)) return true;
    if (this.#sendTimer === undefined) {
      response.on("drain", () => this.#onDrain());
      response.once("close", () => clearTimeout(this.#sendTimer));
    }
    this.#startSendTimer();
    return false;
  }

  #startSendTimer(): void {
    clearTimeout(this.#sendTimer);
    this.#sendTimer = setTimeout(() => {
      // While the reply to an earlier request is on its way, the wait is not the client's fault.
      if (this.#response.socket === null) this.#startSendTimer();
      else this.#request.socket.destroy();
    }, this.#settings.sendTimeoutMs);
  }

  #onDrain(): void {
    clearTimeout(this.#sendTimer);
    if (!this.#done) this.#reply?.body?.resume();
  }

  end(last?: Buffer, trailers?: string[]): void {
    if (this.#done) return;
    const response = this.#response;
    if (trailers !== undefined && response.chunkedEncoding) {
      response.addTrailers(pairs(trailers));
    }
    if (last === undefined || last.length === 0) response.end();
    else {
      this.#bytesOut += last.length;
      // Node sends a string together with the head in one write, and a buffer in another.
      if (last.length <= SMALL_BODY_BYTES) response.end(last.toString("latin1"), "latin1");
      else response.end(last);
    }
    if (response.socket === null) response.once("socket", () => this.#watchFlush());
    else if (response.socket.writableLength > 0) this.#watchFlush();
    this.#finish(this.#reply?.status ?? 500, this.#reply?.errorCode);
  }

  /** Drops a client that does not take what is left of a reply. The socket's own timer sees progress. */
  #watchFlush(): void {
    const { socket } = this.#request;
    clearTimeout(this.#sendTimer);
    socket.setTimeout(this.#settings.sendTimeoutMs);
    // Before Node's own listener, which sets the timeout for keep-alive.
    this.#response.prependOnceListener("finish", () => socket.setTimeout(0));
  }

  fail(error: Error): void {
    if (!this.#done) this.#breakOff(toGatewayError(error, "STAGE_FAILED"));
  }

  /** The client's connection ended before the exchange did. */
  onClientGone(): void {
    if (this.#done) return;
    const error = new GatewayError("CLIENT_CLOSED");
    this.#finish(error.status, error.code);
    this.#x.abort(error);
    this.#reply?.body?.cancel(error);
  }

  /**
   * The client sent something after the head that is not HTTP: no more can be read from it.
   * @param isLast no reply follows this one, not even one that is made already
   */
  onBadMessage(error: GatewayError, isLast: boolean): void {
    this.#closing = isLast;
    this.#response.once("finish", () => this.#request.socket.destroySoon());
    this.#requestBody?.fail(error);
  }

  /** The reply's head is gone out: all that is left to tell the client is a broken connection. */
  #breakOff(error: GatewayError): void {
    this.#error = error;
    this.#finish(this.#reply?.status ?? error.status, error.code);
    this.#request.socket.destroy();
  }

  #sendFailure(thrown: unknown): void {
    if (this.#done) return;
    const error = toGatewayError(thrown, "STAGE_FAILED");
    this.#error = error;
    this.#x.body?.cancel(error);
    this.send(problemReply(error, this.#x.id, this.#x.failureHeaders));
  }

  inform(status: number, headers: string[]): void {
    if (this.#done || this.#response.headersSent || this.#x.httpVersion !== "1.1") return;
    this.#response.writeInformation(status, headers);
  }

  #finish(status: number, code: ErrorCode | undefined): void {
    this.#done = true;
    const body = this.#requestBody;
    this.#listener.onEnd(this, this.#request.socket, this.#x, {
      status,
      code,
      error: this.#error,
      bytesIn: body === null ? 0 : body.bytes,
      bytesOut: this.#bytesOut,
    });
    if (body !== null) body.linger();
  }
}

function pairs(flat: string[]): [string, string][] {
  const list: [string, string][] = [];
  for (let i = 0; i < flat.length; i += 2) list.push([flat[i]!, flat[i + 1]!]);
  return list;
}
