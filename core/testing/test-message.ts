/** Messages that tests make and look at. */
import type { TestReplyInit, TestResponse, UpstreamRequest } from "../script/test-api.ts";

/** A message ready to be sent. */
export interface Sent {
  /** Flat `[name, value, …]`, with a length where there is a body. */
  readonly headers: string[];
  readonly bytes: Buffer;
}

/** Puts together what a test wrote down: text and bytes as they are, anything else as JSON. */
export function toMessage({ headers = {}, body }: Pick<TestReplyInit, "headers" | "body">): Sent {
  const flat = Object.entries(headers).flatMap(([name, value]) =>
    [value].flat().flatMap((line) => [name, String(line)]),
  );
  const has = (wanted: string): boolean =>
    flat.some((name, i) => i % 2 === 0 && name.toLowerCase() === wanted);
  const isJson = body !== undefined && typeof body !== "string" && !(body instanceof Uint8Array);
  const bytes =
    body === undefined ? Buffer.alloc(0) : Buffer.from(isJson ? JSON.stringify(body) : (body as string));
  if (isJson && !has("content-type")) flat.push("content-type", "application/json");
  if (bytes.length > 0 && !has("content-length")) flat.push("content-length", String(bytes.length));
  return { headers: flat, bytes };
}

/** @throws Error that shows what is there instead */
function parseJson(bytes: Buffer, what: string): unknown {
  const text = bytes.toString();
  try {
    return JSON.parse(text);
  } catch {
    const shown = text.length > 200 ? `${text.slice(0, 200)}…` : text;
    throw new Error(`The body of the ${what} is not JSON: ${JSON.stringify(shown)}`);
  }
}

export class ReceivedRequest implements UpstreamRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly #body: Buffer;

  /** @param raw flat `[name, value, …]` */
  constructor(method: string, url: string, raw: readonly string[], body: Buffer) {
    this.method = method;
    this.url = url;
    this.headers = Object.fromEntries(toHeaders(raw));
    this.#body = body;
  }

  text(): string {
    return this.#body.toString();
  }

  json(): unknown {
    return parseJson(this.#body, "request");
  }

  bytes(): Uint8Array {
    return new Uint8Array(this.#body);
  }
}

export class ReceivedReply implements TestResponse {
  readonly status: number;
  readonly headers: Headers;
  readonly #body: Buffer;

  /** @param raw flat `[name, value, …]` */
  constructor(status: number, raw: readonly string[], body: Buffer) {
    this.status = status;
    this.headers = toHeaders(raw);
    this.#body = body;
  }

  async text(): Promise<string> {
    return this.#body.toString();
  }

  async json(): Promise<unknown> {
    return parseJson(this.#body, "reply");
  }

  async bytes(): Promise<Uint8Array> {
    return new Uint8Array(this.#body);
  }
}

function toHeaders(raw: readonly string[]): Headers {
  const headers = new Headers();
  for (let i = 0; i < raw.length; i += 2) headers.append(raw[i]!, raw[i + 1]!);
  return headers;
}
