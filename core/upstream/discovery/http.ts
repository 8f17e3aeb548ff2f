/** Asks the APIs of Consul and Kubernetes. These are few, long requests: a connection each, none kept. */
import { type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { createSecureContext } from "node:tls";
import { ConfigError } from "../../errors.ts";

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

/** Sends a GET; resolves with the reply's head. */
export function get(url: URL, { headers, ca, idleMs, signal }: ApiRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const common = { headers: { accept: "application/json", ...headers }, signal, agent: false } as const;
    const request =
      url.protocol === "https:"
        ? requestHttps(url, { ...common, ...(ca === undefined ? {} : { ca }) })
        : requestHttp(url, common);
    const slow = setTimeout(() => {
      request.destroy(new Error(`no connection to ${url.origin} within ${CONNECT_MS / 1000} s`));
    }, CONNECT_MS);
    request.on("socket", (socket) => {
      socket.setKeepAlive(true, 15_000);
      socket.once(url.protocol === "https:" ? "secureConnect" : "connect", () => clearTimeout(slow));
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

/** Reads a whole body. */
export async function readText(message: IncomingMessage): Promise<string> {
  let text = "";
  message.setEncoding("utf8");
  for await (const chunk of message as AsyncIterable<string>) {
    text += chunk;
    if (text.length > MAX_CHARS) throw new AnswerError("the answer is too large");
  }
  return text;
}

/** Reads a body as it comes: the lines that are complete with each piece of it. */
export async function* readLines(message: IncomingMessage): AsyncGenerator<string[]> {
  let rest = "";
  message.setEncoding("utf8");
  for await (const chunk of message as AsyncIterable<string>) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop()!;
    if (rest.length > MAX_CHARS) throw new AnswerError("the answer is too large");
    if (lines.length > 0) yield lines.filter((line) => line.trim() !== "");
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
  if (ca === undefined) return;
  try {
    if (!ca.includes("-----BEGIN ")) throw new Error("there is no -----BEGIN CERTIFICATE-----");
    createSecureContext({ ca });
  } catch {
    throw new ConfigError("This is not a certificate in PEM form", pointer);
  }
}
