/** Requests that a cache makes by itself, as a client of its route would, from the cache on. */
import { createExchange } from "../../../core/exchange.ts";
import {
  type Body,
  type Exchange,
  type Handler,
  HeaderList,
  type Host,
  type Reply,
  type Sink,
} from "../../../core/plugin.ts";
import type { Keys } from "../key.ts";
import type { WarmOptions } from "../../../core/warm-options.ts";
import { MOST_BYTES } from "./sitemap.ts";
import type { Sender } from "./warmer.ts";

/** Longest that one takes, with its body. */
const LONGEST_MS = 60_000;

export class OwnRequests implements Sender {
  readonly #handler: Handler;
  readonly #keys: Keys;
  readonly #host: Pick<Host, "adopt" | "log">;

  constructor(handler: Handler, keys: Keys, host: Pick<Host, "adopt" | "log">) {
    this.#handler = handler;
    this.#keys = keys;
    this.#host = host;
  }

  fill(url: string, headers: WarmOptions["headers"], signal: AbortSignal): Promise<string | undefined> {
    return this.#ask(url, headers, signal, async (reply) => {
      if (reply.body !== null) await takeAll(reply.body);
      const status = reply.headers.getAll("cache-status").at(-1) ?? "";
      if (/; (?:stored|hit)\b/.test(status)) return undefined;
      const detail = /detail=([\w-]+)/.exec(status)?.[1] ?? "not stored";
      return `status ${reply.status}, ${detail}`;
    });
  }

  read(url: string, headers: WarmOptions["headers"], signal: AbortSignal): Promise<Buffer> {
    return this.#ask(url, headers, signal, async (reply) => {
      if (reply.status !== 200) throw new Error(`status ${reply.status}`);
      return reply.readBody(MOST_BYTES);
    });
  }

  async #ask<T>(
    url: string,
    headers: WarmOptions["headers"],
    signal: AbortSignal,
    use: (reply: Reply) => Promise<T>,
  ): Promise<T> {
    const x = this.#open(url, headers);
    if (x === undefined) throw new Error("not a URL of this route");
    const { promise: given, reject } = Promise.withResolvers<never>();
    x.onAbort({ abort: reject });
    const stop = (): void => x.abort(new Error("stopped"));
    const timer = setTimeout(() => x.abort(new Error(`no whole reply in ${LONGEST_MS} ms`)), LONGEST_MS);
    signal.addEventListener("abort", stop);
    try {
      return await Promise.race([given, Promise.resolve(this.#handler(x)).then(use)]);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
      x.end();
    }
  }

  #open(text: string, headers: WarmOptions["headers"]): Exchange | undefined {
    const url = URL.parse(text, this.#keys.tellsHosts ? undefined : "http://localhost");
    if (url === null || !/^https?:$/.test(url.protocol)) return undefined;
    const x = createExchange({
      log: this.#host.log,
      target: url.pathname + url.search,
      authority: url.host,
      scheme: url.protocol === "https:" ? "https" : "http",
      headers: new HeaderList(Object.entries(headers).flat()),
    });
    return this.#host.adopt(x) ? x : undefined;
  }
}

/** Resolves when all of a body has come. */
function takeAll(body: Body): Promise<void> {
  return new Promise((resolve, reject) => {
    const sink: Sink = { write: () => true, end: () => resolve(), fail: reject };
    body.start(sink);
  });
}
