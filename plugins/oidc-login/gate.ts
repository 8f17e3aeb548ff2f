/** What happens to each request: a session lets it through, and without one it is sent to log in or refused. */
import { editReplyHeaders } from "../../core/edit-reply-headers.ts";
import { introduceConsumer } from "../../core/identity-headers.ts";
import { asConfigured } from "../../core/naming.ts";
import {
  type Consumer,
  type Exchange,
  GatewayError,
  type Handler,
  type HeaderList,
  type Host,
  type Reply,
} from "../../core/plugin.ts";
import { parseDuration } from "../../core/units.ts";
import type { Jar, Taken } from "./jar.ts";
import { LoginFailure, type Logins, unavailable } from "./logins.ts";
import type { Options } from "./options.ts";
import { isNavigation, type OriginOf, redirectTo } from "./place.ts";
import type { Refresher } from "./refresher.ts";
import type { Session } from "./session.ts";
import type { SharedRenewals } from "./shared-renewals.ts";
import type { Opened, Sessions } from "./sessions.ts";

/** A cookie is written again when so much of the idle time is over. */
const TOUCH_AFTER = 0.1;

/** Counts of a stage; they outlive its generation. */
export class Counts {
  passed = 0;
  refused = 0;
  sent = 0;
  loggedIn = 0;
  failed = 0;
  renewed = 0;
  ended = 0;
  loggedOut = 0;
}

export interface GateInit {
  readonly options: Options;
  readonly host: Host;
  readonly counts: Counts;
  readonly jar: Jar;
  readonly sessions: Sessions;
  readonly originOf: OriginOf;
  readonly logins: Logins;
  readonly refresher: Refresher;
  readonly gateways: SharedRenewals | undefined;
}

const unauthenticated = new GatewayError("UNAUTHENTICATED", {
  headers: ["www-authenticate", 'Cookie realm="sluice"'],
});
const forbidden = new GatewayError("FORBIDDEN");
const crossSite = new GatewayError("CSRF_FAILED");
const wrongMethod = new GatewayError("METHOD_NOT_ALLOWED", { headers: ["allow", "GET, POST"] });

export class Gate {
  readonly #init: GateInit;
  readonly #next: Handler;
  readonly #idleMs: number;
  readonly #lifetimeMs: number;
  readonly #audit;

