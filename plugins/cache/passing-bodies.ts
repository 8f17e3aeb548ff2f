/**
 * Memory that bodies take beside what is kept: those on their way to be stored, and those that went from memory while
 * clients still read them.
 */
import type { EndListener } from "../../core/plugin.ts";

/** Any reply that is under way may hold less than this; nobody counts it. */
export const LEAST_LENT_BYTES = 64 * 1024;

/** A large body that is kept, or being read. */
class Lent {
  readonly bytes: number;
  kept = 0;
  readers = 0;

  constructor(bytes: number) {
    this.bytes = bytes;
  }

  /** Bytes that it takes and nobody else counts. */
  get uncounted(): number {
    return this.kept === 0 && this.readers > 0 ? this.bytes : 0;
  }
}

export class PassingBodies {
  /** Beyond, nothing more is stored, so that what is read at leisure cannot fill the machine. */
  maxBytes: number;
  bytes = 0;
  readonly #lent = new Map<Buffer, Lent>();

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  /** A body is in memory from now on, and counted there. */
  keep(body: Buffer): void {
    this.#change(body, 1, 0);
  }

  /** It went from memory: what is read of it counts here. */
  release(body: Buffer): void {
    this.#change(body, -1, 0);
  }

  /** A body is being read until the loan ends. */
  lend(body: Buffer): Loan {
    this.#change(body, 0, 1);
    return new Loan(this, body);
  }

  giveBack(body: Buffer): void {
    this.#change(body, 0, -1);
  }

  #change(body: Buffer, kept: number, readers: number): void {
    if (body.length < LEAST_LENT_BYTES) return;
    let lent = this.#lent.get(body);
    if (lent === undefined) this.#lent.set(body, (lent = new Lent(body.length)));
    this.bytes -= lent.uncounted;
    lent.kept += kept;
    lent.readers += readers;
    this.bytes += lent.uncounted;
    if (lent.kept === 0 && lent.readers === 0) this.#lent.delete(body);
  }
}

/** Ends with the exchange that reads, or when it is told to. */
export class Loan implements EndListener {
  readonly #bodies: PassingBodies;
  #body: Buffer | undefined;

  constructor(bodies: PassingBodies, body: Buffer) {
    this.#bodies = bodies;
    this.#body = body;
  }

  onExchangeEnd(): void {
    if (this.#body !== undefined) this.#bodies.giveBack(this.#body);
    this.#body = undefined;
  }
}
