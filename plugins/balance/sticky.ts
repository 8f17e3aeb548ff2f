/**
 * Sticky sessions: a cookie that brings a client to the same target again. Its value is an HMAC of the upstream's
 * and the target's name, so that it tells nothing of either and nobody can make one up. There is one value for a
 * target, made before it is needed: to verify a cookie is to find it.
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { takeCookie } from "../../core/cookies.ts";
import type { Exchange, Host, Reply, Target, Upstream } from "../../core/plugin.ts";
import { compileSetCookie, type SetCookieFormat } from "../../core/set-cookie.ts";
import type { StickyOptions } from "./options.ts";

/** Characters of a value: 32 bytes in base64url. */
const LENGTH = 43;
/** Characters that a value is found by; the others are compared in constant time. */
const FOUND_BY = 16;

/** What a valid cookie says. */
export interface Session {
  readonly target: Target;
  /** False when it was signed with a secret that is not in use any more. */
  readonly isCurrent: boolean;
}

interface Known extends Session {
  readonly bytes: Buffer;
}

/** What became of requests: sent where their cookie said, elsewhere, or without one. */
type Outcome = "kept" | "moved" | "new";

export class Sticky {
  readonly #upstream: Upstream;
  readonly #format: SetCookieFormat;
  readonly #secrets: readonly string[];
  readonly #counts: Record<Outcome, number>;
  readonly #received = Buffer.alloc(LENGTH);
  /** Targets that the values are made for. */
  #targets: readonly Target[] | undefined;
  /** By the first characters of the value. */
  #known = new Map<string, Known>();
  /** Values to set. */
  #values = new Map<Target, string>();

  /**
   * @param pointer where the options are, for messages
   * @throws ConfigError
   */
  constructor(options: StickyOptions, upstream: Upstream, host: Host, pointer: string) {
    this.#upstream = upstream;
    const name = options.cookie ?? defaultName(upstream.name);
    this.#format = compileSetCookie(name, options, pointer, "cookie");
    this.#secrets = [options.secret].flat();
    const labels = { route: host.route, upstream: upstream.name };
    const counts = host.keep(`balance sessions ${host.route} ${upstream.name}`, () => ({
      kept: 0,
      moved: 0,
      new: 0,
    }));
    this.#counts = counts;
    host.metrics.collect("sluice_sticky_requests_total", HELP, "counter", () =>
      Object.entries(counts).map(([result, count]) => [{ ...labels, result }, count] as const),
    );
  }

  /** The session of a request, whose cookie is taken away: it is not the target's business. */
  take(x: Exchange): Session | undefined {
    if (this.#targets !== this.#upstream.targets) this.#prepare();
    for (const value of takeCookie(x.headers, this.#format.name)) {
      const known = value.length === LENGTH ? this.#known.get(value.slice(0, FOUND_BY)) : undefined;
      if (known === undefined) continue;
      this.#received.write(value, "latin1");
      if (timingSafeEqual(this.#received, known.bytes)) return known;
    }
    return undefined;
  }

  /** A request of a session was answered by a target: sets the cookie if that changes something. */
  settle(session: Session | undefined, x: Exchange, target: Target, reply: Reply): void {
    const isKept = session?.target === target;
    this.#counts[isKept ? "kept" : session === undefined ? "new" : "moved"]++;
    if (isKept && session.isCurrent) return;
    const { name, attributes, secureAttributes } = this.#format;
    const value = this.#values.get(target);
    if (value === undefined) return; // it went away meanwhile
    const after = x.scheme === "https" ? secureAttributes : attributes;
    reply.headers.append("set-cookie", `${name}=${value}${after}`);
  }

  #prepare(): void {
    const { targets, name } = this.#upstream;
    this.#known = new Map();
    this.#values = new Map();
    for (const [i, secret] of this.#secrets.entries()) {
      for (const target of targets) {
        const text = JSON.stringify(["sticky", name, target.id]);
        const value = createHmac("sha256", secret).update(text).digest("base64url");
        const key = value.slice(0, FOUND_BY);
        if (i === 0) this.#values.set(target, value);
        if (!this.#known.has(key))
          this.#known.set(key, { target, isCurrent: i === 0, bytes: Buffer.from(value) });
      }
    }
    this.#targets = targets;
  }
}

/** Upstreams have names of their own, so that they do not take each other's cookies. */
function defaultName(upstream: string): string {
  return `sluice-${createHash("sha256").update(upstream).digest("hex").slice(0, 8)}`;
}

const HELP =
  "Requests to upstreams with sticky sessions: sent where their cookie said, elsewhere, or without one.";
