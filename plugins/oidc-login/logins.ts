/** Logins: sends browsers to the provider, and takes them back (OpenID Connect Core 1.0 section 3.1, RFC 9700). */
import { hash, randomBytes } from "node:crypto";
import { AskError } from "../../core/asker.ts";
import { type Exchange, GatewayError, type Reply } from "../../core/plugin.ts";
import { type Jar, LOGIN_MS, type Taken } from "./jar.ts";
import type { Options } from "./options.ts";
import { type OriginOf, redirectTo } from "./place.ts";
import type { Grant, Metadata, Provider } from "./provider.ts";
import type { Seal } from "./seal.ts";
import { type Login, openLogin, sealLogin } from "./login.ts";
import { startSession } from "./session.ts";
import type { Opened, Sessions } from "./sessions.ts";

/** Longer ones are not gone back to: the cookie must be small. */
const MOST_TARGET_CHARS = 1500;
/** Codes that are redeemed at once. */
const MOST_PENDING = 200;

/** Codes of RFC 6749 section 4.1.2.1 and others like them. */
const IS_ERROR = /^[a-z_]{1,40}$/;

export type Failure = "state" | "issuer" | "provider" | "code" | "token" | "size";

/** Why a login did not succeed, as the client may know it. */
const DETAILS: Readonly<Record<Failure, string>> = {
  state: "It was not begun in this browser, or too long ago; or the browser keeps no cookies.",
  issuer: "The answer is not the provider's.",
  provider: "The provider has an error.",
  code: "The provider does not know this login any more.",
  token: "The provider's ID token is not right, or does not say who the user is.",
  size: "What the provider says of the user does not fit into cookies.",
};

export class LoginFailure extends GatewayError {
  readonly failure: Failure | "denied";

  constructor(failure: Failure | "denied", detail: string, cookies: readonly string[]) {
    const headers = ["cache-control", "no-store", ...cookies.flatMap((each) => ["set-cookie", each])];
    super(failure === "denied" ? "LOGIN_DENIED" : "LOGIN_FAILED", { detail, headers });
    this.failure = failure;
  }

  /** True for what an operator has to look at: it does not come of what users do. */
  get isOdd(): boolean {
    return this.failure !== "denied" && this.failure !== "state" && this.failure !== "code";
  }
}

export interface LoginsInit {
  readonly options: Options;
  readonly provider: Provider;
  readonly seal: Seal;
  readonly sessions: Sessions;
  readonly jar: Jar;
  readonly originOf: OriginOf;
  now(): number;
}

export class Logins {
  readonly #init: LoginsInit;
  readonly #scope: string;
  #pending = 0;

  constructor(init: LoginsInit) {
    this.#init = init;
    this.#scope = [...new Set(["openid", ...init.options.scopes])].join(" ");
  }

  /** Sends a browser to the provider. */
  async begin(x: Exchange, taken: Taken): Promise<Reply> {
    const { options, seal, jar, originOf, now } = this.#init;
    const { authorization } = await this.#find();
    const origin = originOf(x);
    const state = random(16);
    const wanted = x.originalPath + x.originalSearch;
    const login: Login = {
      nonce: random(16),
      verifier: random(32),
      to: wanted.length > MOST_TARGET_CHARS ? "/" : wanted,
      redirectUri: origin + options.callbackPath,
      startedAt: now(),
    };
    const url = new URL(authorization);
    const parameters = {
      ...options.parameters,
      response_type: "code",
      client_id: options.clientId,
      redirect_uri: login.redirectUri,
      scope: this.#scope,
      state,
      nonce: login.nonce,
      code_challenge: hash("sha256", login.verifier, "base64url"),
      code_challenge_method: "S256",
    };
    for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
    const isSecure = origin.startsWith("https:");
    return redirectTo(url.href, jar.setLogin(state, sealLogin(seal, login, state), taken, isSecure));
  }

