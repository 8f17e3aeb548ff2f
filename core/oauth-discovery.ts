/**
 * Where an issuer is asked, by what it publishes itself (OpenID Connect Discovery 1.0 section 4). It is fetched when
 * somebody needs it; what was found goes on to hold while it cannot be fetched again.
 */
import type { Answer } from "./ask.ts";
import { AskError, type Asker } from "./asker.ts";
import { parseObject } from "./json-object.ts";
import type { Clock } from "./plugin.ts";
import { whyNot } from "./remote-url.ts";

const REFRESH_MS = 3_600_000;
const COOLDOWN_MS = 5000;
const MOST_BYTES = 256 * 1024;

/** What an issuer publishes of itself. */
export interface IssuerMetadata {
  /** @throws Error when there is no URL of that name which may be asked */
  url(member: string): URL;
  /** The same, where the issuer need not have one. */
  optionalUrl(member: string): URL | undefined;
  isTrue(member: string): boolean;
}

export interface OAuthDiscoveryInit<T> {
  readonly issuer: string;
  /** What of it is wanted; throws an Error that says why not. */
  readonly read: (metadata: IssuerMetadata) => T;
  readonly allowHttp: boolean;
  readonly timeoutMs: number;
  readonly asker: Asker;
  readonly clock: Clock;
}

export class OAuthDiscovery<T extends object> {
  readonly #init: OAuthDiscoveryInit<T>;
  readonly #document: URL;
  #found: T | undefined;
  #foundAt = 0;
  #triedAt = Number.NEGATIVE_INFINITY;
  #fetching: Promise<T> | undefined;

  constructor(init: OAuthDiscoveryInit<T>) {
    this.#init = init;
    this.#document = new URL(`${init.issuer.replace(/\/$/, "")}/.well-known/openid-configuration`);
  }

  /** @throws AskError when it is not known and cannot be found */
  async find(): Promise<T> {
    const now = this.#init.clock.monotonic();
    if (this.#found !== undefined && now - this.#foundAt < REFRESH_MS) return this.#found;
    const isEarly = now - this.#triedAt < COOLDOWN_MS;
    if (this.#fetching === undefined && !isEarly) {
      this.#triedAt = now;
      this.#fetching = this.#fetch(now).finally(() => {
        this.#fetching = undefined;
      });
    }
    if (this.#found !== undefined) {
      this.#fetching?.catch(() => {}); // the one that is known goes on to hold
      return this.#found;
    }
    if (this.#fetching === undefined) throw new AskError("it could not be found out just now where to ask");
    return this.#fetching;
  }

  async #fetch(now: number): Promise<T> {
    const { asker, timeoutMs } = this.#init;
    const headers = { accept: "application/json" };
    const question = {
      url: this.#document,
      method: "GET",
      headers,
      timeoutMs,
      maxBytes: MOST_BYTES,
    } as const;
    this.#found = await asker.ask(question, (answer) => this.#read(answer));
    this.#foundAt = now;
    return this.#found;
  }

  #read({ status, body }: Answer): T {
    if (status !== 200) throw new Error(`the answer has status ${status}`);
    const document = parseObject(body);
    if (document["issuer"] !== this.#init.issuer) throw new Error("it is of another issuer");
    const url = (member: string): URL => this.#readUrl(document[member], member);
    return this.#init.read({
      url,
      optionalUrl: (member) => (document[member] === undefined ? undefined : url(member)),
      isTrue: (member) => document[member] === true,
    });
  }

  #readUrl(value: unknown, member: string): URL {
    const { allowHttp } = this.#init;
    const url = typeof value === "string" ? URL.parse(value) : null;
    // Nor may an issuer elsewhere have something of this machine asked, which could do without https.
    const isDowngrade = url?.protocol === "http:" && this.#document.protocol === "https:" && !allowHttp;
    if (url === null || isDowngrade || whyNot(url, allowHttp, "see the secret") !== undefined) {
      throw new Error(`it has no ${member} that can be used`);
    }
    return url;
  }
}
