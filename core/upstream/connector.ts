/** Opens connections to one target: TCP, a socket of this machine, or TLS. */
import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls, type SecureContext } from "node:tls";

export interface ConnectorOptions {
  /** `http://host:port` or `https://host:port`, without a path. */
  readonly origin: string;
  /** A socket of this machine to connect to instead. */
  readonly socketPath?: string | undefined;
  readonly connectTimeoutMs: number;
  /** How to speak TLS, with an https origin. */
  readonly tls?: ConnectorTls | undefined;
}

export interface ConnectorTls {
  /** Certificates to trust and to show, and the least version. */
  readonly context: SecureContext;
  /** Name for SNI and for the check of the certificate; the origin's host by default. */
  readonly serverName?: string | undefined;
  /** Refuse targets whose certificate is not valid. */
  readonly verify: boolean;
}

/** How far a connection came that could not be made. */
type Step = "connect" | "handshake";

/** A connection that could not be made: nothing was sent. */
export class ConnectError extends Error {
  override readonly name = "ConnectError";
  readonly code: string | undefined;
  /** What it failed at: `handshake` is TLS. */
  readonly step: Step;
  readonly isTimeout: boolean;

  constructor(cause: NodeJS.ErrnoException, step: Step) {
    super(cause.message || "no connection could be made", { cause });
    this.code = cause.code;
    this.step = step;
    const all = cause instanceof AggregateError ? (cause.errors as NodeJS.ErrnoException[]) : [cause];
    this.isTimeout = all.some(({ code }) => code === "ETIMEDOUT");
  }
}

/** Probes of an idle connection begin after this. */
const KEEP_ALIVE_DELAY_MS = 60_000;

export class Connector {
  readonly #options: ConnectorOptions;
  readonly #hostname: string;
  readonly #port: number;
  /** Of the last handshake, for a shorter next one. Kept here: undici's own holds sessions weakly. */
  #session: Buffer | undefined;

  constructor(options: ConnectorOptions) {
    this.#options = options;
    const { hostname, port, protocol } = new URL(options.origin);
    this.#hostname = hostname.replace(/^\[|\]$/g, "");
    this.#port = Number(port) || (protocol === "https:" ? 443 : 80);
  }

  /** @param done called once: with a connection that is ready for requests, or with why there is none */
  connect(done: (error: ConnectError | null, socket: Socket | null) => void): void {
    const { tls, connectTimeoutMs } = this.#options;
    const socket = tls === undefined ? this.#openPlain() : this.#openTls(tls);
    socket.setNoDelay(true).setKeepAlive(true, KEEP_ALIVE_DELAY_MS);
    const timer = setTimeout(() => {
      const error = new Error(`no connection within ${connectTimeoutMs} ms`);
      socket.destroy(Object.assign(error, { code: "ETIMEDOUT" }));
    }, connectTimeoutMs);
    let step: Step = "connect";
    const onError = (error: Error): void => {
      clearTimeout(timer);
      done(new ConnectError(error, step), null);
    };
    socket.once("error", onError);
    if (tls !== undefined) socket.once("connect", () => (step = "handshake"));
    socket.once(tls === undefined ? "connect" : "secureConnect", () => {
      clearTimeout(timer);
      socket.off("error", onError);
      done(null, socket);
    });
  }

  #openPlain(): Socket {
    const { socketPath } = this.#options;
    if (socketPath !== undefined) return connectTcp({ path: socketPath });
    return connectTcp({ host: this.#hostname, port: this.#port });
  }

  #openTls({ context, serverName, verify }: ConnectorTls): Socket {
    const host = this.#hostname;
    // Never from the Host header, which may be the client's. An address has no SNI (RFC 6066 section 3), and is
    // what the certificate is checked for then.
    const name = serverName ?? (isIP(host) === 0 ? host : undefined);
    const socket = connectTls({
      host,
      port: this.#port,
      secureContext: context,
      rejectUnauthorized: verify,
      ALPNProtocols: ["http/1.1"],
      ...(name === undefined ? {} : { servername: name }),
      ...(this.#session === undefined ? {} : { session: this.#session }),
    });
    return socket.on("session", (session: Buffer) => (this.#session = session));
  }
}
