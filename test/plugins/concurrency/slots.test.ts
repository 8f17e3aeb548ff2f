import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Exchange } from "../../../core/exchange.ts";
import { type Reply, textReply } from "../../../core/plugin.ts";
import { concurrency } from "../../../plugins/concurrency.ts";
import type { SlotTable } from "../../../plugins/concurrency/slots.ts";
import { buildStage, exchange, FakeHost } from "../../support/harness.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const KEYS = ["a", "b", "c"] as const;

/** What may happen next; `nth` chooses among the exchanges that it can happen to. */
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("arrive" as const), nth: fc.nat(2) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constantFrom("answer", "fail", "end", "abort", "try again", "wait" as const),
      nth: fc.nat(50),
    }),
  },
);

interface Tracked {
  readonly x: Exchange;
  readonly key: string;
  state: "above" | "below" | "answered" | "failed" | "ended";
  /** It was let in, and has not ended. */
  isIn: boolean;
  answer?: (reply: Reply) => void;
  fail?: (error: Error) => void;
}

describe("slots", () => {
  it("are never more than `max` a key, given in order, and all given back", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 80, size: "max" }),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 0, max: 4 }),
        async (steps, max, queue) => {
          const host = new FakeHost();
          const all: Tracked[] = [];
          const arrivals = new Map<string, Exchange[]>(KEYS.map((key) => [key, []]));
          const byExchange = new Map<Exchange, Tracked>();
          const overtaken: Exchange[] = [];
          const handle = await buildStage(
            concurrency,
            { max, queue, queueTimeout: "5s", by: { header: "k" } },
            (x) => {
              const tracked = byExchange.get(x)!;
              tracked.state = "below";
              // First come, first served: nobody before it in its line is still waiting, unless it was in before.
              const line = arrivals.get(tracked.key)!;
              const place = line.indexOf(x);
              const waiting = line.slice(0, place).filter((e) => byExchange.get(e)!.state === "above");
              if (!tracked.isIn) overtaken.push(...waiting);
              tracked.isIn = true;
              line.splice(place, 1);
              return new Promise<Reply>((resolve, reject) => {
                tracked.answer = resolve;
                tracked.fail = reject;
              });
            },
            host,
          );
          const send = (tracked: Tracked): void => {
            tracked.state = "above";
            arrivals.get(tracked.key)!.push(tracked.x);
            const leaveLine = (): void => {
              const line = arrivals.get(tracked.key)!;
              const place = line.indexOf(tracked.x);
              if (place !== -1) line.splice(place, 1);
            };
            void Promise.resolve(handle(tracked.x)).then(
              () => void (tracked.state === "ended" || (tracked.state = "answered")),
              () => {
                leaveLine();
                if (tracked.state !== "ended") tracked.state = "failed";
              },
            );
          };
          const check = (): void => {
            for (const key of KEYS) {
              const holding = all.filter((t) => t.key === key && t.isIn);
              expect(holding.length).toBeLessThanOrEqual(max);
            }
            expect(overtaken).toEqual([]);
          };
          const end = (tracked: Tracked): void => {
            tracked.state = "ended";
            tracked.isIn = false;
            tracked.x.end();
          };
          const among = (nth: number, ...states: Tracked["state"][]): Tracked | undefined => {
            const fit = all.filter(({ state }) => states.includes(state));
            return fit[nth % fit.length];
          };
          for (const { do: what, nth } of steps) {
            if (what === "arrive") {
              const key = KEYS[nth]!;
              const tracked: Tracked = {
                x: exchange({ headers: { k: key } }),
                key,
                state: "above",
                isIn: false,
              };
              all.push(tracked);
              byExchange.set(tracked.x, tracked);
              send(tracked);
            } else if (what === "answer") {
              const tracked = among(nth, "below");
              if (tracked !== undefined) {
                tracked.x.upstream = "users";
                tracked.answer!(textReply(200, ""));
              }
            } else if (what === "fail") among(nth, "below")?.fail?.(new Error("failed"));
            else if (what === "end") {
              const tracked = among(nth, "answered", "failed");
              if (tracked !== undefined) end(tracked);
            } else if (what === "try again") {
              const tracked = among(nth, "answered", "failed");
              if (tracked !== undefined) send(tracked);
            } else if (what === "wait") await vi.advanceTimersByTimeAsync(nth * 200);
            else {
              const tracked = among(nth, "above", "below", "answered", "failed");
              if (tracked !== undefined) {
                // As a listener does when the client goes: the end is told, then the exchange is given up.
                end(tracked);
                tracked.x.abort(new Error("gone"));
                tracked.fail?.(new Error("gone"));
              }
            }
            await vi.advanceTimersByTimeAsync(0);
            check();
          }
          await vi.advanceTimersByTimeAsync(5000);
          for (let more = true; more; ) {
            const left = all.filter(({ state }) => state !== "ended");
            more = left.length > 0;
            for (const tracked of left) {
              tracked.answer?.(textReply(200, ""));
              if (tracked.state !== "above") end(tracked);
            }
            await vi.advanceTimersByTimeAsync(5000);
            check();
          }
          const table = host.kept.get('concurrency slots stage test stage {"header":"k"}') as SlotTable;
          expect(table.size).toBe(0);
          const label = '{"route":"test","stage":"stage"}';
          expect(host.collected("sluice_concurrency_in_flight")).toEqual({ [label]: 0 });
          expect(host.collected("sluice_concurrency_queued")).toEqual({ [label]: 0 });
          expect(vi.getTimerCount()).toBe(0);
        },
      ),
      { numRuns: 200 },
    );
  });
});
