/** Asks the APIs of Consul and Kubernetes. These are few, long requests: a connection each, none kept. */
import type { IncomingMessage } from "node:http";
import { request as requestHttps } from "node:https";
import type { SecureContext } from "node:tls";
import { ConfigError } from "../../errors.ts";
import { request as requestHttp } from "../../node-http.ts";
import { certificatesProblem } from "../../certificates.ts";
import { createTlsContext } from "../tls.ts";

/** Longest answer that is read. */
const MAX_CHARS = 32 * 1024 * 1024;
/** How long a connection may take to open. */
const CONNECT_MS = 5000;

/** What came is not what such an API sends. */
export class AnswerError extends Error {}

export interface ApiRequest {
  readonly headers: Record<string, string>;
  /** CA certificates, PEM; the system's by default. */
  readonly ca: string | undefined;
  /** How long nothing may come. */
  readonly idleMs: number;
  readonly signal: AbortSignal;
}

export class ApiClient {
  #ca: string | undefined;
  /** Made for the CA above; dear to make. */
  #tls: SecureContext | undefined;

  /** Sends a GET; resolves with the reply's head. */
  get(url: URL, { headers, ca, idleMs, signal }: ApiRequest): Promise<IncomingMessage> {
    const options = { headers: { accept: "application/json", ...headers }, signal, agent: false } as const;
    const isTls = url.protocol === "https:";
    return new Promise((resolve, reject) => {
      const tls: object = isTls ? { secureContext: this.#contextOf(ca) } : {};
      const request = (isTls ? requestHttps : requestHttp)(url, { ...options, ...tls });
      const slow = setTimeout(() => {
        request.destroy(new Error(`no connection to ${url.origin} within ${CONNECT_MS / 1000} s`));
      }, CONNECT_MS);
      request.on("socket", (socket) => {
        socket.setKeepAlive(true, 15_000);
        socket.once(isTls ? "secureConnect" : "connect", () => clearTimeout(slow));
      });
      request.setTimeout(idleMs, () => {
        request.destroy(new Error(`nothing came from ${url.origin} for ${idleMs / 1000} s`));
      });
      request.on("error", (error: NodeJS.ErrnoException) => {
        // A host with several addresses fails with an error for each, and no message.
        reject(error.message === "" ? new Error(`${error.code} ${url.host}`, { cause: error }) : error);
      });
      request.on("close", () => clearTimeout(slow));
      request.on("response", resolve);
      request.end();
    });
  }

  #contextOf(ca: string | undefined): SecureContext {
    if (this.#tls === undefined || ca !== this.#ca) {
      this.#tls = createTlsContext(ca === undefined ? {} : { ca });
      this.#ca = ca;
    }
    return this.#tls;
  }
}

/** Reads a whole body. */
export async function readText(message: IncomingMessage): Promise<string> {
  const pieces: string[] = [];
  let length = 0;
  message.setEncoding("utf8");
  for await (const chunk of message as AsyncIterable<string>) {
    pieces.push(chunk);
    length += chunk.length;
    if (length > MAX_CHARS) throw new AnswerError("the answer is too large");
  }
  return pieces.join("");
}

/** Reads a body as it comes: the lines that are complete with each piece of it. */
export async function* readLines(message: IncomingMessage): AsyncGenerator<string[]> {
  let pieces: string[] = [];
  let length = 0;
  message.setEncoding("utf8");
  for await (const chunk of message as AsyncIterable<string>) {
    const end = chunk.lastIndexOf("\n") + 1;
    if (end > 0) {
      const lines = (pieces.join("") + chunk.slice(0, end)).split("\n");
      pieces = [];
      length = 0;
      yield lines.filter((line) => line.trim() !== "");
    }
    pieces.push(chunk.slice(end));
    length += chunk.length - end;
    if (length > MAX_CHARS) throw new AnswerError("the answer is too large");
  }
}

/** @throws Error when it is not JSON */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new AnswerError("the answer is not valid JSON");
  }
}

/** The start of an answer, in one line, for a message. */
export function excerpt(text: string): string {
  return text
    .replace(/[\s\p{C}]+/gu, " ")
    .trim()
    .slice(0, 200);
}

/** @throws ConfigError at `pointer` when these are not certificates */
export function checkCa(ca: string | undefined, pointer: string): void {
  const problem = ca === undefined ? undefined : certificatesProblem(ca);
  if (problem !== undefined) throw new ConfigError(problem, pointer, "CONFIG_CERTIFICATE");
}
