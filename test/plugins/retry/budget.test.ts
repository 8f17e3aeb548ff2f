import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { GatewayError } from "../../../core/errors.ts";
import type { Exchange } from "../../../core/exchange.ts";
import { retry } from "../../../plugins/retry.ts";
import { createHost, ok } from "../../support/attempts.ts";
import { buildStage, exchange, type FakeHost } from "../../support/harness.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("the budget", () => {
  /** A stage whose first attempts all wait until they are let go. */
  const crowd = async (
    options: Record<string, unknown>,
    host: FakeHost,
  ): Promise<{ send(n: number): void; failAll(): void; retries(): number }> => {
    const waiting: (() => void)[] = [];
    const handle = await buildStage(
      retry,
      options,
      () =>
        new Promise((_resolve, reject) => {
          waiting.push(() => reject(new GatewayError("UPSTREAM_RESET")));
        }),
      host,
    );
    return {
      send(n) {
        for (let i = 0; i < n; i++) Promise.resolve(handle(exchange())).catch(() => {});
      },
      failAll() {
        for (const fail of waiting.splice(0)) fail();
      },
      retries: () => host.collected("sluice_retries_in_flight")['{"route":"test"}']!,
    };
  };

  it("lets as many retries be under way as it says, and passes the other failures on", async () => {
    const host = createHost();
    const { send, failAll, retries } = await crowd({ budget: "29%", budgetFloor: 0 }, host);
    send(100);
    failAll();
    await vi.advanceTimersByTimeAsync(0);
    expect(retries()).toBe(29);
    expect(host.collected("sluice_retries_denied_total")).toEqual({
      '{"route":"test","reason":"budget"}': 71,
    });
    const used = host.collected("sluice_retry_budget_used");
    expect(used['{"route":"test","stage":"stage"}']).toBeGreaterThanOrEqual(1);
  });

  it("is 20% by default, and ten retries at least", async () => {
    for (const [requests, allowed] of [
      [12, 10],
      [100, 20],
    ] as const) {
      const host = createHost();
      const { send, failAll, retries } = await crowd({}, host);
      send(requests);
      failAll();
      await vi.advanceTimersByTimeAsync(0);
      expect(retries()).toBe(allowed);
    }
  });

  it("may be set to a floor alone, and to no limit", async () => {
    for (const [options, allowed] of [
      [{ budget: "0%", budgetFloor: 3 }, 3],
      [{ budget: "0%", budgetFloor: 0 }, 0],
      [{ budget: "100%", budgetFloor: 0 }, 50],
    ] as const) {
      const { send, failAll, retries } = await crowd(options, createHost());
      send(50);
      failAll();
      await vi.advanceTimersByTimeAsync(0);
      expect(retries()).toBe(allowed);
    }
  });

  it("is shared by the stages of a route and outlives a reload; another route has its own", async () => {
    const host = createHost();
    const options = { budget: "0%", budgetFloor: 2 };
    const [old, fresh] = [await crowd(options, host), await crowd(options, host)];
    old.send(2);
    old.failAll();
    await vi.advanceTimersByTimeAsync(0);
    fresh.send(2);
    fresh.failAll();
    await vi.advanceTimersByTimeAsync(0);
    expect(fresh.retries()).toBe(2);
    host.route = "other";
    const other = await crowd(options, host);
    other.send(2);
    other.failAll();
    await vi.advanceTimersByTimeAsync(0);
    expect(host.collected("sluice_retries_in_flight")).toEqual({
      '{"route":"test"}': 2,
      '{"route":"other"}': 2,
    });
  });

  it("is never exceeded, and attempts never are, whatever fails when", async () => {
    const step = fc.oneof(
      fc.constant("request" as const),
      fc.record({ end: fc.nat(), well: fc.boolean() }),
      fc.record({ wait: fc.nat(60) }),
      fc.record({ abort: fc.nat() }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 60 }),
        fc.integer({ min: 0, max: 100 }),
        fc.integer({ min: 0, max: 3 }),
        fc.integer({ min: 1, max: 5 }),
        async (steps, percent, floor, attempts) => {
          const host = createHost();
          const open: { x: Exchange; end(well: boolean): void }[] = [];
          const tries = new Map<Exchange, number>();
          const settled = new Set<Exchange>();
          /** Exchanges at a later attempt than their first, or that wait for one, and how many there are at all. */
          let [retries, active] = [0, 0];
          const check = (): void => {
            const collected = host.collected("sluice_retries_in_flight")['{"route":"test"}']!;
            const denied = Object.values(host.collected("sluice_retries_denied_total"));
            expect(collected).toBeGreaterThanOrEqual(0);
            if (collected > retries) {
              // More than before: then the budget has let it.
              expect(collected).toBeLessThanOrEqual(Math.max(floor, (percent * active) / 100 + 1e-6));
            }
            retries = collected;
            expect(denied.every((count) => count > 0)).toBe(true);
          };
          const handle = await buildStage(
            retry,
            { attempts, budget: `${percent}%`, budgetFloor: floor },
            (x) => {
              tries.set(x, (tries.get(x) ?? 0) + 1);
              expect(tries.get(x)).toBeLessThanOrEqual(attempts);
              check();
              return new Promise((resolve, reject) => {
                open.push({
                  x,
                  end: (well) => (well ? resolve(ok()) : reject(new GatewayError("UPSTREAM_RESET"))),
                });
              });
            },
            host,
          );
          const begun: Exchange[] = [];
          for (const each of steps) {
            if (each === "request") {
              const x = exchange();
              active++;
              begun.push(x);
              const over = (): void => {
                check();
                active--;
                settled.add(x);
              };
              Promise.resolve(handle(x)).then(over, over);
            } else if ("end" in each) open.splice(each.end % Math.max(1, open.length), 1)[0]?.end(each.well);
            else if ("wait" in each) await vi.advanceTimersByTimeAsync(each.wait);
            else begun[each.abort % Math.max(1, begun.length)]?.abort(new GatewayError("CLIENT_CLOSED"));
            await vi.advanceTimersByTimeAsync(0);
            check();
          }
          for (let i = 0; i < attempts; i++) {
            for (const { end } of open.splice(0)) end(false);
            await vi.runAllTimersAsync();
          }
          expect(settled.size).toBe(begun.length);
          expect(host.collected("sluice_retries_in_flight")).toEqual({ '{"route":"test"}': 0 });
          expect(vi.getTimerCount()).toBe(0);
        },
      ),
      { numRuns: 150 },
    );
  });
});
