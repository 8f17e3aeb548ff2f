import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Body, BytesBody, QueuedBody, type Sink } from "../../core/body.ts";
import { type ErrorCode, GatewayError } from "../../core/errors.ts";
import type { Exchange } from "../../core/exchange.ts";
import { HeaderList } from "../../core/headers.ts";
import { composePipeline } from "../../core/pipeline.ts";
import type { Handler, Plugin } from "../../core/plugin.ts";
import { Reply, textReply } from "../../core/reply.ts";
import { balance } from "../../plugins/balance.ts";
import { retry } from "../../plugins/retry.ts";
import { transform } from "../../plugins/transform.ts";
import {
  bodyText,
  buildStage,
  exchange,
  FakeClock,
  FakeHost,
  FakeUpstream,
  reply,
} from "../support/harness.ts";

/** The clock of the fake timers. */
class TimerClock extends FakeClock {
  override now(): number {
    return Date.now();
  }
  override monotonic(): number {
    return performance.now();
  }
}

function createHost(): FakeHost {
  const host = new FakeHost();
  host.clock = new TimerClock();
  return host;
}

type Answer = Reply | ErrorCode | Error | ((x: Exchange) => Reply | Promise<Reply>);

/** What stands below the stage: gives the answers in turn, the last for good, and writes down when it was asked. */
function below(...answers: Answer[]): Handler & { times: number[] } {
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
async function settle<T>(promise: Promise<T> | T): Promise<T> {
  const settled = Promise.resolve(promise);
  settled.catch(() => {});
  await vi.runAllTimersAsync();
  return settled;
}

const ok = (): Reply => textReply(200, "good");
const statusOf = async (handle: Handler, x: Exchange = exchange()): Promise<number | string> => {
  try {
    return (await settle(handle(x))).status;
  } catch (error) {
    return (error as GatewayError).code ?? (error as Error).message;
  }
};

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("retry", () => {
  it("asks once when the reply is good, and gives it", async () => {
    const upstream = below(ok());
    const handle = await buildStage(retry, {}, upstream, createHost());
    const good = await settle(handle(exchange()));
    expect([good.status, await bodyText(good), upstream.times.length]).toEqual([200, "good", 1]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("tries again what failed", async () => {
    const upstream = below("UPSTREAM_RESET", reply(503), ok());
    const handle = await buildStage(retry, {}, upstream, createHost());
    expect(await statusOf(handle)).toBe(200);
    expect(upstream.times).toHaveLength(3);
  });

  it.each([1, 2, 3, 5])("tries %d times in all, the first included, and gives what came last", async (n) => {
    const upstream = below("UPSTREAM_RESET", ...Array<Answer>(n - 1).fill("UPSTREAM_TIMEOUT"));
    const handle = await buildStage(retry, { attempts: n }, upstream, createHost());
    expect(await statusOf(handle)).toBe(n === 1 ? "UPSTREAM_RESET" : "UPSTREAM_TIMEOUT");
    expect(upstream.times).toHaveLength(n);
  });

  it("tries three times by default, and gives the last reply whole", async () => {
    const upstream = below(() => reply(503, { "x-nth": String(upstream.times.length) }, "busy"));
    const handle = await buildStage(retry, {}, upstream, createHost());
    const last = await settle(handle(exchange()));
    expect([last.status, last.headers.get("x-nth"), await bodyText(last)]).toEqual([503, "3", "busy"]);
  });

  const KINDS: [string, ErrorCode][] = [
    ["connect", "UPSTREAM_CONNECT_FAILED"],
    ["connect", "UPSTREAM_CONNECT_TIMEOUT"],
    ["connect", "UPSTREAM_TLS_FAILED"],
    ["reset", "UPSTREAM_RESET"],
    ["timeout", "UPSTREAM_TIMEOUT"],
    ["invalid", "UPSTREAM_REPLY_INVALID"],
    ["unavailable", "UPSTREAM_UNAVAILABLE"],
  ];
  it.each(KINDS)("tries %s (%s) again when it is in `on`, and only then", async (kind, code) => {
    const host = createHost();
    const listed = below(code, ok());
    expect(await statusOf(await buildStage(retry, { on: [kind] }, listed, host))).toBe(200);
    expect(host.collected("sluice_retries_total")).toEqual({
      [JSON.stringify({ route: "test", reason: kind })]: 1,
    });
    const unlisted = below(code, ok());
    const others = KINDS.map(([other]) => other).filter((other) => other !== kind);
    const on = [...new Set(others), 500];
    expect(await statusOf(await buildStage(retry, { on }, unlisted, createHost()))).toBe(code);
    expect(unlisted.times).toHaveLength(1);
  });

  it.each([400, 429, 500, 502, 503, 504, 599])("tries status %d again when it is listed", async (status) => {
    expect(await statusOf(await buildStage(retry, { on: [status] }, below(reply(status), ok())))).toBe(200);
    const others = [400, 429, 500, 502, 503, 504, 599].filter((other) => other !== status);
    const upstream = below(reply(status), ok());
    expect(await statusOf(await buildStage(retry, { on: others }, upstream))).toBe(status);
  });

  it("by default tries connect, reset, timeout and 503 again, and nothing else", async () => {
    const again: (string | number)[] = [];
    const answers: Answer[] = [...KINDS.map(([, code]) => code), "STAGE_FAILED", "BODY_TOO_LARGE"];
    for (const status of [404, 429, 500, 502, 503, 504]) answers.push(reply(status));
    for (const answer of answers) {
      const result = await statusOf(await buildStage(retry, {}, below(answer, ok()), createHost()));
      if (result === 200) again.push(typeof answer === "string" ? answer : (answer as Reply).status);
    }
    expect(again).toEqual([
      "UPSTREAM_CONNECT_FAILED",
      "UPSTREAM_CONNECT_TIMEOUT",
      "UPSTREAM_TLS_FAILED",
      "UPSTREAM_RESET",
      "UPSTREAM_TIMEOUT",
      503,
    ]);
  });

  it("passes on errors that are not the gateway's", async () => {
    const upstream = below(new Error("a bug"), ok());
    expect(await statusOf(await buildStage(retry, {}, upstream, createHost()))).toBe("a bug");
    expect(upstream.times).toHaveLength(1);
  });

  it("works over handlers that answer or throw at once", async () => {
    let calls = 0;
    const handle = await buildStage(
      retry,
      {},
      () => {
        if (++calls === 1) throw new GatewayError("UPSTREAM_RESET");
        return ok();
      },
      createHost(),
    );
    expect(await statusOf(handle)).toBe(200);
  });
});

describe("methods", () => {
  it.each(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"])("%s is tried again", async (method) => {
    const handle = await buildStage(retry, {}, below("UPSTREAM_RESET", ok()), createHost());
    expect(await statusOf(handle, exchange({ method }))).toBe(200);
  });

  it.each(["POST", "PATCH", "CONNECT", "PROPPATCH"])("%s never is unless it is listed", async (method) => {
    for (const answer of ["UPSTREAM_CONNECT_FAILED", reply(503)] as const) {
      const upstream = below(answer, ok());
      const handle = await buildStage(retry, {}, upstream, createHost());
      expect(await statusOf(handle, exchange({ method }))).not.toBe(200);
      expect(upstream.times).toHaveLength(1);
    }
    const handle = await buildStage(
      retry,
      { methods: [method] },
      below("UPSTREAM_RESET", ok()),
      createHost(),
    );
    expect(await statusOf(handle, exchange({ method }))).toBe(200);
  });

  it("that are listed are all there are; GET includes HEAD", async () => {
    const retried = async (method: string): Promise<boolean> => {
      const handle = await buildStage(
        retry,
        { methods: ["GET"] },
        below("UPSTREAM_RESET", ok()),
        createHost(),
      );
      return (await statusOf(handle, exchange({ method }))) === 200;
    };
    expect([await retried("GET"), await retried("HEAD"), await retried("PUT")]).toEqual([true, true, false]);
  });

  it("count as they were sent: a GET that a stage below made a POST is not tried again", async () => {
    const host = createHost();
    const upstream = below((x) => {
      x.method = "POST";
      throw new GatewayError("UPSTREAM_RESET");
    }, ok());
    expect(await statusOf(await buildStage(retry, {}, upstream, host))).toBe("UPSTREAM_RESET");
    expect(host.collected("sluice_retries_denied_total")).toEqual({
      '{"route":"test","reason":"method"}': 1,
    });
  });
});

describe("the next target", () => {
  const build = async (
    options: object,
    targets: string[],
  ): Promise<{ handle: Handler; upstream: FakeUpstream; host: FakeHost }> => {
    const host = createHost();
    const upstream = new FakeUpstream("users", targets);
    host.upstreams.set("users", upstream);
    const send = await buildStage(balance, { upstream: "users" }, undefined, host);
    const handle = await buildStage(retry, { ...options }, send, host);
    return { handle, upstream, host };
  };
  const fail =
    (code: ErrorCode): (() => never) =>
    () => {
      throw new GatewayError(code);
    };

  it("is one that has not failed this request", async () => {
    const { handle, upstream } = await build({}, ["a", "b", "c"]);
    for (const target of upstream.targets) target.answer = () => reply(503);
    await settle(handle(exchange()));
    expect(upstream.targets.map(({ seen }) => seen.length)).toEqual([1, 1, 1]);
    upstream.targets[2]!.answer = () => ok();
    for (let i = 0; i < 9; i++) expect(await statusOf(handle)).toBe(200);
  });

  it("is one that failed when there is no other", async () => {
    const { handle, upstream } = await build({ attempts: 4 }, ["a", "b"]);
    for (const target of upstream.targets) target.answer = fail("UPSTREAM_RESET");
    await settle(handle(exchange())).catch(() => {});
    expect(upstream.targets.reduce((sum, { seen }) => sum + seen.length, 0)).toBe(4);
    expect(upstream.targets.map(({ seen }) => seen.length)).toEqual([2, 2]);
  });

  it("is asked at once when the one before could not be reached, and after a wait when there is no other", async () => {
    const two = await build({}, ["a", "b"]);
    two.upstream.targets[0]!.answer = fail("UPSTREAM_CONNECT_FAILED");
    const began = performance.now();
    expect((await two.handle(exchange())).status).toBe(200);
    expect(performance.now() - began).toBe(0);

    const three = await build({}, ["a", "b", "c"]);
    for (const target of three.upstream.targets.slice(0, 2)) target.answer = fail("UPSTREAM_CONNECT_FAILED");
    expect((await three.handle(exchange())).status).toBe(200);

    const one = await build({ attempts: 2, backoff: { base: "100ms" } }, ["a"]);
    one.upstream.targets[0]!.answer = fail("UPSTREAM_CONNECT_FAILED");
    expect(await statusOf(one.handle)).toBe("UPSTREAM_CONNECT_FAILED");
    expect(performance.now() - began).toBe(50);
  });

  it("is asked after a wait when the first was reached and failed", async () => {
    const { handle, upstream } = await build({ backoff: { base: "100ms" } }, ["a", "b"]);
    upstream.targets[0]!.answer = fail("UPSTREAM_RESET");
    const began = performance.now();
    expect(await statusOf(handle)).toBe(200);
    expect(performance.now() - began).toBe(50);
  });
});

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
    x.deadline = { at: performance.now() + 50, header: undefined };
    expect(await statusOf(handle, x)).toBe("UPSTREAM_RESET");
    expect(host.collected("sluice_retries_denied_total")).toEqual({
      '{"route":"test","reason":"deadline"}': 1,
    });
    const later = exchange();
    later.deadline = { at: performance.now() + 51, header: undefined };
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

describe("each attempt", () => {
  it("starts from the same request, whatever stages below do to it", async () => {
    const seen: object[] = [];
    const send = below((x) => {
      const { method, path, search } = x;
      seen.push({ method, path, search, added: x.headers.getAll("x-added") });
      throw new GatewayError("UPSTREAM_RESET");
    });
    const change = await buildStage(
      transform,
      {
        request: {
          headers: { add: { "x-added": "1" } },
          path: "/v2{request.path}",
          query: { set: { a: "1" } },
        },
      },
      async (x) => {
        x.path += "/more";
        return send(x);
      },
    );
    const handle = await buildStage(retry, {}, change, createHost());
    await statusOf(handle, exchange({ target: "/x?b=2", headers: { "x-added": "0" } }));
    expect(seen).toHaveLength(3);
    expect(seen[0]).toMatchObject({ added: ["0", "1"] });
    expect(seen[1]).toEqual(seen[0]);
    expect(seen[2]).toEqual(seen[0]);
  });

  it("leaves one set of headers for failures, and those of stages above", async () => {
    const upstream = below("UPSTREAM_RESET");
    const mark: Handler = (x) => {
      (x.failureHeaders ??= new HeaderList()).append("x-added", "1");
      return upstream(x);
    };
    const handle = await buildStage(retry, {}, mark, createHost());
    const x = exchange();
    x.failureHeaders = new HeaderList(["x-above", "1"]);
    await statusOf(handle, x);
    expect(x.failureHeaders.raw).toEqual(["x-above", "1", "x-added", "1"]);
    const other = exchange();
    await statusOf(handle, other);
    expect(other.failureHeaders?.raw).toEqual(["x-added", "1"]);
  });

  it("has only its own guards, and those of stages above", async () => {
    const counts: number[] = [];
    const guard = { admit: () => true };
    const upstream = below((x) => {
      counts.push((x.guards ??= []).push(guard));
      throw new GatewayError("UPSTREAM_RESET");
    });
    const handle = await buildStage(retry, {}, upstream, createHost());
    const x = exchange();
    x.guards = [guard];
    await statusOf(handle, x);
    await statusOf(handle, exchange());
    expect(counts).toEqual([2, 2, 2, 1, 1, 1]);
  });

  it("runs stages between that wait, skip their failures and make replies of them", async () => {
    let calls = 0;
    const flaky = {
      name: "flaky",
      when: undefined,
      onError: "skip" as const,
      stage: (next: Handler) => async (x: Exchange) => {
        await new Promise((resolve) => setTimeout(resolve, 5));
        if (++calls === 2) throw new Error("only the second time");
        return next(x);
      },
    };
    const upstream = below("UPSTREAM_RESET", ok());
    const host = createHost();
    const built = await retry.build({ ...(await defaults()) } as never, host);
    const handle = composePipeline([
      { name: "retry", when: undefined, onError: "fail", stage: built },
      flaky,
      { name: "send", when: undefined, onError: "fail", stage: () => upstream },
    ]);
    expect(await statusOf(handle)).toBe(200);
    expect([calls, upstream.times.length]).toEqual([2, 2]);
  });

  /** The options of a stage without any. */
  async function defaults(): Promise<object> {
    let options: object = {};
    const spy: Plugin<object> = {
      ...retry,
      build(given) {
        options = given;
        return (next) => next;
      },
    };
    await buildStage(spy as Plugin);
    return options;
  }

  it("gets the reply of the one before out of the way: small ones are read, large ones cancelled", async () => {
    const events: string[] = [];
    const upstreamReply = (name: string, length: number | undefined): Reply => {
      const body = new QueuedBody(
        { pause: () => {}, resume: () => {}, abort: () => void events.push(`${name} cancelled`) },
        length,
      );
      body.push(Buffer.alloc(10));
      if (name !== "endless") body.finish();
      else body.push(Buffer.alloc(70_000));
      return Object.assign(new Reply(503), { body });
    };
    const large = Object.assign(new Reply(503), {
      body: new QueuedBody(
        { pause: () => {}, resume: () => {}, abort: () => void events.push("large cancelled") },
        1e6,
      ),
    });
    const small = upstreamReply("small", 10);
    const upstream = below(small, large, upstreamReply("endless", undefined), ok());
    const x = exchange();
    expect(await statusOf(await buildStage(retry, { attempts: 4 }, upstream, createHost()), x)).toBe(200);
    expect(events).toEqual(["large cancelled", "endless cancelled"]);
  });

  it("leaves nothing to be read of an earlier reply when the exchange ends", async () => {
    const abort = vi.fn();
    const slow = Object.assign(new Reply(503), {
      body: new QueuedBody({ pause: () => {}, resume: () => {}, abort }, 10),
    });
    const x = exchange();
    expect(await statusOf(await buildStage(retry, {}, below(slow, ok()), createHost()), x)).toBe(200);
    expect(abort).not.toHaveBeenCalled();
    x.end();
    expect(abort).toHaveBeenCalledOnce();
  });

  it("leaves nothing on the exchange that would be given up with it", async () => {
    const x = exchange();
    const handle = await buildStage(retry, {}, below("UPSTREAM_RESET", reply(503), ok()), createHost());
    expect(await statusOf(handle, x)).toBe(200);
    expect(x.abortMark).toBe(0);
  });

  it("gives up what the one before has begun", async () => {
    const aborted = vi.fn();
    const upstream = below((x) => {
      x.onAbort({ abort: aborted });
      throw new GatewayError("UPSTREAM_RESET");
    }, ok());
    expect(await statusOf(await buildStage(retry, {}, upstream, createHost()))).toBe(200);
    expect(aborted).toHaveBeenCalledOnce();
  });
});

describe("request bodies", () => {
  /** Reads what it may of the body, then fails. */
  const readThenFail =
    (texts: string[], maxBytes: number) =>
    (x: Exchange): Promise<Reply> =>
      new Promise((_resolve, reject) => {
        const body = x.body!;
        let text = "";
        const fail = (): void => {
          texts.push(text);
          body.cancel();
          reject(new GatewayError("UPSTREAM_RESET"));
        };
        const sink: Sink = {
          write(chunk) {
            text += chunk.toString();
            if (text.length >= maxBytes) fail();
            return true;
          },
          end: fail,
          fail: reject,
        };
        body.start(sink);
        if (maxBytes === 0) fail();
      });
  const readAll = async (x: Exchange): Promise<Reply> => textReply(200, await bodyText(x));
  const source = (length?: number): { body: QueuedBody; abort: ReturnType<typeof vi.fn> } => {
    const abort = vi.fn();
    return { abort, body: new QueuedBody({ pause: () => {}, resume: () => {}, abort }, length) };
  };
  const put = (body: Body): Exchange => exchange({ method: "PUT", body });

  it("are the same for each attempt, be they in memory or still coming", async () => {
    const texts: string[] = [];
    const handle = await buildStage(
      retry,
      {},
      below(readThenFail(texts, 2), readThenFail(texts, 6), readAll),
      createHost(),
    );
    const { body } = source(6);
    const x = put(body);
    const result = handle(x);
    body.push(Buffer.from("abc"));
    await vi.advanceTimersByTimeAsync(100);
    body.push(Buffer.from("def"));
    body.finish();
    expect(await bodyText(await settle(result))).toBe("abcdef");
    expect(texts).toEqual(["abc", "abcdef"]);

    const inMemory = await buildStage(retry, {}, below(readThenFail([], 2), readAll), createHost());
    expect(await bodyText(await settle(inMemory(put(new BytesBody(Buffer.from("abc"))))))).toBe("abc");
  });

  it("are as they came when a stage below changed them", async () => {
    const upstream = below("UPSTREAM_RESET", readAll);
    const handle = await buildStage(
      retry,
      {},
      async (x) => {
        const text = (await x.readBody(100)).toString();
        x.setBody(`<${text}>`);
        return upstream(x);
      },
      createHost(),
    );
    const { body } = source();
    body.push(Buffer.from("abc"));
    body.finish();
    expect(await bodyText(await settle(handle(put(body))))).toBe("<abc>");
  });

  it("beyond maxBodySize are not sent again, and that is counted", async () => {
    const host = createHost();
    const upstream = below(readThenFail([], 5), ok());
    const handle = await buildStage(retry, { maxBodySize: "4B" }, upstream, host);
    const { body, abort } = source();
    body.push(Buffer.from("abc"));
    body.push(Buffer.from("def"));
    const x = put(body);
    expect(await statusOf(handle, x)).toBe("UPSTREAM_RESET");
    expect(upstream.times).toHaveLength(1);
    expect(host.collected("sluice_retries_denied_total")).toEqual({ '{"route":"test","reason":"body"}': 1 });
    expect(abort).toHaveBeenCalledOnce();
  });

  it("of up to 64KB are sent again by default", async () => {
    for (const [bytes, expected] of [
      [65_536, 200],
      [65_537, "UPSTREAM_RESET"],
    ] as const) {
      const { body } = source(bytes);
      body.push(Buffer.alloc(bytes));
      body.finish();
      const handle = await buildStage(retry, {}, below(readThenFail([], bytes), ok()), createHost());
      expect(await statusOf(handle, put(body))).toBe(expected);
    }
  });

  it("of any size are sent to another target when nothing of them was read", async () => {
    const { body } = source(1e6);
    const handle = await buildStage(retry, {}, below("UPSTREAM_CONNECT_FAILED", ok()), createHost());
    expect(await statusOf(handle, put(body))).toBe(200);
  });

  it("that break off are the client's failure", async () => {
    const upstream = below(readAll, ok());
    const handle = await buildStage(retry, {}, upstream, createHost());
    const { body } = source();
    const result = handle(put(body));
    body.push(Buffer.from("abc"));
    body.break(new GatewayError("CLIENT_CLOSED"));
    await expect(settle(result)).rejects.toThrow("The client went away");
    expect(upstream.times).toHaveLength(1);
  });

  it("are cancelled when all is over: after the last failure, and at the end of the exchange", async () => {
    const failed = source();
    const handle = await buildStage(retry, {}, below(readThenFail([], 0)), createHost());
    const x = put(failed.body);
    expect(await statusOf(handle, x)).toBe("UPSTREAM_RESET");
    expect(failed.abort).not.toHaveBeenCalled();
    x.body!.cancel(); // as the server does with what failed
    expect(failed.abort).toHaveBeenCalledOnce();

    const unread = source();
    const good = put(unread.body);
    const pass = await buildStage(retry, {}, below(ok()), createHost());
    expect(await statusOf(pass, good)).toBe(200);
    good.end();
    expect(unread.abort).toHaveBeenCalledOnce();

    const refused = source();
    const early = put(refused.body);
    const accept = await buildStage(retry, {}, below(ok()), createHost());
    expect(await statusOf(accept, early)).toBe(200);
    early.body!.cancel(); // as an upstream's request does that has its reply
    expect(refused.abort).toHaveBeenCalledOnce();
  });

  it("are there for a stage above that sends them elsewhere after the last failure", async () => {
    const handle = await buildStage(retry, {}, below(readThenFail([], 2)), createHost());
    const { body } = source();
    const x = put(body);
    const result = handle(x);
    body.push(Buffer.from("abc"));
    await settle(result).catch(() => {});
    const text = bodyText(x);
    body.push(Buffer.from("def"));
    body.finish();
    expect(await text).toBe("abcdef");
  });
});

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
    expect(host.collected("sluice_retry_budget_used")['{"route":"test"}']).toBeGreaterThanOrEqual(1);
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

describe("the metrics of retry", () => {
  it("count retries by reason, requests that they saved, and those that failed to the end", async () => {
    const host = createHost();
    const handle = await buildStage(
      retry,
      { attempts: 2 },
      below("UPSTREAM_RESET", ok(), reply(503), "UPSTREAM_TIMEOUT", "UPSTREAM_RESET", reply(404), ok()),
      host,
    );
    for (let i = 0; i < 4; i++) await statusOf(handle);
    expect(host.collected("sluice_retries_total")).toEqual({
      '{"route":"test","reason":"reset"}': 2,
      '{"route":"test","reason":"503"}': 1,
    });
    expect(host.collected("sluice_retries_succeeded_total")).toEqual({ '{"route":"test"}': 2 });
    expect(host.collected("sluice_retries_exhausted_total")).toEqual({ '{"route":"test"}': 1 });
    expect(host.collected("sluice_retry_budget_used")).toEqual({ '{"route":"test"}': 0 });
  });
});

describe("the options of retry", () => {
  it.each<[string, object]>([
    ["no attempts", { attempts: 0 }],
    ["too many attempts", { attempts: 21 }],
    ["an unknown failure", { on: ["refused"] }],
    ["a status that is no failure", { on: [302] }],
    ["no failures", { on: [] }],
    ["a method in small letters", { methods: ["get"] }],
    ["no methods", { methods: [] }],
    ["a time without unit", { perTryTimeout: "2" }],
    ["no time", { perTryTimeout: "0s" }],
    ["a base beyond max", { backoff: { base: "2s" } }],
    ["a share without percent", { budget: "0.2" }],
    ["an unknown option", { retries: 3 }],
  ])("refuse %s", async (_what, options) => {
    await expect(buildStage(retry, options as Record<string, unknown>)).rejects.toThrow();
  });

  it("say where a time makes no sense", async () => {
    await expect(buildStage(retry, { backoff: { base: "2s" } })).rejects.toMatchObject({
      problems: [{ pointer: "/backoff/base" }],
    });
    await expect(buildStage(retry, { perTryTimeout: "0s" })).rejects.toMatchObject({
      problems: [{ pointer: "/perTryTimeout" }],
    });
  });
});