  /**
   * Takes a browser back from the provider. It has a new session then, whatever it had before.
   * @throws LoginFailure
   */
  async finish(x: Exchange, taken: Taken): Promise<{ reply: Reply; opened: Opened }> {
    const { seal, sessions, jar, originOf, now, provider, options } = this.#init;
    const origin = originOf(x);
    const isSecure = origin.startsWith("https:");
    const state = only(x, "state") ?? "";
    const kept = taken.logins.get(state);
    const login = kept === undefined ? undefined : openLogin(seal, kept, state);
    // It can be used once; but when the provider cannot be asked, the browser may try again.
    const cookies = kept === undefined ? [] : jar.removeLogin(state, isSecure);
    const fail = (failure: Failure): never => {
      throw new LoginFailure(failure, DETAILS[failure], cookies);
    };
    if (login === undefined || now() >= login.startedAt + LOGIN_MS) return fail("state");
    const { saysIssuer } = await this.#find();
    const issuers = x.query.getAll("iss");
    if (issuers.some((each) => each !== options.issuer) || (saysIssuer && issuers.length !== 1)) {
      return fail("issuer"); // RFC 9207 section 2.4
    }
    const error = x.query.get("error");
    if (error === "access_denied") throw new LoginFailure("denied", "The provider says so.", cookies);
    if (error !== null && IS_ERROR.test(error)) {
      throw new LoginFailure("provider", `The provider has an error: ${error}.`, cookies);
    }
    const code = only(x, "code");
    if (error !== null || code === undefined) return fail("provider");

    const grant = await this.#redeem(login, code);
    if (grant === undefined) return fail("code");
    const claims = grant.idToken === undefined ? "invalid" : await provider.verify(grant.idToken);
    if (claims === "unavailable") throw unavailable;
    if (claims === "invalid" || claims["nonce"] !== login.nonce) return fail("token");
    const session = startSession(grant, grant.idToken!, options.accessTokenToUpstream, now());
    const sealed = sessions.seal(session);
    const opened = sessions.read(session, sealed.length);
    if (opened.consumer === undefined) return fail("token");
    const lines = jar.setSession(sealed, taken, isSecure);
    if (lines === undefined) return fail("size");
    return { reply: redirectTo(origin + login.to, [...lines, ...cookies]), opened };
  }

  /** Where a session ends at the provider (OpenID Connect RP-Initiated Logout 1.0); undefined where it has no such page. */
  async endSession(x: Exchange, idToken: string): Promise<string | undefined> {
    const { provider, options } = this.#init;
    const metadata = await provider.find().catch(() => undefined); // it is logged
    if (metadata?.endSession === undefined) return undefined;
    const url = new URL(metadata.endSession);
    url.searchParams.set("id_token_hint", idToken);
    url.searchParams.set("client_id", options.clientId);
    url.searchParams.set("post_logout_redirect_uri", this.afterLogout(x));
    return url.href;
  }

  afterLogout(x: Exchange): string {
    const { options, originOf } = this.#init;
    return options.afterLogout.startsWith("/") ? originOf(x) + options.afterLogout : options.afterLogout;
  }

  #find(): Promise<Metadata> {
    return this.#init.provider.find().catch(failAsked);
  }

  async #redeem({ verifier, redirectUri }: Login, code: string): Promise<Grant | undefined> {
    if (this.#pending >= MOST_PENDING) throw unavailable;
    const form = {
      grant_type: "authorization_code",
      code,
      redirect_uri: redirectUri,
      code_verifier: verifier,
    };
    this.#pending++;
    try {
      return await this.#init.provider.redeem(form).catch(failAsked);
    } finally {
      this.#pending--;
    }
  }
}

export const unavailable = new GatewayError("AUTH_UNAVAILABLE", { headers: ["retry-after", "5"] });

function failAsked(error: unknown): never {
  throw error instanceof AskError ? unavailable : error;
}

const random = (bytes: number): string => randomBytes(bytes).toString("base64url");

/** A parameter of the query that is there once. */
function only(x: Exchange, name: string): string | undefined {
  const values = x.query.getAll(name);
  return values.length === 1 ? values[0] : undefined;
}
