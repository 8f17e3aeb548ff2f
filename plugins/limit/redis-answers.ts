/**
 * What the script of limits answers, looked at before it is believed: something between a gateway and its Redis, or
 * instead of it, may answer anything. What makes no sense is no answer.
 */
import { GatewayError } from "../../core/plugin.ts";
import type { Outcome } from "./limiter.ts";

const OUTCOMES: readonly unknown[] = ["allowed", "limited", "banned"] satisfies Outcome[];

/** Outcome, rule, remaining, reset, retry after, when, the ban that begins; what is lent, and for how long. */
type DecisionAnswer = [Outcome, number, number, number, number, number, number, number?, number?];

/** @throws GatewayError STORE_UNAVAILABLE */
export function readDecision(answer: unknown, rules: number): DecisionAnswer {
  if (Array.isArray(answer) && answer.length >= 7 && OUTCOMES.includes(answer[0]) && answer[1] < rules) {
    let areAmounts = true;
    for (let i = 1; i < answer.length; i++) areAmounts &&= isAmount(answer[i]);
    if (areAmounts) return answer as DecisionAnswer;
  }
  throw makesNoSense();
}

/** @throws GatewayError STORE_UNAVAILABLE */
export function readNumbers(answer: unknown, count: number): number[] {
  if (Array.isArray(answer) && answer.length === count && answer.every(isAmount)) return answer as number[];
  throw makesNoSense();
}

function isAmount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function makesNoSense(): GatewayError {
  return new GatewayError("STORE_UNAVAILABLE", {
    headers: ["retry-after", "1"],
    cause: new Error("its answer makes no sense"),
  });
}
