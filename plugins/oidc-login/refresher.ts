/**
 * Renews sessions: each once, however many requests come with it. Providers take a refresh token once, and one that
 * comes again ends the session; so what came of it is remembered for requests that were on their way meanwhile.
 */
import { AskError } from "../../core/asker.ts";
import type { Clock, SharedCells } from "../../core/plugin.ts";
import type { Grant, Provider } from "./provider.ts";
import { claimsOf, renewSession, type Session } from "./session.ts";

/** How long a request may be on its way with the session as it was. */
const GRACE_MS = 60_000;
const MOST_REMEMBERED = 2000;
/** The provider is left alone for so long when it could not be asked. */
const COOLDOWN_MS = 5000;

/** `over` when the provider does not let the user go on, `elsewhere` when another thread renews it. */
export type Renewal = Session | "over" | "unavailable" | "elsewhere";

interface Remembered {
  readonly renewal: Promise<Renewal>;
  readonly until: number;
}

export class Refresher {
  readonly #provider: Provider;
  readonly #clock: Clock;
  readonly #cells: SharedCells;
  /** In the order in which they end. */
  readonly #remembered = new Map<string, Remembered>();
  #notBefore = Number.NEGATIVE_INFINITY;

  /** @param cells tell threads which of them renews a session */
  constructor(provider: Provider, clock: Clock, cells: SharedCells) {
    this.#provider = provider;
    this.#clock = clock;
    this.#cells = cells;
  }

  /** @param keepsToken whether the session keeps the access token */
  renew(session: Session, keepsToken: boolean): Promise<Renewal> {
    const key = `oidc-login ${session.id} ${session.endsAt}`;
    const known = this.#remembered.get(key);
    if (known !== undefined) return known.renewal;
    const now = this.#clock.monotonic();
    if (now < this.#notBefore) return Promise.resolve("unavailable");
    this.#forget(now);
    if (!this.#take(key, now)) return Promise.resolve("elsewhere");
    const renewal = this.#ask(session, keepsToken).then((renewed) => {
      if (renewed === "unavailable") this.#giveBack(key);
      return renewed;
    });
    this.#remembered.set(key, { renewal, until: now + GRACE_MS });
    return renewal;
  }

  async #ask(session: Session, keepsToken: boolean): Promise<Renewal> {
    const form = { grant_type: "refresh_token", refresh_token: session.refreshToken! };
    let grant: Grant | undefined;
    try {
      grant = await this.#provider.redeem(form);
    } catch (error) {
      if (!(error instanceof AskError)) throw error;
      return "unavailable";
    }
    if (grant === undefined) return "over";
    const claims = grant.idToken === undefined ? undefined : await this.#provider.verify(grant.idToken);
    if (claims === "invalid") return "over";
    // The refresh token is used up: a new ID token that cannot be checked now is not worth the session.
    const isChecked = claims !== undefined && claims !== "unavailable";
    // OpenID Connect Core 1.0 section 12.2
    if (isChecked && claims["sub"] !== claimsOf(session)["sub"]) return "over";
    const taken = isChecked ? grant : { ...grant, idToken: undefined };
    return renewSession(session, taken, keepsToken, this.#clock.now());
  }

  /** True when no other thread renews it. */
  #take(key: string, now: number): boolean {
    const cell = this.#cells.locate(key, GRACE_MS, now);
    return cell === -1 || Atomics.compareExchange(this.#cells.words, cell, 0, 1) === 0;
  }

  #giveBack(key: string): void {
    const now = this.#clock.monotonic();
    this.#remembered.delete(key);
    this.#notBefore = now + COOLDOWN_MS;
    const cell = this.#cells.find(key, now);
    if (cell !== -1) Atomics.store(this.#cells.words, cell, 0);
  }

  #forget(now: number): void {
    for (const [key, { until }] of this.#remembered) {
      if (now < until && this.#remembered.size < MOST_REMEMBERED) return;
      this.#remembered.delete(key);
    }
  }
}
