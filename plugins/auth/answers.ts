/**
 * What somebody else says of credentials: asked once for all who want to know the same, and remembered for a while.
 * It outlives a swap that leaves the options as they are.
 */
import { type Asker, AskError } from "../../core/asker.ts";
import type { Clock, Consumer } from "../../core/plugin.ts";
import type { Finding } from "./method.ts";
import { Recent } from "../../core/recent.ts";

const MOST_ACCEPTED = 20_000;
const MOST_ACCEPTED_BYTES = 16 * 1024 ** 2;
const MOST_REFUSED = 20_000;
/** Questions under way. Whoever likes can have one asked. */
const MOST_PENDING = 500;
/** Refusals are remembered for no longer: somebody may have been let in just now. */
const MOST_REFUSED_MS = 5000;

export interface Judgement {
  readonly finding: Consumer | "invalid" | "forbidden";
  /** Milliseconds since the Unix epoch from when on it is not to be believed, if there is such a time. */
  readonly endsAt?: number;
  /** About how much memory it takes. */
  readonly bytes: number;
}

interface Remembered extends Judgement {
  /** On the clock that never goes back. */
  readonly freshUntil: number;
}

export abstract class Answers<Request> {
  protected readonly clock: Clock;
  readonly #asker: Asker;
  readonly #keepMs: number;
  readonly #accepted = new Recent<Remembered>(MOST_ACCEPTED, MOST_ACCEPTED_BYTES, ({ bytes }) => bytes);
  /** Apart from the others, which wrong ones must not push out. */
  readonly #refused = new Recent<Remembered>(MOST_REFUSED, Number.POSITIVE_INFINITY, () => 0);
  readonly #pending = new Map<string, Promise<Finding>>();

  constructor(asker: Asker, keepMs: number, clock: Clock) {
    this.#asker = asker;
    this.#keepMs = keepMs;
    this.clock = clock;
  }

  /**
   * Asks.
   * @throws AskError
   */
  protected abstract question(request: Request, digest: string): Promise<Judgement>;

  /** @param digest of all that the answer may depend on */
  find(digest: string, request: Request): Finding | Promise<Finding> {
    const known = this.#recall(this.#accepted, digest) ?? this.#recall(this.#refused, digest);
    if (known !== undefined) return known.finding;
    const pending = this.#pending.get(digest);
    if (pending !== undefined) return pending;
    if (this.#pending.size >= MOST_PENDING) return "unavailable";
    const finding = this.#ask(digest, request).finally(() => this.#pending.delete(digest));
    this.#pending.set(digest, finding);
    return finding;
  }

  close(): void {
    this.#asker.close();
  }

  #recall(from: Recent<Remembered>, digest: string): Remembered | undefined {
    const known = from.get(digest);
    if (known === undefined || this.clock.monotonic() >= known.freshUntil) return undefined;
    return known.endsAt !== undefined && this.clock.now() >= known.endsAt ? undefined : known;
  }

  async #ask(digest: string, request: Request): Promise<Finding> {
    const askedAt = this.clock.monotonic();
    try {
      const judgement = await this.question(request, digest);
      const isRefused = typeof judgement.finding === "string";
      const keepMs = isRefused ? Math.min(this.#keepMs, MOST_REFUSED_MS) : this.#keepMs;
      if (keepMs > 0) {
        const into = isRefused ? this.#refused : this.#accepted;
        into.set(digest, { ...judgement, freshUntil: askedAt + keepMs });
      }
      return judgement.finding;
    } catch (error) {
      if (error instanceof AskError) return "unavailable";
      throw error;
    }
  }
}
