import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Exchange } from "../../../core/exchange.ts";
import { type Handler, type Reply, textReply } from "../../../core/plugin.ts";
import { concurrency } from "../../../plugins/concurrency.ts";
import type { SlotTable } from "../../../plugins/concurrency/slot-table.ts";
import { hostsOf } from "../../support/concurrency.ts";
import { buildStage, exchange } from "../../support/harness.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const KEYS = ["a", "b", "c"] as const;

/** What may happen next; `nth` chooses among the exchanges that it can happen to. */
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("arrive" as const), nth: fc.nat(8) }) },
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
  readonly thread: number;
  state: "above" | "below" | "answered" | "failed" | "ended";
  /** It was let in, and has not ended. */
  isIn: boolean;
  answer?: (reply: Reply) => void;
  fail?: (error: Error) => void;
}

describe("slots", () => {
  it("are never more than `max` a key over all threads, given in order within each, and all given back", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 80, size: "max" }),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 0, max: 4 }),
        fc.integer({ min: 1, max: 3 }),
        async (steps, max, queue, threads) => {
          const hosts = hostsOf(threads);
          const all: Tracked[] = [];
          const arrivals = new Map<string, Exchange[]>();
          const byExchange = new Map<Exchange, Tracked>();
          const overtaken: Exchange[] = [];
          const lineOf = ({ key, thread }: Tracked): Exchange[] => {
            const id = `${key} ${thread}`;
            if (!arrivals.has(id)) arrivals.set(id, []);
            return arrivals.get(id)!;
          };
          const below: Handler = (x) => {
            const tracked = byExchange.get(x)!;
            tracked.state = "below";
            // First come, first served: nobody before it in its line is still waiting, unless it was in before.
            const line = lineOf(tracked);
            const place = line.indexOf(x);
            const waiting = line.slice(0, place).filter((e) => byExchange.get(e)!.state === "above");
            if (!tracked.isIn) overtaken.push(...waiting);
            tracked.isIn = true;
            line.splice(place, 1);
            return new Promise<Reply>((resolve, reject) => {
              tracked.answer = resolve;
              tracked.fail = reject;
            });
          };
          const options = { max, queue, queueTimeout: "5s", by: { header: "k" } };
          const handles = await Promise.all(
            hosts.map((host) => buildStage(concurrency, options, below, host)),
          );
          const send = (tracked: Tracked): void => {
            tracked.state = "above";
            lineOf(tracked).push(tracked.x);
            const leaveLine = (): void => {
              const line = lineOf(tracked);
              const place = line.indexOf(tracked.x);
              if (place !== -1) line.splice(place, 1);
            };
            void Promise.resolve(handles[tracked.thread]!(tracked.x)).then(
              () => void (tracked.state === "ended" || (tracked.state = "answered")),
              () => {
                leaveLine();
                if (tracked.state !== "ended") tracked.state = "failed";
              },
            );
          };
          const arrive = (key: string, thread: number): Tracked => {
            const x = exchange({ headers: { k: key } });
            const tracked: Tracked = { x, key, thread, state: "above", isIn: false };
            all.push(tracked);
            byExchange.set(x, tracked);
            send(tracked);
            return tracked;
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
            if (what === "arrive") arrive(KEYS[nth % 3]!, Math.floor(nth / 3) % threads);
            else if (what === "answer") {
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
          for (const key of KEYS) {
            const next = Array.from({ length: max }, () => arrive(key, 0));
            await vi.advanceTimersByTimeAsync(0);
            expect(next.filter(({ isIn }) => isIn)).toHaveLength(max);
            for (const tracked of next) {
              tracked.answer!(textReply(200, ""));
              end(tracked);
            }
          }
          const label = '{"route":"test","stage":"stage"}';
          for (const host of hosts) {
            const table = host.kept.get('concurrency slots stage test stage {"header":"k"}') as SlotTable;
            expect(table.size).toBe(0);
            table.close();
            expect(host.collected("sluice_concurrency_in_flight")).toEqual({ [label]: 0 });
            expect(host.collected("sluice_concurrency_queued")).toEqual({ [label]: 0 });
          }
          expect(vi.getTimerCount()).toBe(0);
        },
      ),
      { numRuns: 200 },
    );
  });
});
