/** Logs users in: by their passwords, and from then on by refresh tokens. */
import { hash, randomUUID } from "node:crypto";
import type { User } from "../../core/consumers.ts";
import { noPassword, type PasswordHash } from "../../core/password-hash.ts";
import { type Consumer, type Exchange, GatewayError, type Host } from "../../core/plugin.ts";
import { Passwords } from "../auth/passwords.ts";
import { readFields } from "./form.ts";
import type { TokenKeys } from "./keys.ts";
import type { Member, RefreshTokens } from "./refresh-tokens.ts";
import type { IssuerStats } from "./stats.ts";
import type { Throttle } from "./throttle.ts";

/** Longer passwords are wrong without being looked at. */
const MOST_PASSWORD_CHARS = 1024;
const CONTROL = /\p{Cc}/u;

export interface LoginsOptions {
  readonly issuer: string;
  readonly audience: string | readonly string[];
  readonly accessMs: number;
  readonly keys: TokenKeys;
  readonly tokens: RefreshTokens;
  readonly throttle: Throttle;
  readonly stats: IssuerStats;
}

/** What a client gets (RFC 6749 section 5.1). */
export interface TokenReply {
  readonly access_token: string;
  readonly token_type: "Bearer";
  readonly expires_in: number;
  readonly refresh_token: string;
}

/** The same for all that is wrong with a user, a password or a token. */
const refusal = new GatewayError("GRANT_INVALID", { members: { error: "invalid_grant" } });
const unavailable = new GatewayError("AUTH_UNAVAILABLE", { headers: ["retry-after", "5"] });

export class Logins {
  readonly #options: LoginsOptions;
  readonly #host: Host;
  readonly #passwords: Passwords;
  /** So that names which nobody has take as long as those which somebody has. */
  readonly #nobody: PasswordHash;
  readonly #audit;

  constructor(options: LoginsOptions, host: Host) {
    this.#options = options;
    this.#host = host;
    this.#passwords = Passwords.of(host, "auth passwords");
    this.#nobody = noPassword(host.consumers.anyUser()?.passwordHash);
    this.#audit = {
      loggedIn: host.audit.recorder("login", "allowed"),
      notLoggedIn: host.audit.recorder("login", "refused"),
      refreshed: host.audit.recorder("refresh", "allowed"),
      notRefreshed: host.audit.recorder("refresh", "refused"),
      reused: host.audit.recorder("reuse", "refused"),
      loggedOut: host.audit.recorder("logout", "allowed"),
    };
  }

  /** @throws GatewayError GRANT_INVALID and others */
  async login(x: Exchange): Promise<TokenReply> {
    const { throttle, tokens, stats } = this.#options;
    const { username, password } = await readFields(x, ["username", "password"]);
    const known = this.#host.consumers.user(username);
    const method = "password";
    const attempt = await throttle.take(x, username).catch((error: unknown) => {
      if (error instanceof GatewayError && error.code === "RATE_LIMITED") {
        stats.count("login", "throttled");
        this.#audit.notLoggedIn?.record(x, { reason: "throttled", method, consumer: known?.consumer });
      }
      throw error;
    });
    const consumer = await this.#identify(username, password, known).catch(async (error: unknown) => {
      await attempt.forgive().catch(() => {}); // nobody has learned anything
      throw error;
    });
    if (consumer === undefined) {
      stats.count("login", "refused");
      this.#audit.notLoggedIn?.record(x, { reason: "invalid", method, consumer: known?.consumer });
      throw refusal;
    }
    const refreshToken = await tokens.begin({ username, proof: proofOf(known!.passwordHash) });
    // It would only be counted as a failure.
    await attempt.forgive().catch(() => {});
    const reply = await this.#reply(consumer, refreshToken);
    x.consumer = consumer;
    stats.count("login", "allowed");
    this.#audit.loggedIn?.record(x, { method });
    return reply;
  }

  /** @throws GatewayError GRANT_INVALID and others */
  async refresh(x: Exchange): Promise<TokenReply> {
    const { tokens, stats } = this.#options;
    const { refresh_token: shown } = await readFields(x, ["refresh_token"]);
    const refreshed = await tokens.refresh(shown, (member) => this.#isCurrent(member));
    const { outcome } = refreshed;
    const user = outcome === "unknown" ? undefined : this.#host.consumers.user(refreshed.username);
    if (outcome !== "allowed" || user === undefined) {
      stats.count("refresh", outcome === "reused" ? "reused" : "refused");
      const about = { consumer: user?.consumer, method: "refreshToken" };
      if (outcome === "reused") this.#audit.reused?.record(x, about);
      else this.#audit.notRefreshed?.record(x, { ...about, reason: outcome });
      throw refusal;
    }
    const reply = await this.#reply(user.consumer, refreshed.token);
    x.consumer = user.consumer;
    stats.count("refresh", "allowed");
    this.#audit.refreshed?.record(x, { method: "refreshToken" });
    return reply;
  }

  /** Nobody is told whether there was something to end (RFC 7009 section 2.2). */
  async logout(x: Exchange): Promise<void> {
    const { tokens, stats } = this.#options;
    const { refresh_token: shown } = await readFields(x, ["refresh_token"]);
    const username = await tokens.end(shown);
    if (username === undefined) return;
    stats.count("logout", "allowed");
    this.#audit.loggedOut?.record(x, { consumer: this.#host.consumers.user(username)?.consumer });
  }

  async #identify(username: string, password: string, user: User | undefined): Promise<Consumer | undefined> {
    if (password.length > MOST_PASSWORD_CHARS || CONTROL.test(username)) return undefined;
    const expected = user?.passwordHash ?? this.#nobody;
    const finding = await this.#passwords.identify(username, password, user, expected, this.#host.clock);
    if (finding === "unavailable") throw unavailable;
    return typeof finding === "string" ? undefined : finding;
  }

  #isCurrent({ username, proof }: Member): boolean {
    const { consumers, clock } = this.#host;
    const user = consumers.user(username);
    return user !== undefined && clock.now() < user.expiresAt && proofOf(user.passwordHash) === proof;
  }

  async #reply({ name, roles, tier, claims }: Consumer, refreshToken: string): Promise<TokenReply> {
    const { keys, issuer, audience, accessMs } = this.#options;
    const now = Math.floor(this.#host.clock.now() / 1000);
    const lifetime = Math.floor(accessMs / 1000);
    const token = await keys.sign({
      ...claims,
      iss: issuer,
      aud: audience,
      sub: name,
      client_id: issuer,
      roles,
      ...(tier === undefined ? {} : { tier }),
      iat: now,
      exp: now + lifetime,
      jti: randomUUID(),
    });
    return { access_token: token, token_type: "Bearer", expires_in: lifetime, refresh_token: refreshToken };
  }
}

/** Changes with the password, and says nothing of it: there is salt in it. */
function proofOf({ salt, hash: digest }: PasswordHash): string {
  return hash("sha256", Buffer.concat([salt, digest]), "base64url");
}
