import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { monotonicMs } from "../../../core/clock.ts";
import { GatewayError } from "../../../core/errors.ts";
import type { Exchange } from "../../../core/exchange.ts";
import type { Reply } from "../../../core/reply.ts";
import { balance } from "../../../plugins/balance.ts";
import { retry } from "../../../plugins/retry.ts";
import { type Answer, below, createHost, ok, settle, statusOf } from "../../support/attempts.ts";
import { bodyText, buildStage, exchange, FakeUpstream, reply } from "../../support/harness.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("the wait before a retry", () => {
  const gaps = async (
    options: Record<string, unknown>,
    randoms: number[],
    ...answers: Answer[]
  ): Promise<number[]> => {
    const host = createHost();
    host.randoms.push(...randoms);
    const upstream = below(...answers);
    await settle((await buildStage(retry, options, upstream, host))(exchange())).catch(() => {});
    return upstream.times.slice(1).map((time, i) => Math.round(time - upstream.times[i]!));
  };

  it("is a random part of base, which doubles up to max", async () => {
    const options = { attempts: 6, backoff: { base: "100ms", max: "500ms" } };
    expect(await gaps(options, [0.99, 0.99, 0.99, 0.99, 0.99], "UPSTREAM_RESET")).toEqual([
      99, 198, 396, 495, 495,
    ]);
    expect(await gaps(options, [0, 0.5, 0.25, 0, 1], "UPSTREAM_RESET")).toEqual([0, 100, 100, 0, 500]);
  });

  it("is up to 25ms and then 50ms by default", async () => {
    expect(await gaps({ attempts: 3 }, [1, 1], "UPSTREAM_RESET")).toEqual([25, 50]);
  });

  it("is what Retry-After asks for and then the random part, in seconds or until a date", async () => {
    const options = { attempts: 2, maxRetryAfter: "5s", backoff: { base: "100ms" } };
    expect(await gaps(options, [0.5], reply(503, { "retry-after": "3" }), ok())).toEqual([3050]);
    vi.setSystemTime("2026-11-06T08:49:35Z");
    const date = reply(503, { "retry-after": "Fri, 06 Nov 2026 08:49:37 GMT" });
    expect(await gaps(options, [0.5], date, ok())).toEqual([2050]);
    vi.setSystemTime("2026-11-07T08:49:35Z");
    expect(await gaps(options, [0.5], date, ok())).toEqual([50]);
  });

  it("ignores a Retry-After that means nothing", async () => {
    const answers = [reply(503, { "retry-after": "soon" }), ok()];
    expect(await gaps({ backoff: { base: "100ms" } }, [0.5], ...answers)).toEqual([50]);
  });

  it("is not made for a Retry-After beyond maxRetryAfter: the client gets the reply", async () => {
    const host = createHost();
    const upstream = below(reply(503, { "retry-after": "2" }, "later"), ok());
    const busy = await settle((await buildStage(retry, {}, upstream, host))(exchange()));
    expect([busy.status, busy.headers.get("retry-after"), await bodyText(busy)]).toEqual([503, "2", "later"]);
    expect(host.collected("sluice_retries_denied_total")).toEqual({
      '{"route":"test","reason":"retry-after"}': 1,
    });
    expect(await gaps({}, [0], reply(503, { "retry-after": "1" }), ok())).toEqual([1000]);
  });

  it("goes by the Retry-After of failures too", async () => {
    const none = (seconds: string): GatewayError =>
      new GatewayError("UPSTREAM_UNAVAILABLE", { headers: ["x", "retry-after", "Retry-After", seconds] });
    const options = { on: ["unavailable"] };
    expect(await gaps(options, [0], none("1"), ok())).toEqual([1000]);
    expect(await gaps(options, [0], none("9"), ok())).toEqual([]);
  });

  it("ends when the exchange is given up, and nothing is asked any more", async () => {
    const host = createHost();
    const upstream = below("UPSTREAM_RESET", ok());
    const x = exchange();
    const handle = await buildStage(retry, { backoff: { base: "10s", max: "10s" } }, upstream, host);
    const result = Promise.resolve(handle(x));
    result.catch(() => {});
    await vi.advanceTimersByTimeAsync(10);
    expect(host.collected("sluice_retries_in_flight")).toEqual({ '{"route":"test"}': 1 });
    x.abort(new GatewayError("CLIENT_CLOSED"));
    await expect(result).rejects.toThrow("The client went away");
    expect(vi.getTimerCount()).toBe(0);
    expect(upstream.times).toHaveLength(1);
    expect(host.collected("sluice_retries_in_flight")).toEqual({ '{"route":"test"}': 0 });
  });

  it("is not begun when the exchange was given up meanwhile", async () => {
    const x = exchange();
    const upstream = below(() => {
      x.abort(new GatewayError("CLIENT_CLOSED"));
      throw new GatewayError("UPSTREAM_RESET");
    });
    expect(await statusOf(await buildStage(retry, {}, upstream, createHost()), x)).toBe("UPSTREAM_RESET");
    expect(upstream.times).toHaveLength(1);
  });

  it("is not begun when the deadline would pass meanwhile", async () => {
    const host = createHost();
    const upstream = below("UPSTREAM_RESET", ok());
    const handle = await buildStage(retry, { backoff: { base: "100ms" } }, upstream, host);
    const x = exchange();
    x.deadline = { at: monotonicMs() + 50, header: undefined };
    expect(await statusOf(handle, x)).toBe("UPSTREAM_RESET");
    expect(host.collected("sluice_retries_denied_total")).toEqual({
      '{"route":"test","reason":"deadline"}': 1,
    });
    const later = exchange();
    later.deadline = { at: monotonicMs() + 51, header: undefined };
    upstream.times.length = 0;
    expect(await statusOf(handle, later)).toBe(200);
  });
});

