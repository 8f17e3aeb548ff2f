/**
 * Writes log lines to a file descriptor, many at a time, without ever making a request wait. pino's own
 * destination is not used because its `flushSync` never returns once the reader of a pipe is gone.
 */
import { write, writeSync } from "node:fs";

/** Bytes that are collected before they are written at once; less waits for the next tick of the clock. */
const FLUSH_BYTES = 8192;
const FLUSH_MS = 100;
/** Characters kept while the reader is slow; lines beyond are dropped and counted. */
const MAX_PENDING = 16 * 1024 * 1024;
/** How long {@link LogOutput.flush} tries when the reader is slow, in milliseconds. */
const FLUSH_LIMIT_MS = 1000;

export class LogOutput {
  readonly #fd: number;
  readonly #timer: NodeJS.Timeout;
  #pending = "";
  #writing: Buffer | undefined;
  #dropped = 0;
  #broken = false;

  constructor(fd: number) {
    this.#fd = fd;
    this.#timer = setInterval(() => this.#send(), FLUSH_MS);
    this.#timer.unref();
  }

  /** Takes a line, its line break included. */
  write(line: string): void {
    if (this.#broken) return;
    if (this.#pending.length > MAX_PENDING) {
      this.#dropped++;
      return;
    }
    if (this.#dropped > 0) {
      this.#pending += `${JSON.stringify({ level: "warn", dropped: this.#dropped, msg: "log lines were dropped" })}\n`;
      this.#dropped = 0;
    }
    this.#pending += line;
    if (this.#pending.length >= FLUSH_BYTES) this.#send();
  }

  /** Writes out everything, giving a slow reader a moment; then nothing is left for {@link flush}. */
  async drain(): Promise<void> {
    const deadline = performance.now() + FLUSH_LIMIT_MS;
    while ((this.#writing !== undefined || this.#pending !== "") && !this.#broken) {
      if (performance.now() > deadline) return;
      this.#send();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  /**
   * Writes out everything at once, for a process that ends now. What {@link write} has handed to the system but
   * not heard of may come twice; {@link drain} avoids that where there is time.
   */
  flush(): void {
    let rest = Buffer.concat([this.#writing ?? Buffer.alloc(0), Buffer.from(this.#pending)]);
    this.#pending = "";
    this.#writing = undefined;
    const deadline = performance.now() + FLUSH_LIMIT_MS;
    while (rest.length > 0 && !this.#broken) {
      try {
        rest = rest.subarray(writeSync(this.#fd, rest));
      } catch (error) {
        const isBusy = (error as NodeJS.ErrnoException).code === "EAGAIN";
        this.#broken = !isBusy || performance.now() > deadline;
      }
    }
  }

  #send(): void {
    if (this.#writing !== undefined || this.#pending === "" || this.#broken) return;
    this.#writing = Buffer.from(this.#pending);
    this.#pending = "";
    this.#continue();
  }

  #continue(): void {
    const bytes = this.#writing;
    if (bytes === undefined) return;
    write(this.#fd, bytes, (error, written) => {
      if (this.#writing !== bytes) return; // flush() took over
      if (error !== null && error.code !== "EAGAIN") {
        // The reader is gone: there is nowhere left to say so.
        this.#broken = true;
        this.#writing = undefined;
        clearInterval(this.#timer);
        return;
      }
      const rest = error === null ? bytes.subarray(written) : bytes;
      this.#writing = rest.length === 0 ? undefined : rest;
      if (error !== null) setTimeout(() => this.#continue(), 10);
      else if (rest.length > 0) this.#continue();
      else if (this.#pending.length >= FLUSH_BYTES) this.#send();
    });
  }
}
