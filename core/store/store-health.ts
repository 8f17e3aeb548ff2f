/**
 * What stages of a thread know of a store: whether it is worth asking. All of a plugin that ask it in the same time
 * share one. Without it each request would wait for the store in vain.
 */
import type { Log } from "../exchange.ts";

/** So many failures in a row are no accident... */
const FAILURES = 3;
/** ...and without an answer for so long the store is away; a cluster that has lost a part answers for other keys. */
const SILENT_MS = 250;
/** Time between two tries of a store that is away, and of keys that had no answer. */
const RETRY_MS = 250;
/** Trouble with keys is forgotten when there was none for so long, and no try. */
const CALM_MS = 2 * RETRY_MS;
/** Keys are told apart by so many places. */
const PLACES = 256;

/** What the log says when the store is given up, and when it is asked again. */
export interface HealthWords {
  readonly away: string;
  readonly back: string;
}

export class StoreHealth {
  readonly #store: string;
  readonly #words: HealthWords;
  #isAway = false;
  #failures = 0;
  #answeredAt = Number.NEGATIVE_INFINITY;
  #triedAt = Number.NEGATIVE_INFINITY;
  #troubledUntil = Number.NEGATIVE_INFINITY;
  /** Failures in a row, by place. */
  readonly #failuresAt = new Uint8Array(PLACES);
  /** When the last of those failed, or was tried again. */
  readonly #triedKeysAt = new Float64Array(PLACES);

  constructor(store: string, words: HealthWords) {
    this.#store = store;
    this.#words = words;
  }

  get isAway(): boolean {
    return this.#isAway;
  }

  /** Whether to ask for a key. While that is in vain one request may now and then, and the others do without. */
  mayAsk(key: string, nowMs: number): boolean {
    if (this.#isAway) {
      if (nowMs - this.#triedAt < RETRY_MS) return false;
      this.#triedAt = nowMs;
      return true;
    }
    if (nowMs >= this.#troubledUntil) return true;
    const place = placeOf(key);
    if (this.#failuresAt[place]! < FAILURES) return true;
    if (nowMs - this.#triedKeysAt[place]! < RETRY_MS) return false;
    this.#triedKeysAt[place] = nowMs;
    this.#troubledUntil = nowMs + CALM_MS; // a try may take long to fail
    return true;
  }

  /** Whoever might ask had no need to: another one may. */
  notAsked(key: string, nowMs: number): void {
    if (this.#isAway) this.#triedAt = nowMs - RETRY_MS;
    else if (nowMs < this.#troubledUntil) this.#triedKeysAt[placeOf(key)] = nowMs - RETRY_MS;
  }

  /** @param log of whoever asked */
  answered(key: string, nowMs: number, log: Log): void {
    this.#answeredAt = nowMs;
    this.#failures = 0;
    if (nowMs < this.#troubledUntil) this.#failuresAt[placeOf(key)] = 0;
    if (!this.#isAway) return;
    this.#isAway = false;
    this.#failuresAt.fill(0);
    log.info({ store: this.#store }, this.#words.back);
  }

  /**
   * @param reason for people
   * @param log of whoever asked
   */
  failed(key: string, nowMs: number, reason: string, log: Log): void {
    if (nowMs >= this.#troubledUntil) this.#failuresAt.fill(0);
    this.#troubledUntil = nowMs + CALM_MS;
    const place = placeOf(key);
    this.#failuresAt[place] = Math.min(this.#failuresAt[place]! + 1, FAILURES);
    this.#triedKeysAt[place] = nowMs;
    this.#failures++;
    if (this.#isAway || this.#failures < FAILURES || nowMs - this.#answeredAt < SILENT_MS) return;
    this.#isAway = true;
    this.#triedAt = nowMs;
    log.warn({ store: this.#store, reason }, this.#words.away);
  }
}

function placeOf(key: string): number {
  let hash = 0;
  for (let i = 0; i < key.length; i++) hash = (Math.imul(hash, 31) + key.charCodeAt(i)) | 0;
  return (hash ^ (hash >>> 16)) & (PLACES - 1);
}
