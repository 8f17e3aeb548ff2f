/** How often somebody may try to log in. Those that succeed do not count. */
import { hash } from "node:crypto";
import { type Exchange, GatewayError, type Host, type Problem } from "../../core/plugin.ts";
import { retryAfterSeconds } from "../../core/retry-after.ts";
import { parseRate } from "../../core/units.ts";
import { compileKeys } from "../limit/keys.ts";
import type { Decision, Limiter, Plan } from "../limit/limiter.ts";
import { createOpenLimiter } from "../limit/open-limiters.ts";

const LONGEST_MS = 86_400_000;
const MOST_TRIES = 1_000_000;
/** Longer than any store is given: its own time holds. */
const STORE_MS = 60_000;

export interface ThrottleOptions {
  readonly user: string;
  readonly ip: string;
}

/** A try that may be made. */
export interface Attempt {
  /** It was right: it is not counted. */
  forgive(): Promise<void>;
}

export class Throttle {
  readonly #users: Limiter;
  readonly #ips: Limiter;
  readonly #ipOf: (x: Exchange) => string;

  /**
   * @param scope whose tries they are, a short text
   * @param problems where what is wrong with the options goes
   */
  constructor(options: ThrottleOptions, scope: string, store: string, host: Host, problems: Problem[]) {
    const rules = {
      store,
      timeoutMs: STORE_MS,
      onStoreError: "deny",
      localShare: 1,
      lease: undefined,
    } as const;
    const openLimiter = createOpenLimiter(scope, rules, host);
    const open = (key: keyof ThrottleOptions): Limiter =>
      openLimiter(compilePlan(options[key], `/throttle/${key}`, problems));
    this.#users = open("user");
    this.#ips = open("ip");
    this.#ipOf = compileKeys({ by: "ip", ipv6Prefix: 64 }, host, problems).keyOf;
  }

  /**
   * Counts a try to log in.
   * @throws GatewayError RATE_LIMITED, STORE_UNAVAILABLE
   */
  async take(x: Exchange, username: string): Promise<Attempt> {
    const ip = `ip ${this.#ipOf(x)}`;
    const user = `user ${hash("sha256", username, "base64url")}`;
    const byIp = await takeOne(this.#ips, ip);
    const byUser = await takeOne(this.#users, user);
    return {
      forgive: async () => {
        await this.#ips.settle(ip, byIp, -1);
        await this.#users.settle(user, byUser, -1);
      },
    };
  }
}

async function takeOne(limiter: Limiter, key: string): Promise<Decision> {
  const decision = await limiter.take(key, 1);
  if (decision.outcome === "allowed") return decision;
  const seconds = retryAfterSeconds(decision.retryAfterMs);
  throw new GatewayError("RATE_LIMITED", { headers: ["retry-after", String(seconds)] });
}

function compilePlan(text: string, pointer: string, problems: Problem[]): Plan {
  const { count, windowMs } = parseRate(text);
  if (count > MOST_TRIES || windowMs > LONGEST_MS) {
    const message = `At most ${MOST_TRIES.toLocaleString("en")} tries, in 1d at most`;
    problems.push({ code: "CONFIG_VALUE", message, pointer });
  }
  const rule = {
    name: "logins",
    algorithm: "sliding-window-counter",
    count,
    windowMs,
    burst: count,
  } as const;
  return { rules: [rule], ban: undefined, countRejected: false };
}
