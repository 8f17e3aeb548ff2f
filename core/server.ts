/**
 * The only file that knows fastify: a listener that turns HTTP/1.1 messages into exchanges and replies into
 * bytes on a socket. Everything a stage may ask of a connection is a value here; nothing else writes to one.
 */
import { type FastifyInstance, fastify } from "fastify";
import type { IncomingMessage, Server, ServerOptions, ServerResponse } from "node:http";
import { type AddressInfo, Server as NetServer, Socket } from "node:net";
import type { ListenerConfig } from "./config/checked.ts";
import { ERRORS, type ErrorCode, GatewayError, problemBody, toGatewayError } from "./errors.ts";
import { Exchange, type Log } from "./exchange.ts";
import { HeaderList } from "./headers.ts";
import { inspectHead } from "./http-rules.ts";
import { parseAddress } from "./listener-address.ts";
import { createServer, STATUS_CODES } from "./node-http.ts";
import { compileTrust, Peer, type TrustTest } from "./peer.ts";
import { Reply } from "./reply.ts";
import { RequestBody } from "./request-body.ts";
import type { ListeningSocket } from "./threads/sockets.ts";
import { type Outcome, Transaction, type TransactionSettings } from "./transaction.ts";
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

/** A listener's settings as the request path uses them. */
interface Settings extends TransactionSettings {
  maxHeaderBytes: number;
  maxHeaders: number;
  maxBodyBytes: number;
  bodyTimeoutMs: number;
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

/** How often slow clients are looked for. */
const CHECK_INTERVAL_MS = 1000;

const HTTP_OPTIONS: ServerOptions = {
  requireHostHeader: false,
  requestTimeout: 0, // bodies have their own
  connectionsCheckingInterval: CHECK_INTERVAL_MS,
  noDelay: true,
  keepAlive: true,
  // A request without a body needs no stream; one with a body says so in its head (RFC 9112 section 6.3).
  optimizeEmptyRequests: true,
};

export interface ListenOptions {
  /** Instead of the configured one. */
  address?: string;
  /** Others may listen on the same address, each getting a share of the connections. */
  reusePort?: boolean;
  /** A socket that listens already, instead of a new one: nothing is accepted on it before {@link Listener.begin}. */
  fd?: number | undefined;
}

export class Listener {
  /** As configured; with port 0 the real one is in {@link url}. */
  readonly address: string;
  readonly service: Service;
  readonly #app: FastifyInstance;
  #settings: Settings;
  #draining = false;
  /** Idle connections may stay open although it closes. */
  #patient = false;
  /** A socket that listens already, and on which nothing is accepted yet. */
  #inherited: Socket | undefined;
  /** Exchanges under way. */
  #open = 0;

  constructor(config: ListenerConfig, service: Service) {
    this.address = config.address;
    this.service = service;
    this.#settings = readSettings(config);
    this.#app = fastify({
      logger: false,
      // No route of fastify's has a schema; what would compile them is 7 MB, and is not loaded where others are named.
      schemaController: { compilersFactory: { buildValidator: noSchemas, buildSerializer: noSchemas } },
      clientErrorHandler: (error, socket) => this.#onClientError(error, socket as OurSocket),
      // Requests are the gateway's: nothing of fastify's is on their way.
      serverFactory: () =>
        createServer(HTTP_OPTIONS, (request, response) => this.#onRequest(request, response)),
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
    const { address, port, family } = (this.#inherited ?? this.#server).address() as AddressInfo;
    return `http://${family === "IPv6" ? `[${address}]` : address}:${port}`;
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
  async listen({ address = this.address, reusePort = false, fd }: ListenOptions = {}): Promise<void> {
    if (fd !== undefined) {
      await this.#app.ready();
      this.#inherited = new Socket({ fd, readable: false, writable: false });
      return;
    }
    const { host, port } = parseAddress(address);
    // For `localhost` fastify would open a second server on ::1, which knows nothing of what is set up here.
    const place = { host: host === "localhost" ? "127.0.0.1" : host, port, reusePort };
    await this.#app.listen(place);
  }

  /** Accepts connections from now on, if it does not yet. */
  begin(): void {
    const socket = this.#inherited;
    this.#inherited = undefined;
    if (socket !== undefined) this.#server.listen(socket);
  }

  /** The socket that it listens on. */
  get socket(): ListeningSocket {
    const { _handle: handle } = this.#server as Server & { _handle: { fd: number } };
    return { fd: handle.fd, handle };
  }

  /**
   * Stops taking connections; requests under way may end, each with `Connection: close`.
   * @param drainMs after which what is still open is cut off
   * @param patient leaves idle connections open for one more request each, until they have been idle for too long:
   * for when somebody else serves whoever connects again
   * @returns how many requests were cut off
   */
  async close(drainMs: number, patient = false): Promise<number> {
    this.#draining = true;
    this.#patient = patient;
    this.#inherited?.destroy();
    let cut = 0;
    const timer = setTimeout(() => {
      cut = this.#open;
      this.#server.closeAllConnections();
    }, drainMs);
    try {
      // That HTTP's own way to close it closes idle connections is all that it adds. Not left to fastify, which closes
      // nothing that it did not have listen itself.
      const { close } = patient ? NetServer.prototype : this.#server;
      await new Promise((resolve) => close.call(this.#server, resolve));
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
    x.end();
    this.service.onEnd(x, outcome);
    // Its head may have been sent before the end was known, and so without `Connection: close`.
    if (this.#draining && !this.#patient) setImmediate(() => this.#server.closeIdleConnections());
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

  #onRequest(request: IncomingMessage, response: ServerResponse): void {
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
          target: request.url!,
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

function noSchemas(): never {
  throw new Error("fastify has no routes with schemas here");
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