  constructor(init: GateInit, next: Handler) {
    const { options, host } = init;
    this.#init = init;
    this.#next = next;
    this.#idleMs = parseDuration(options.idleTimeout);
    this.#lifetimeMs = parseDuration(options.lifetime);
    this.#audit = {
      allowed: host.audit.recorder("auth", "allowed"),
      refused: host.audit.recorder("auth", "refused"),
      loggedIn: host.audit.recorder("login", "allowed"),
      loginRefused: host.audit.recorder("login", "refused"),
      ended: host.audit.recorder("refresh", "refused"),
      loggedOut: host.audit.recorder("logout", "allowed"),
    };
  }

  handle(x: Exchange): Reply | Promise<Reply> {
    const { options, jar, host } = this.#init;
    const taken = jar.take(x.headers);
    if (x.originalPath === options.callbackPath) return this.#finish(x, taken);
    if (x.originalPath === options.logoutPath) return this.#logOut(x, taken);
    const now = host.clock.now();
    const opened = this.#open(taken, now);
    if (opened === undefined) return this.#turnAway(x, taken);
    const { session } = opened;
    if (session.refreshToken !== undefined && now >= session.renewAt) return this.#renew(x, taken, opened);
    if (options.accessTokenToUpstream && now >= session.endsAt) return this.#turnAway(x, taken);
    if (now - session.seenAt < this.#idleMs * TOUCH_AFTER) return this.#pass(x, opened);
    return this.#passWith(x, taken, { ...session, seenAt: now });
  }

  #open({ session: sealed }: Taken, now: number): Opened | undefined {
    const { sessions, options } = this.#init;
    const opened = sealed === undefined ? undefined : sessions.open(sealed);
    if (opened === undefined) return undefined;
    const { session } = opened;
    if (now >= session.seenAt + this.#idleMs) return undefined;
    if (now >= session.startedAt + this.#lifetimeMs) return undefined;
    // Another stage with the same secret may have made it.
    return options.accessTokenToUpstream && session.accessToken === undefined ? undefined : opened;
  }

  #pass(x: Exchange, opened: Opened): Reply | Promise<Reply> {
    const { options, counts } = this.#init;
    const consumer = this.#consumerOf(opened);
    if (consumer === undefined) {
      counts.refused++;
      this.#audit.refused?.record(x, { reason: "forbidden", method: "oidc", consumer: opened.consumer });
      throw forbidden;
    }
    counts.passed++;
    x.consumer = consumer;
    if (options.identityHeaders) introduceConsumer(x, consumer);
    this.#audit.allowed?.record(x, { method: "oidc" });
    return options.accessTokenToUpstream ? this.#passToken(x, opened.session.accessToken!) : this.#next(x);
  }

  async #passToken(x: Exchange, token: string): Promise<Reply> {
    x.headers.setChecked("authorization", `Bearer ${token}`);
    try {
      return await this.#next(x);
    } finally {
      // Stages above may show what the request has, or go on elsewhere.
      x.headers.delete("authorization");
    }
  }

  /** Lets a request through and has the browser keep the session as it is now. */
  #passWith(x: Exchange, taken: Taken, session: Session): Promise<Reply> {
    const { sessions, jar, originOf } = this.#init;
    const isSecure = originOf(x).startsWith("https:");
    const sealed = sessions.seal(session);
    const cookies = jar.setSession(sealed, taken, isSecure);
    const opened = sessions.read(session, sealed.length);
    const pass: Handler = () => this.#pass(x, opened);
    // One that has outgrown its cookies lasts as long as the old one.
    return editReplyHeaders(x, pass, (headers) => setCookies(headers, cookies ?? []));
  }

  #consumerOf({ consumer }: Opened): Consumer | undefined {
    const { options, host } = this.#init;
    if (consumer === undefined || !options.knownConsumers) return consumer;
    return asConfigured(consumer, host.consumers);
  }

  async #renew(x: Exchange, taken: Taken, opened: Opened): Promise<Reply> {
    const { session } = opened;
    const { refresher, gateways, counts, host, options } = this.#init;
    const keepsToken = options.accessTokenToUpstream || session.accessToken !== undefined;
    const renewal = await refresher.renew(session, keepsToken, gateways);
    if (renewal === "over") {
      counts.ended++;
      this.#audit.ended?.record(x, { reason: "invalid", consumer: opened.consumer });
      return this.#turnAway(x, taken);
    }
    if (typeof renewal === "object") {
      counts.renewed++;
      return this.#passWith(x, taken, renewal);
    }
    if (host.clock.now() >= session.endsAt) throw unavailable;
    return this.#pass(x, opened);
  }

  /** @throws GatewayError */
  #turnAway(x: Exchange, taken: Taken): Promise<Reply> {
    const { options, counts, logins } = this.#init;
    if (options.unauthenticated === "login" && isNavigation(x)) {
      counts.sent++;
      return logins.begin(x, taken);
    }
    counts.refused++;
    this.#audit.refused?.record(x, {
      reason: taken.session === undefined ? "absent" : "invalid",
      method: "oidc",
    });
    throw unauthenticated;
  }

  async #finish(x: Exchange, taken: Taken): Promise<Reply> {
    const { logins, counts, host } = this.#init;
    try {
      const { reply, opened } = await logins.finish(x, taken);
      counts.loggedIn++;
      this.#audit.loggedIn?.record(x, { method: "oidc", consumer: opened.consumer });
      return reply;
    } catch (error) {
      counts.failed++;
      const reason = error instanceof LoginFailure ? error.failure : "unavailable";
      this.#audit.loginRefused?.record(x, { method: "oidc", reason });
      if (error instanceof LoginFailure && error.isOdd) host.log.warn({ reason }, error.message);
      throw error;
    }
  }

  async #logOut(x: Exchange, taken: Taken): Promise<Reply> {
    const { sessions, jar, originOf, logins, counts } = this.#init;
    if (x.originalMethod !== "GET" && x.originalMethod !== "POST") throw wrongMethod;
    if (x.headers.getJoined("sec-fetch-site") === "cross-site") throw crossSite;
    const opened = taken.session === undefined ? undefined : sessions.open(taken.session);
    const cookies = jar.removeSession(taken, originOf(x).startsWith("https:"));
    if (opened === undefined) return redirectTo(logins.afterLogout(x), cookies);
    counts.loggedOut++;
    this.#audit.loggedOut?.record(x, { method: "oidc", consumer: opened.consumer });
    const there = await logins.endSession(x, opened.session.idToken);
    return redirectTo(there ?? logins.afterLogout(x), cookies);
  }
}

/** Replies with a session must not be kept and given to others. */
function setCookies(headers: HeaderList, cookies: readonly string[]): void {
  if (cookies.length === 0) return;
  const there = headers.getAll("set-cookie");
  for (const cookie of cookies) if (!there.includes(cookie)) headers.append("set-cookie", cookie);
  headers.set("cache-control", "no-store");
}
