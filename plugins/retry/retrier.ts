/** Runs the stages below until an attempt is good, or no other may be made. */
import { discard } from "../../core/discard.ts";
import {
  type Exchange,
  GatewayError,
  type Handler,
  type Host,
  type Reply,
  type Target,
} from "../../core/plugin.ts";
import { parseRetryAfter } from "../../core/retry-after.ts";
import { Beginning, TimedAttempt } from "./attempt.ts";
import type { Causes } from "./causes.ts";
import { pause } from "./pause.ts";
import type { Budget, Denial, Traffic } from "./traffic.ts";

/** The options of a retry stage, compiled. */
export interface RetryRules {
  /** Tries in all, the first included. */
  readonly attempts: number;
  readonly causes: Causes;
  readonly methods: ReadonlySet<string>;
  readonly perTryTimeoutMs: number | undefined;
  readonly backoffBaseMs: number;
  readonly backoffMaxMs: number;
  readonly maxRetryAfterMs: number;
  readonly budget: Budget;
  readonly maxBodyBytes: number;
}

export class Retrier {
  readonly #next: Handler;
  readonly #rules: RetryRules;
  readonly #traffic: Traffic;
  readonly #host: Host;

  constructor(next: Handler, rules: RetryRules, traffic: Traffic, host: Host) {
    this.#next = next;
    this.#rules = rules;
    this.#traffic = traffic;
    this.#host = host;
  }

  async run(x: Exchange): Promise<Reply> {
    const traffic = this.#traffic;
    const { causes, maxBodyBytes, perTryTimeoutMs } = this.#rules;
    const beginning = new Beginning(x, maxBodyBytes);
    let isRetry = false;
    traffic.active++;
    try {
      for (let attempt = 1; ; attempt++) {
        const mark = x.abortMark;
        let reply: Reply | undefined;
        let failure: unknown;
        const timed = perTryTimeoutMs === undefined ? undefined : new TimedAttempt(x, perTryTimeoutMs);
        try {
          reply = await this.#next(x);
        } catch (error) {
          failure = timed?.failure ?? error;
        }
        timed?.end();
        if (isRetry) traffic.endRetry();
        isRetry = false;
        const cause = reply === undefined ? causes.ofFailure(failure) : causes.ofStatus(reply.status);
        const waitMs =
          cause === undefined ? undefined : this.#admit(x, beginning, attempt, cause, reply, failure);
        if (waitMs === undefined) {
          if (reply === undefined) throw failure;
          if (attempt > 1 && cause === undefined) traffic.succeeded++;
          beginning.close();
          return reply;
        }
        isRetry = true;
        traffic.countMade(cause!);
        x.log.debug({ attempt, cause, waitMs, upstream: x.upstream, target: x.target?.url }, "trying again");
        if (reply === undefined) x.abortSince(mark, failure as Error);
        else discard(x, reply.body);
        if (waitMs > 0) await pause(x, waitMs);
        beginning.restore();
      }
    } catch (error) {
      beginning.fail();
      throw error;
    } finally {
      if (isRetry) traffic.endRetry();
      traffic.active--;
    }
  }

  /**
   * Decides about another attempt, and takes it from the budget.
   * @returns milliseconds to wait before it; undefined when there is none
   */
  #admit(
    x: Exchange,
    beginning: Beginning,
    attempt: number,
    cause: string,
    reply: Reply | undefined,
    failure: unknown,
  ): number | undefined {
    const rules = this.#rules;
    if (x.aborted !== undefined) return undefined;
    if (attempt >= rules.attempts) {
      this.#traffic.exhausted++;
      return undefined;
    }
    if (!rules.methods.has(x.method)) return this.#deny("method");
    if (!beginning.canRepeat) return this.#deny("body");
    if (x.target !== undefined) remember(x, x.target);
    const waitMs = this.#waitFor(x, attempt, cause, reply, failure);
    if (waitMs === undefined) return this.#deny("retry-after");
    if (x.deadline !== undefined && this.#host.clock.monotonic() + waitMs >= x.deadline.at) {
      return this.#deny("deadline");
    }
    return this.#traffic.beginRetry(rules.budget) ? waitMs : this.#deny("budget");
  }

  #deny(reason: Denial): undefined {
    this.#traffic.countDenied(reason);
  }

  /** Milliseconds to wait; undefined when the upstream asks for more than is waited. */
  #waitFor(
    x: Exchange,
    attempt: number,
    cause: string,
    reply: Reply | undefined,
    failure: unknown,
  ): number | undefined {
    const { backoffBaseMs, backoffMaxMs, maxRetryAfterMs } = this.#rules;
    // Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    const jitterMs = this.#host.random() * Math.min(backoffMaxMs, backoffBaseMs * 2 ** (attempt - 1));
    const asked = reply === undefined ? retryAfterOf(failure) : reply.headers.get("retry-after");
    const askedMs = asked === undefined ? undefined : parseRetryAfter(asked, this.#host.clock.now());
    if (askedMs !== undefined) return askedMs > maxRetryAfterMs ? undefined : askedMs + jitterMs;
    return cause === "connect" && this.#hasFreshTarget(x) ? 0 : jitterMs;
  }

  /** True when there is a target that this exchange has not asked: it need not recover first. */
  #hasFreshTarget(x: Exchange): boolean {
    const eligible = this.#host.upstreams.get(x.upstream)?.eligible;
    return eligible?.some((target) => !x.tried?.includes(target)) ?? false;
  }
}

/** Puts a target to the end of those that failed the exchange: the one that did so first is the next to be asked. */
function remember(x: Exchange, target: Target): void {
  const tried = (x.tried ??= []);
  const at = tried.indexOf(target);
  if (at !== -1) tried.splice(at, 1);
  tried.push(target);
}

function retryAfterOf(failure: unknown): string | undefined {
  if (!(failure instanceof GatewayError)) return undefined;
  const at = failure.headers.findIndex((name, i) => i % 2 === 0 && name.toLowerCase() === "retry-after");
  return at === -1 ? undefined : failure.headers[at + 1];
}
