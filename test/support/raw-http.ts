/** A client that speaks bytes: sends what no HTTP library would, and reads replies strictly (RFC 9112). */
import { once } from "node:events";
import { connect, type Socket } from "node:net";

/** A reply as it came, its body decoded from chunks. */
export interface RawReply {
  readonly version: string;
  readonly status: number;
  readonly reason: string;
  /** Flat `[name, value, …]`, Latin-1. */
  readonly rawHeaders: string[];
  readonly body: Buffer;
  /** Flat `[name, value, …]`. */
  readonly trailers: string[];
  /** Informational replies that came before it. */
  readonly interim: RawReply[];
  /** True when the body's end was told by the end of the connection. */
  readonly untilClose: boolean;
}

/** What is not HTTP in a reply. */
export class NotHttp extends Error {}

/** All values of a header. */
export function headerValues(reply: { rawHeaders: string[] }, name: string): string[] {
  const values: string[] = [];
  for (let i = 0; i < reply.rawHeaders.length; i += 2) {
    if (reply.rawHeaders[i]!.toLowerCase() === name) values.push(reply.rawHeaders[i + 1]!);
  }
  return values;
}

/** The value of a header that is there at most once. */
export function header(reply: { rawHeaders: string[] }, name: string): string | undefined {
  const values = headerValues(reply, name);
  if (values.length > 1) throw new NotHttp(`${name} came ${values.length} times`);
  return values[0];
}

/** `code` of a problem+json reply. */
export function problemCode(reply: RawReply): string | undefined {
  if (header(reply, "content-type") !== "application/problem+json") return undefined;
  return (JSON.parse(reply.body.toString()) as { code: string }).code;
}

/** One connection. Bytes are Latin-1: a character is a byte. */
export class RawClient {
  readonly socket: Socket;
  /** Resolves when the connection has ended, however. */
  readonly closed: Promise<void>;
  /** True once it has. */
  isClosed = false;
  /** How it failed, if it did. */
  error: NodeJS.ErrnoException | undefined;
  /** What came, from `#start` to `#end`; it doubles when it is full. */
  #buffer = Buffer.alloc(65_536);
  #start = 0;
  #end = 0;
  #wake: (() => void) | undefined;