describe("perTryTimeout", () => {
  /** A call that ends when it is given up, as those to upstreams do. */
  const hang = (x: Exchange, aborted: string[] = []): Promise<Reply> =>
    new Promise((_resolve, reject) => {
      x.onAbort({
        abort(reason) {
          aborted.push((reason as GatewayError).code);
          reject(reason);
        },
      });
    });

  it("gives an attempt up and makes another; the exchange goes on", async () => {
    const aborted: string[] = [];
    const upstream = below((x) => hang(x, aborted), ok());
    const handle = await buildStage(
      retry,
      { perTryTimeout: "2s", backoff: { base: "0s" } },
      upstream,
      createHost(),
    );
    const x = exchange();
    expect(await statusOf(handle, x)).toBe(200);
    expect(upstream.times[1]! - upstream.times[0]!).toBe(2000);
    expect([aborted, x.aborted]).toEqual([["UPSTREAM_TIMEOUT"], undefined]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("is a 504 UPSTREAM_TIMEOUT when no attempt got a reply, and when timeouts are not tried again", async () => {
    const upstream = below((x) => hang(x));
    const all = await buildStage(retry, { perTryTimeout: "2s" }, upstream, createHost());
    expect(await statusOf(all)).toBe("UPSTREAM_TIMEOUT");
    expect(upstream.times).toHaveLength(3);
    const none = await buildStage(
      retry,
      { perTryTimeout: "2s", on: ["reset"] },
      below((x) => hang(x)),
      createHost(),
    );
    expect(await statusOf(none)).toBe("UPSTREAM_TIMEOUT");
  });

  it("ends with the reply's head", async () => {
    const handle = await buildStage(
      retry,
      { perTryTimeout: "2s" },
      below(async () => {
        await vi.advanceTimersByTimeAsync(1999);
        return ok();
      }),
      createHost(),
    );
    const x = exchange();
    const good = await handle(x);
    const abort = vi.fn();
    x.onAbort({ abort });
    await vi.advanceTimersByTimeAsync(60_000);
    expect([await bodyText(good), abort.mock.calls]).toEqual(["good", []]);
  });

  it("keeps what a stage above waits for: only the attempt is given up", async () => {
    const above = vi.fn();
    const x = exchange();
    x.onAbort({ abort: above });
    const handle = await buildStage(retry, { perTryTimeout: "1s" }, below(hang, ok()), createHost());
    expect(await statusOf(handle, x)).toBe(200);
    expect(above).not.toHaveBeenCalled();
    x.abort(new Error("later"));
    expect(above).toHaveBeenCalledOnce();
  });

  it("lets a stage that waited too long send nothing any more, and begins again only when it is done", async () => {
    const host = createHost();
    const upstream = new FakeUpstream("users", ["a"]);
    host.upstreams.set("users", upstream);
    const send = await buildStage(balance, { upstream: "users" }, undefined, host);
    let waits = 3000;
    let calls = 0;
    const handle = await buildStage(
      retry,
      { perTryTimeout: "2s", backoff: { base: "0s" } },
      async (x) => {
        await new Promise((resolve) => setTimeout(resolve, waits));
        waits = 0;
        calls++;
        return send(x);
      },
      host,
    );
    const x = exchange();
    const began = performance.now();
    const result = handle(x);
    await vi.advanceTimersByTimeAsync(2999);
    expect(upstream.targets[0]!.seen).toHaveLength(0);
    expect((await settle(result)).status).toBe(200);
    expect(performance.now() - began).toBe(3000);
    expect([calls, upstream.targets[0]!.seen.length]).toEqual([2, 1]);
    expect(x.guards).toBeUndefined();
  });

  it("leaves no guard behind when it was the last attempt", async () => {
    const x = exchange();
    const guard = { admit: () => true };
    x.guards = [guard];
    const handle = await buildStage(
      retry,
      { perTryTimeout: "1s", attempts: 1 },
      below((y) => hang(y)),
      createHost(),
    );
    expect(await statusOf(handle, x)).toBe("UPSTREAM_TIMEOUT");
    expect(x.guards).toEqual([guard]);
  });
});
