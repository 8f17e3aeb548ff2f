/** The access token that one client has: asked for when it is needed, and again before it ends. */
import type { Answer } from "../../core/ask.ts";
import { AskError, type Asker } from "../../core/asker.ts";
import { parseObject } from "../../core/json-object.ts";
import type { OAuthServer } from "../../core/oauth-server.ts";
import type { Clock } from "../../core/plugin.ts";

/** Life of a token whose server does not say how long it is. */
const UNKNOWN_LIFE_MS = 300_000;
const MOST_LIFE_MS = 366 * 86_400_000;
/** A token is not used in the end of its life, in which it could end on the way: a tenth of it, but no more than this. */
const MOST_MARGIN_MS = 5000;
/** A part of its life, at random, after which it is renewed. Gateways that started together do not ask together. */
const RENEW_FROM = 0.75;
const RENEW_WITHIN = 0.1;
/** Younger tokens are not forgotten: an upstream that refuses all of them would have them asked for all the time. */
const LEAST_AGE_MS = 5000;
/** Wait after a failure; it doubles with each. */
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 10_000;

const MOST_CHARS = 16 * 1024;
/** RFC 6749 appendix A.12. */
const IS_TOKEN = /^[\x21-\x7e]+$/;

export interface Token {
  /** What `authorization` has. */
  readonly header: string;
  readonly askedAt: number;
  readonly renewAt: number;
  readonly endsAt: number;
}

export class Tokens {
  readonly #server: OAuthServer;
  readonly #form: Readonly<Record<string, string>>;
  readonly #asker: Asker;
  readonly #clock: Clock;
  readonly #random: () => number;
  #token: Token | undefined;
  #asking: Promise<Token | undefined> | undefined;
  #failures = 0;
  #notBefore = Number.NEGATIVE_INFINITY;

  constructor(
    server: OAuthServer,
    form: Readonly<Record<string, string>>,
    asker: Asker,
    host: { readonly clock: Clock; random(): number },
  ) {
    this.#server = server;
    this.#form = form;
    this.#asker = asker;
    this.#clock = host.clock;
    this.#random = () => host.random();
  }

  /** The token that is there, if it can be used. Has it renewed in the background when it is time. */
  current(): Token | undefined {
    const token = this.#token;
    if (token === undefined) return undefined;
    const now = this.#clock.monotonic();
    if (now >= token.renewAt) void this.#askUnlessWaiting(now);
    return now < token.endsAt ? token : undefined;
  }

  /** Asks for a token; undefined when none can be had now. */
  async obtain(): Promise<Token | undefined> {
    return this.#askUnlessWaiting(this.#clock.monotonic());
  }

  /** The upstream does not want it. */
  forget(token: Token): void {
    if (this.#token !== token || this.#clock.monotonic() - token.askedAt < LEAST_AGE_MS) return;
    this.#token = undefined;
  }

  close(): void {
    this.#asker.close();
  }

  /** Undefined while nothing is asked because that failed just now. */
  #askUnlessWaiting(now: number): Promise<Token | undefined> | undefined {
    if (this.#asking === undefined && now >= this.#notBefore) {
      this.#asking = this.#ask(now).finally(() => {
        this.#asking = undefined;
      });
    }
    return this.#asking;
  }

  async #ask(now: number): Promise<Token | undefined> {
    try {
      this.#token = await this.#server.post(this.#form, (answer) => this.#read(answer, now));
      this.#failures = 0;
      return this.#token;
    } catch (error) {
      if (!(error instanceof AskError)) throw error;
      const waitMs = Math.min(FIRST_WAIT_MS * 2 ** this.#failures++, LONGEST_WAIT_MS);
      this.#notBefore = this.#clock.monotonic() + waitMs;
      return undefined;
    }
  }

  #read({ status, body }: Answer, askedAt: number): Token {
    if (status !== 200) throw new Error(`the answer has status ${status}${errorOf(body)}`);
    const { access_token: token, token_type: type, expires_in: life } = parseObject(body);
    if (typeof type !== "string" || type.toLowerCase() !== "bearer")
      throw new Error("it gave no Bearer token");
    if (typeof token !== "string" || token.length > MOST_CHARS || !IS_TOKEN.test(token)) {
      throw new Error("it gave a token that cannot be one");
    }
    const lifeMs = life === undefined ? UNKNOWN_LIFE_MS : Math.min(Number(life) * 1000, MOST_LIFE_MS);
    if (!(lifeMs > 0)) throw new Error("it gave a token without a life");
    return {
      header: `Bearer ${token}`,
      askedAt,
      renewAt: askedAt + lifeMs * (RENEW_FROM + RENEW_WITHIN * this.#random()),
      endsAt: askedAt + lifeMs - Math.min(lifeMs / 10, MOST_MARGIN_MS),
    };
  }
}

/** The code that a refusal has (RFC 6749 section 5.2), which says what to mend and nothing else. */
function errorOf(body: string): string {
  const code = /"error"\s*:\s*"([a-z_]{1,40})"/.exec(body)?.[1];
  return code === undefined ? "" : `: ${code}`;
}
