/** Keep-alive connections that check every reply: the least of an HTTP/1.1 client over raw sockets. */
import { connect, type Socket } from "node:net";

/** A whole reply. */
export interface RawReply {
  status: number;
  /** Status line and headers, as they came. */
  head: string;
  body: string;
}

/** One connection; one request at a time. Replies must have a Content-Length. */
export class Connection {
  readonly #socket: Socket;
  readonly #host: string;
  #received = "";
  #need = -1;
  #headEnd = 0;
  #settle: ((reply: RawReply | Error) => void) | undefined;
  #error: Error | undefined;

  private constructor(socket: Socket, host: string) {
    this.#socket = socket;
    this.#host = host;
    socket.setNoDelay(true);
    socket.setEncoding("latin1");
    socket.on("data", (text) => this.#onData(text as unknown as string));
    socket.on("error", (error) => this.#fail(error));
    socket.on("close", () => this.#fail(new Error("the connection was closed")));
  }

  static open(url: string): Promise<Connection> {
    const { hostname, port, host } = new URL(url);
    return new Promise((resolve, reject) => {
      const socket = connect(Number(port), hostname, () => {
        socket.off("error", reject);
        resolve(new Connection(socket, host));
      });
      socket.once("error", reject);
    });
  }

  /**
   * Sends a GET and gives the reply.
   * @param headers lines that end in CRLF
   * @throws Error when the connection fails
   */
  get(path: string, headers = ""): Promise<RawReply> {
    return new Promise((resolve, reject) => {
      if (this.#error !== undefined) return reject(this.#error);
      this.#settle = (result) => (result instanceof Error ? reject(result) : resolve(result));
      this.#socket.write(`GET ${path} HTTP/1.1\r\nHost: ${this.#host}\r\n${headers}\r\n`);
    });
  }

  /** True when some, but not all, of a reply has come. */
  get isMidReply(): boolean {
    return this.#received !== "";
  }

  close(): void {
    this.#socket.destroy();
  }

  #onData(text: string): void {
    this.#received = this.#received === "" ? text : this.#received + text;
    if (this.#need === -1) {
      const end = this.#received.indexOf("\r\n\r\n");
      if (end === -1) return;
      const length = /\r\ncontent-length: (\d+)/i.exec(this.#received.slice(0, end));
      if (length === null) return this.#fail(new Error("a reply without Content-Length"));
      this.#headEnd = end;
      this.#need = end + 4 + Number(length[1]);
    }
    if (this.#received.length < this.#need) return;
    if (this.#received.length > this.#need) return this.#fail(new Error("more bytes than the reply has"));
    const head = this.#received.slice(0, this.#headEnd);
    const reply = { status: Number(head.slice(9, 12)), head, body: this.#received.slice(this.#headEnd + 4) };
    this.#received = "";
    this.#need = -1;
    const settle = this.#settle;
    this.#settle = undefined;
    settle?.(reply);
  }

  #fail(error: Error): void {
    this.#error ??= error;
    this.#socket.destroy();
    const settle = this.#settle;
    this.#settle = undefined;
    settle?.(this.#error);
  }
}
