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

export interface OAuthDiscoveryInit {
  readonly issuer: string;
  /** Member of the document that has the URL. */
  readonly member: string;
  readonly allowHttp: boolean;
  readonly timeoutMs: number;
  readonly asker: Asker;
  readonly clock: Clock;
}

export class OAuthDiscovery {
  readonly #init: OAuthDiscoveryInit;
  readonly #document: URL;
  #url: URL | undefined;
  #foundAt = 0;
  #triedAt = Number.NEGATIVE_INFINITY;
  #fetching: Promise<URL> | undefined;

  constructor(init: OAuthDiscoveryInit) {
    this.#init = init;
    this.#document = new URL(`${init.issuer.replace(/\/$/, "")}/.well-known/openid-configuration`);
  }

  /** @throws AskError when it is not known and cannot be found */
  async locate(): Promise<URL> {
    const now = this.#init.clock.monotonic();
    if (this.#url !== undefined && now - this.#foundAt < REFRESH_MS) return this.#url;
    const isEarly = now - this.#triedAt < COOLDOWN_MS;
    if (this.#fetching === undefined && !isEarly) {
      this.#triedAt = now;
      this.#fetching = this.#fetch(now).finally(() => {
        this.#fetching = undefined;
      });
    }
    if (this.#url !== undefined) {
      this.#fetching?.catch(() => {}); // the one that is known goes on to hold
      return this.#url;
    }
    if (this.#fetching === undefined) throw new AskError("it was not found just now where to ask");
    return this.#fetching;
  }

  async #fetch(now: number): Promise<URL> {
    const { asker, timeoutMs } = this.#init;
    const headers = { accept: "application/json" };
    const question = {
      url: this.#document,
      method: "GET",
      headers,
      timeoutMs,
      maxBytes: MOST_BYTES,
    } as const;
    this.#url = await asker.ask(question, (answer) => this.#read(answer));
    this.#foundAt = now;
    return this.#url;
  }

  #read({ status, body }: Answer): URL {
    if (status !== 200) throw new Error(`the answer has status ${status}`);
    const { issuer, member, allowHttp } = this.#init;
    const document = parseObject(body);
    if (document["issuer"] !== issuer) throw new Error("it is of another issuer");
    const value = document[member];
    const url = typeof value === "string" ? URL.parse(value) : null;
    // Nor may an issuer elsewhere have something of this machine asked, which could do without https.
    const isDowngrade = url?.protocol === "http:" && this.#document.protocol === "https:" && !allowHttp;
    if (url === null || isDowngrade || whyNot(url, allowHttp, "see the secret") !== undefined) {
      throw new Error(`it has no ${member} that can be used`);
    }
    return url;
  }
}
