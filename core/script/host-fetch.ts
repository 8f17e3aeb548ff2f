/** `fetch` for scripts: requests to granted hosts, each with a limit on its time and on what comes back. */
import type * as http from "node:http";
import { Agent as TlsAgent, request as requestTls } from "node:https";
import { BodyTooLarge } from "../body.ts";
import { decode, UnknownCoding } from "../content-coding.ts";
import { isHopByHop } from "../headers.ts";
import { Agent, request as requestPlain } from "../node-http.ts";
import { AddressRefused, bareHost, FetchGuard, type Resolve } from "./host-fetch-guard.ts";
import { type FetchRequest, parseFetch, refused } from "./host-fetch-request.ts";
import type { HookRun } from "./hook-run.ts";
import type { FetchGrant } from "./script.ts";

/** How long a connection is kept that nobody uses, and how many of a host. */
const IDLE_MS = 5000;
const MOST_IDLE = 8;
/** Methods that may be sent once more, when a connection that was kept turns out to be closed. */
const REPEATABLE: readonly string[] = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"];
const WHY: Readonly<Record<string, string>> = {
  ENOTFOUND: "the name of the host cannot be resolved",
  EAI_AGAIN: "the name of the host cannot be resolved",
  ECONNREFUSED: "the connection was refused",
  ECONNRESET: "the connection was reset",
  EPIPE: "the connection was reset",
  ETIMEDOUT: "no connection could be made",
};

/** @param argument see {@link parseFetch}; gives what {@link renderReply} makes */
export async function fetchForScript(run: HookRun, argument: string): Promise<string> {
  const { fetch: client } = run.stage;
  const request = parseFetch(run, argument);
  if (client === undefined) {
    const hosts = JSON.stringify([request.url.host]);
    throw new Error(`fetch is not granted: add grants: { fetch: ${hosts} } to the stage`);
  }
  const { maxRequests } = client.grant;
  if (++run.fetches > maxRequests) throw refused(`a hook can make ${maxRequests} requests`);
  return client.send(request, run.signal);
}

/** What sends the requests of a stage. */
export interface ScriptFetch {
  readonly grant: FetchGrant;
  /**
   * Gives what {@link renderReply} makes.
   * @throws Error that says why not, in words for the author of a script
   */
  send(request: FetchRequest, signal: AbortSignal): Promise<string>;
  close(): void;
}

export type OpenFetch = (grant: FetchGrant) => ScriptFetch;

/** Sends requests as one grant allows it; connections are kept for the next ones of the same grant. */
export class FetchClient implements ScriptFetch {
  readonly grant: FetchGrant;
  readonly #guard: FetchGuard;
  readonly #agents: { readonly "http:": http.Agent; readonly "https:": TlsAgent };

  constructor(grant: FetchGrant, resolve?: Resolve) {
    this.grant = grant;
    this.#guard = new FetchGuard(grant, resolve);
    const options = {
      keepAlive: true,
      maxFreeSockets: MOST_IDLE,
      timeout: IDLE_MS,
      lookup: this.#guard.lookup,
    };
    this.#agents = { "http:": new Agent(options), "https:": new TlsAgent(options) };
  }

  async send(request: FetchRequest, signal: AbortSignal): Promise<string> {
    const { url } = request;
    if (!this.#guard.allowsHost(url)) {
      throw refused(`the host ${url.host} is not granted: add it to grants.fetch of the stage`);
    }
    if (!this.#guard.allowsLiteral(url)) throw whyNot(new AddressRefused(), url);
    const timeoutMs = Math.min(this.grant.timeoutMs, request.timeoutMs ?? Number.POSITIVE_INFINITY);
    const deadline = new Deadline(timeoutMs, signal);
    try {
      const response = await this.#open(request, deadline);
      const body = await this.#read(response);
      return renderReply(response.statusCode ?? 0, response.rawHeaders, body);
    } catch (error) {
      throw whyNot(deadline.error ?? error, url);
    } finally {
      deadline.end();
    }
  }

  close(): void {
    this.#agents["http:"].destroy();
    this.#agents["https:"].destroy();
  }

  async #open(request: FetchRequest, deadline: Deadline): Promise<http.IncomingMessage> {
    for (;;) {
      const sent = this.#send(request);
      deadline.watch(sent);
      try {
        return await answerOf(sent);
      } catch (error) {
        const isStale = sent.reusedSocket && (error as NodeJS.ErrnoException).code === "ECONNRESET";
        if (!isStale || deadline.error !== undefined || !REPEATABLE.includes(request.method)) throw error;
      }
    }
  }

