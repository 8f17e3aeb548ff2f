/** Waits between attempts, and what is done with replies that nobody gets. */
import type { Abortable, Body, EndListener, Exchange, Sink } from "../../core/plugin.ts";

/** Waits; an exchange that is given up waits no longer. @throws what it was given up with */
export function pause(x: Exchange, ms: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const mark = x.abortMark;
    const timer = setTimeout(() => {
      resolve();
      x.abortSince(mark, new Error("the wait is over")); // forgets what is registered below
    }, ms);
    const abortable: Abortable = {
      abort(reason) {
        clearTimeout(timer);
        reject(reason);
      },
    };
    x.onAbort(abortable);
  });
}

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
