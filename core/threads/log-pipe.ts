/** Takes log lines of a data thread to where the control thread writes them, many at a time. */
import type { Outlet } from "./calls.ts";

/** Characters that are collected before they are sent at once; less waits for the next tick of the clock. */
const SEND_CHARS = 8192;
const SEND_MS = 50;

export class LogPipe {
  readonly #outlet: Outlet;
  readonly #timer: NodeJS.Timeout;
  #pending = "";

  constructor(outlet: Outlet) {
    this.#outlet = outlet;
    this.#timer = setInterval(() => this.send(), SEND_MS);
    this.#timer.unref();
  }

  /** Takes a line, its line break included. */
  write(line: string): void {
    this.#pending += line;
    if (this.#pending.length >= SEND_CHARS) this.send();
  }

  /** Sends what there is. */
  send(): void {
    if (this.#pending === "") return;
    const log = this.#pending;
    this.#pending = "";
    this.#outlet.postMessage({ log });
  }

  close(): void {
    clearInterval(this.#timer);
    this.send();
  }
}