  #send({ url, method, headers, body }: FetchRequest): http.ClientRequest {
    const isTls = url.protocol === "https:";
    const sent = (isTls ? requestTls : requestPlain)({
      agent: isTls ? this.#agents["https:"] : this.#agents["http:"],
      hostname: bareHost(url.hostname),
      port: url.port || (isTls ? 443 : 80),
      path: url.pathname + url.search,
      method,
      headers: body === undefined ? headers : { ...headers, "content-length": String(body.length) },
    });
    return sent.end(body);
  }

  async #read(response: http.IncomingMessage): Promise<Buffer> {
    const { maxResponseBytes } = this.grant;
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of response as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      if ((length += chunk.length) > maxResponseBytes) throw new BodyTooLarge(maxResponseBytes);
    }
    try {
      return await decode(Buffer.concat(chunks), response.headers["content-encoding"], maxResponseBytes);
    } catch (error) {
      if (error instanceof BodyTooLarge) throw error;
      const isUnknown = error instanceof UnknownCoding;
      throw refused(`the reply's content coding ${isUnknown ? "is not known" : "cannot be undone"}`);
    }
  }
}

/** The end of a request's time: because it is over, or because nobody waits any more. */
class Deadline {
  error: Error | undefined;
  readonly #signal: AbortSignal;
  readonly #timer: NodeJS.Timeout;
  readonly #onAbort = (): void => this.#stop("nobody waits for it any more");
  #sent: http.ClientRequest | undefined;

  constructor(ms: number, signal: AbortSignal) {
    this.#signal = signal;
    this.#timer = setTimeout(() => this.#stop(`it was not done within ${ms} ms`), ms);
    signal.addEventListener("abort", this.#onAbort);
    if (signal.aborted) this.#onAbort();
  }

  /** Destroys this one when the time is over. */
  watch(sent: http.ClientRequest): void {
    this.#sent = sent;
    if (this.error !== undefined) sent.destroy(this.error);
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#signal.removeEventListener("abort", this.#onAbort);
  }

  #stop(why: string): void {
    this.error = refused(why);
    this.#sent?.destroy(this.error);
  }
}

function answerOf(sent: http.ClientRequest): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    sent.once("response", resolve);
    sent.on("error", reject); // for good: a connection may break after its answer came
    // The answer switched to another protocol, which nobody listens to: no error is told then.
    sent.once("close", () => reject(new Error("closed")));
  });
}

/**
 * A reply as the sandbox takes it: the status, how long the headers are, the headers, and the body, a character for each
 * byte. What told of the connection and of the coding is true no more, and left out.
 */
export function renderReply(status: number, raw: readonly string[], body: Buffer): string {
  let block = "";
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!.toLowerCase();
    if (isHopByHop(name) || name === "content-encoding" || name === "content-length") continue;
    block += `\n${name}:${raw[i + 1]!}`;
  }
  return `${status} ${block.length} ${block}${body.toString("latin1")}`;
}

/** Says why in words that tell nothing of the network: no address, and nothing of what was sent. */
function whyNot(error: unknown, { hostname }: URL): Error {
  if (error instanceof AddressRefused) {
    return refused(
      `${hostname} is not at a public address: add its address to grants.fetch.privateAddresses`,
    );
  }
  if (error instanceof BodyTooLarge) return refused(`the reply is larger than ${error.maxBytes} bytes`);
  const { code = "", message } = error as NodeJS.ErrnoException;
  if (message.startsWith("fetch failed: ")) return error as Error;
  if (code.startsWith("HPE_")) return refused("the reply is not valid HTTP");
  if (/CERT|^UNABLE_TO_/.test(code)) return refused(`the certificate of ${hostname} is not valid (${code})`);
  return refused(WHY[code] ?? `the connection broke${code === "" ? "" : ` (${code})`}`);
}
