/** What tests of `limit` share: options as the schema leaves them, and a limiter that does what it is told. */
import { createValidator } from "../../core/config/validate.ts";
import type { Ban, Decision, Limiter, Reading } from "../../plugins/limit/limiter.ts";
import { type LimitOptions, limitSchema } from "../../plugins/limit/schema.ts";

/** Options with the schema's defaults. @throws Error for what the schema refuses */
export function limitOptions(options: object): LimitOptions {
  const checked = structuredClone(options) as LimitOptions;
  const errors = createValidator(limitSchema)(checked);
  if (errors.length > 0) throw new Error(errors.map((e) => `${e.instancePath} ${e.message}`).join("\n"));
  return checked;
}

export const decision = (parts: Partial<Decision> = {}): Decision => ({
  outcome: "allowed",
  rule: 0,
  remaining: 9,
  resetMs: 1000,
  retryAfterMs: 0,
  cost: 1,
  beginsBan: false,
  at: 0,
  ...parts,
});

/** Notes what it is asked. */
export class FakeLimiter implements Limiter {
  /** What the next requests get, in turn; all that come after the last get it too. */
  decisions: (Decision | Promise<Decision>)[] = [decision()];
  readonly taken: [key: string, cost: number][] = [];
  readonly settled: [key: string, by: number][] = [];
  settling: void | Promise<void> = undefined;

  take(key: string, cost: number): Decision | Promise<Decision> {
    this.taken.push([key, cost]);
    return this.decisions.length > 1 ? this.decisions.shift()! : this.decisions[0]!;
  }

  settle(key: string, _decision: Decision, by: number): void | Promise<void> {
    this.settled.push([key, by]);
    return this.settling;
  }

  read(): Reading {
    return { rules: [], bannedForMs: 0 };
  }
  reset(): void {}
  ban(): void {}
  bans(): readonly Ban[] {
    return [];
  }
}
