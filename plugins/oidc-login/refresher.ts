/**
 * Renews sessions: each once, however many requests come with it, to whichever thread. Providers take a refresh token
 * once, and one that comes again ends the session; so what came of it is told to all threads, which remember it for
 * requests that were on their way meanwhile.
 */
import { AskError } from "../../core/asker.ts";
import type { ChannelListener, Clock, SharedState, ThreadChannel } from "../../core/plugin.ts";
import type { Grant, Provider } from "./provider.ts";
import type { SharedRenewals } from "./shared-renewals.ts";
import { claimsOf, renewSession, type Session } from "./session.ts";

/** How long a request may be on its way with the session as it was. */
export const GRACE_MS = 60_000;
const MOST_REMEMBERED = 2000;
/** The provider is left alone for so long when it could not be asked. */
const COOLDOWN_MS = 5000;

/** `over` when the provider does not let the user go on, `elsewhere` when another thread or gateway has it and says nothing. */
export type Renewal = Session | "over" | "unavailable" | "elsewhere";

interface Remembered {
  readonly renewal: Promise<Renewal>;
  readonly until: number;
}

/** What threads say to each other. */
interface Message {
  readonly key: string;
  readonly renewal: Renewal;
}

interface Waiting {
  resolve(renewal: Renewal): void;
  readonly timer: NodeJS.Timeout;
}

export interface RefresherInit {
  readonly provider: Provider;
  readonly clock: Clock;
  /** Its cells tell threads which of them renews a session. */
  readonly shared: SharedState;
  /** The same on all threads. */
  readonly topic: string;
  /** How long another thread may take. */
  readonly waitMs: number;
}

export class Refresher implements ChannelListener {
  readonly #provider: Provider;
  readonly #clock: Clock;
  readonly #cells: SharedState["counters"];
  readonly #waitMs: number;
  readonly #channel: ThreadChannel;
  readonly #waiting = new Map<string, Waiting>();
  /** In the order in which they end. */
  readonly #remembered = new Map<string, Remembered>();
  #notBefore = Number.NEGATIVE_INFINITY;

  constructor({ provider, clock, shared, topic, waitMs }: RefresherInit) {
    this.#provider = provider;
    this.#clock = clock;
    this.#cells = shared.counters;
    this.#waitMs = waitMs;
    this.#channel = shared.openChannel(topic, this);
  }

  /**
   * @param keepsToken whether the session keeps the access token
   * @param gateways where other gateways renew sessions too
   */
  renew(session: Session, keepsToken: boolean, gateways: SharedRenewals | undefined): Promise<Renewal> {
    const key = `oidc-login ${session.id} ${session.endsAt}`;
    const known = this.#remembered.get(key);
    if (known !== undefined) return known.renewal;
    const now = this.#clock.monotonic();
    if (now < this.#notBefore) return Promise.resolve("unavailable");
    const ask = (): Promise<Renewal> => this.#ask(session, keepsToken);
    const renewal = this.#take(key, now)
      ? this.#lead(key, gateways === undefined ? ask() : gateways.renew(key, ask))
      : this.#follow(key);
    this.#remember(key, renewal, now);
    return renewal;
  }

  onMessage(message: unknown): void {
    const { key, renewal } = message as Message;
    const now = this.#clock.monotonic();
    if (renewal === "unavailable") this.#giveUp(key, now);
    else if (renewal === "elsewhere") this.#remembered.delete(key);
    else this.#remember(key, Promise.resolve(renewal), now);
    this.#settle(key, renewal);
  }

  close(): void {
    this.#channel.close();
    for (const key of [...this.#waiting.keys()]) this.#settle(key, "elsewhere");
  }

  async #lead(key: string, asked: Promise<Renewal>): Promise<Renewal> {
    const renewal = await asked;
    const now = this.#clock.monotonic();
    if (renewal === "unavailable" || renewal === "elsewhere") {
      const cell = this.#cells.find(key, now);
      if (cell !== -1) Atomics.store(this.#cells.words, cell, 0);
    }
    if (renewal === "unavailable") this.#giveUp(key, now);
    else if (renewal === "elsewhere") this.#remembered.delete(key);
    this.#channel.post({ key, renewal } satisfies Message);
    return renewal;
  }

  /** What another thread says that came of it. */
  #follow(key: string): Promise<Renewal> {
    this.#settle(key, "elsewhere"); // when there are more than can be remembered
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#settle(key, "elsewhere"), this.#waitMs).unref();
      this.#waiting.set(key, { resolve, timer });
    });
  }

  #settle(key: string, renewal: Renewal): void {
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) return;
    clearTimeout(waiting.timer);
    this.#waiting.delete(key);
    waiting.resolve(renewal);
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

  #giveUp(key: string, now: number): void {
    this.#remembered.delete(key);
    this.#notBefore = now + COOLDOWN_MS;
  }

  #remember(key: string, renewal: Promise<Renewal>, now: number): void {
    for (const [old, { until }] of this.#remembered) {
      if (now < until && this.#remembered.size < MOST_REMEMBERED) break;
      this.#remembered.delete(old);
    }
    this.#remembered.delete(key);
    this.#remembered.set(key, { renewal, until: now + GRACE_MS });
  }
}
