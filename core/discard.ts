/** What is done with replies that nobody gets. */
import type { Body, Sink } from "./body.ts";
import type { EndListener, Exchange } from "./exchange.ts";

/** Most that is read of a reply that nobody gets: less than a new connection costs. */
const MAX_DRAIN_BYTES = 64 * 1024;

/** Reads what is left of a small body, so that its connection can be used again; cancels a large one. */
export function discard(x: Exchange, body: Body | null): void {
  if (body === null) return;
  if (body.length !== undefined && body.length > MAX_DRAIN_BYTES) return body.cancel();
  const drain = new Drain(body);
  x.onEnd(drain);
  body.start(drain);
}

class Drain implements Sink, EndListener {
  readonly #body: Body;
  #bytes = 0;
  #done = false;

  constructor(body: Body) {
    this.#body = body;
  }

  write(chunk: Buffer): boolean {
    this.#bytes += chunk.length;
    if (this.#bytes > MAX_DRAIN_BYTES) this.onExchangeEnd();
    return true;
  }

  end(): void {
    this.#done = true;
  }

  fail(): void {
    this.#done = true;
  }

  onExchangeEnd(): void {
    if (this.#done) return;
    this.#done = true;
    this.#body.cancel();
  }
}