  constructor(port: number, host = "127.0.0.1") {
    this.socket = connect({ port, host, noDelay: true });
    this.socket.on("data", (chunk: Buffer) => {
      if (this.#end + chunk.length > this.#buffer.length) {
        const grown = Buffer.alloc((this.#buffer.length + chunk.length) * 2);
        this.#buffer.copy(grown, 0, this.#start, this.#end);
        this.#buffer = grown;
        this.#end -= this.#start;
        this.#start = 0;
      }
      chunk.copy(this.#buffer, this.#end);
      this.#end += chunk.length;
      this.#wake?.();
    });
    this.socket.on("error", (error) => {
      this.error = error;
    });
    this.closed = new Promise((resolve) => {
      this.socket.on("close", () => {
        this.isClosed = true;
        this.#wake?.();
        resolve();
      });
    });
  }

  /** Bytes that came and were not read as a reply. */
  get rest(): Buffer {
    return this.#buffer.subarray(this.#start, this.#end);
  }

  /** Sends bytes; resolves when they are on their way. */
  send(data: string | Buffer): Promise<void> {
    const bytes = typeof data === "string" ? Buffer.from(data, "latin1") : data;
    return new Promise((resolve) => this.socket.write(bytes, () => resolve()));
  }

  /** Waits until `count` bytes are there. */
  async receive(count: number): Promise<Buffer> {
    while (this.rest.length < count && !this.isClosed) await this.#more();
    return this.rest;
  }

  /**
   * Reads the next final reply.
   * @param method of the request that it answers: HEAD has no body
   * @throws NotHttp when it is malformed, or the connection ends before it is complete
   */
  async read(method = "GET"): Promise<RawReply> {
    const interim: RawReply[] = [];
    for (;;) {
      const reply = await this.readOne(method, interim);
      if (reply.status >= 200) return reply;
      interim.push(reply);
    }
  }

  /** Reads the next reply, which may be informational. */
  async readOne(method = "GET", interim: RawReply[] = []): Promise<RawReply> {
    for (;;) {
      const parsed = parseReply(this.rest, method, this.isClosed, interim);
      if (parsed !== undefined) {
        this.#start += parsed.length;
        return parsed.reply;
      }
      if (this.isClosed) {
        const text = this.rest.toString("latin1", 0, 200);
        throw new NotHttp(
          `the connection ended early (${this.error?.code ?? "clean"}): ${JSON.stringify(text)}`,
        );
      }
      await this.#more();
    }
  }

  /** Sends and reads one reply. */
  async ask(request: string | Buffer, method?: string): Promise<RawReply> {
    const text = typeof request === "string" ? request : request.toString("latin1", 0, 20);
    void this.send(request);
    return this.read(method ?? /^[^ ]*/.exec(text)![0]);
  }

  async close(): Promise<void> {
    this.socket.destroy();
    await this.closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #more(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#wake = undefined;
  }
}

/** Opens a connection. */
export async function openRaw(port: number, host?: string): Promise<RawClient> {
  const client = new RawClient(port, host);
  if (client.socket.connecting) await once(client.socket, "connect");
  return client;
}

/** A GET with a valid Host. */
export function get(target: string, headers: string[] = []): string {
  return request("GET", target, headers);
}

/** A request with a valid Host; `headers` are whole lines. */
export function request(method: string, target: string, headers: string[] = [], body = ""): string {
  return `${[`${method} ${target} HTTP/1.1`, "Host: gateway.test", ...headers].join("\r\n")}\r\n\r\n${body}`;
}

const FIELD =
  /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[\t ]*(|[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)[\t ]*$/;

function parseFields(lines: string[]): string[] {
  return lines.flatMap((line) => {
    const match = FIELD.exec(line);
    if (match === null) throw new NotHttp(`not a field line: ${JSON.stringify(line)}`);
    return [match[1]!, match[2]!];
  });
}

/**
 * Parses the reply at the start of `bytes`; undefined while it is not complete.
 * @throws NotHttp
 */
export function parseReply(
  bytes: Buffer,
  method: string,
  isEnded: boolean,
  interim: RawReply[] = [],
): { reply: RawReply; length: number } | undefined {
  const headEnd = bytes.indexOf("\r\n\r\n");
  if (headEnd === -1) return undefined;
  const [statusLine = "", ...lines] = bytes.toString("latin1", 0, headEnd).split("\r\n");
  const match = /^(HTTP\/1\.1) ([1-5]\d\d) ([\t\x20-\x7e\x80-\xff]*)$/.exec(statusLine);
  if (match === null) throw new NotHttp(`not a status line: ${JSON.stringify(statusLine)}`);
  const status = Number(match[2]);
  const rawHeaders = parseFields(lines);
  const reply = { version: match[1]!, status, reason: match[3]!, rawHeaders, interim };
  const start = headEnd + 4;
  const done = (body: Buffer, length: number, trailers: string[] = [], untilClose = false) => ({
    reply: { ...reply, body: Buffer.from(body), trailers, untilClose },
    length,
  });
  const coding = header(reply, "transfer-encoding");
  const contentLength = header(reply, "content-length");
  if (coding !== undefined && contentLength !== undefined) throw new NotHttp("both TE and CL");
  if (status < 200 || status === 204) {
    if (coding !== undefined || contentLength !== undefined) throw new NotHttp(`${status} with framing`);
  }
  if (status < 200 || status === 204 || status === 304 || method === "HEAD")
    return done(Buffer.alloc(0), start);
  if (coding !== undefined) {
    if (coding !== "chunked") throw new NotHttp(`Transfer-Encoding: ${coding}`);
    const chunks = parseChunks(bytes, start);
    return chunks && done(chunks.body, chunks.end, chunks.trailers);
  }
  if (contentLength !== undefined) {
    if (!/^\d+$/.test(contentLength)) throw new NotHttp(`Content-Length: ${contentLength}`);
    const end = start + Number(contentLength);
    return bytes.length < end ? undefined : done(bytes.subarray(start, end), end);
  }
  return isEnded ? done(bytes.subarray(start), bytes.length, [], true) : undefined;
}

function parseChunks(
  bytes: Buffer,
  start: number,
): { body: Buffer; trailers: string[]; end: number } | undefined {
  const chunks: Buffer[] = [];
  let at = start;
  for (;;) {
    const lineEnd = bytes.indexOf("\r\n", at);
    if (lineEnd === -1) return undefined;
    const line = bytes.toString("latin1", at, lineEnd);
    if (!/^[0-9a-f]+$/i.test(line)) throw new NotHttp(`not a chunk size: ${JSON.stringify(line)}`);
    const size = Number.parseInt(line, 16);
    at = lineEnd + 2;
    if (size === 0) break;
    if (bytes.length < at + size + 2) return undefined;
    if (bytes.toString("latin1", at + size, at + size + 2) !== "\r\n") throw new NotHttp("chunk not ended");
    chunks.push(bytes.subarray(at, at + size));
    at += size + 2;
  }
  const lines: string[] = [];
  for (;;) {
    const lineEnd = bytes.indexOf("\r\n", at);
    if (lineEnd === -1) return undefined;
    const line = bytes.toString("latin1", at, lineEnd);
    at = lineEnd + 2;
    if (line === "") return { body: Buffer.concat(chunks), trailers: parseFields(lines), end: at };
    lines.push(line);
  }
}
