/** What stages that try again, or give up, are tested with: a clock of fake timers, and an upstream that answers in turn. */
import { vi } from "vitest";
import { monotonicMs } from "../../core/clock.ts";
import { type ErrorCode, GatewayError } from "../../core/errors.ts";
import type { Exchange } from "../../core/exchange.ts";
import type { Handler } from "../../core/plugin.ts";
import { type Reply, textReply } from "../../core/reply.ts";
import { exchange, FakeClock, FakeHost } from "./harness.ts";

/** The clock of the fake timers. */
export class TimerClock extends FakeClock {
  override now(): number {
    return Date.now();
  }
  override monotonic(): number {
    return monotonicMs();
  }
}

export function createHost(): FakeHost {
  const host = new FakeHost();
  host.clock = new TimerClock();
  return host;
}

export type Answer = Reply | ErrorCode | Error | ((x: Exchange) => Reply | Promise<Reply>);

/** What stands below the stage: gives the answers in turn, the last for good, and writes down when it was asked. */
export function below(...answers: Answer[]): Handler & { times: number[] } {
  const times: number[] = [];
  const handler = async (x: Exchange): Promise<Reply> => {
    const answer = answers[Math.min(times.length, answers.length - 1)]!;
    times.push(performance.now());
    if (typeof answer === "string") throw new GatewayError(answer);
    if (answer instanceof Error) throw answer;
    return typeof answer === "function" ? answer(x) : answer;
  };
  return Object.assign(handler, { times });
}

/** Runs until everything has come to rest. */
export async function settle<T>(promise: Promise<T> | T): Promise<T> {
  const settled = Promise.resolve(promise);
  settled.catch(() => {});
  await vi.runAllTimersAsync();
  return settled;
}

export const ok = (): Reply => textReply(200, "good");
export const statusOf = async (handle: Handler, x: Exchange = exchange()): Promise<number | string> => {
  try {
    return (await settle(handle(x))).status;
  } catch (error) {
    return (error as GatewayError).code ?? (error as Error).message;
  }
};
