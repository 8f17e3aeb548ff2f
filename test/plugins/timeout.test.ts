import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Body, BytesBody, QueuedBody, type Sink } from "../../core/body.ts";
import { GatewayError } from "../../core/errors.ts";
import type { Exchange } from "../../core/exchange.ts";
import type { Handler } from "../../core/plugin.ts";
import { Reply, textReply } from "../../core/reply.ts";
import { outgoingHeaders } from "../../core/upstream/outgoing-headers.ts";
import { retry } from "../../plugins/retry.ts";
import { timeout } from "../../plugins/timeout.ts";
import { createHost } from "../support/attempts.ts";
import { bodyText, buildStage, exchange } from "../support/harness.ts";

function build(options: Record<string, unknown>, next?: Handler): Promise<Handler> {
  return buildStage(timeout, options, next, createHost());
}

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** An upstream's body that somebody fills, and what became of it. */
function upstreamBody(length?: number): { body: QueuedBody; abort: ReturnType<typeof vi.fn> } {
  const abort = vi.fn();
  return { abort, body: new QueuedBody({ pause: () => {}, resume: () => {}, abort }, length) };
}

/** What a client gets of a body. */
class Client implements Sink {
  text = "";
  ended = false;
  trailers: string[] | undefined;
  failure: Error | undefined;
  accepts = true;

  write(chunk: Buffer): boolean {
    this.text += chunk.toString();
    return this.accepts;
  }
  end(last?: Buffer, trailers?: string[]): void {
    this.text += last?.toString() ?? "";
    this.ended = true;
    this.trailers = trailers;
  }
  fail(error: Error): void {
    this.failure = error;
  }
}

/** The outcome of a handler, as soon as there is one. */
async function outcome(
  handle: Handler,
  x: Exchange,
): Promise<{ code?: string; status?: number; ms: number }> {
  const began = performance.now();
  try {
    const reply = await handle(x);
    return { status: reply.status, ms: performance.now() - began };
  } catch (error) {
    return { code: (error as GatewayError).code, ms: performance.now() - began };
  }
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("timeout", () => {
  it("lets a reply in time pass, and leaves no timer when the exchange ends", async () => {
    const handle = await build({ after: "10s" });
    const x = exchange();
    expect(await bodyText(await handle(x))).toBe("upstream");
    expect(vi.getTimerCount()).toBe(1);
    x.end();
    expect(vi.getTimerCount()).toBe(0);
  });

  it("gives the exchange up: 504 DEADLINE_EXCEEDED, and what it waits for is aborted", async () => {
    const aborted: unknown[] = [];
    const handle = await build(
      { after: "10s" },
      (x) =>
        new Promise((_resolve, reject) => {
          x.onAbort({
            abort(reason) {
              aborted.push((reason as GatewayError).code);
              reject(reason);
            },
          });
        }),
    );
    const x = exchange();
    const result = outcome(handle, x);
    await vi.advanceTimersByTimeAsync(9999);
    expect(aborted).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(await result).toEqual({ code: "DEADLINE_EXCEEDED", ms: 10_000 });
    expect(aborted).toEqual(["DEADLINE_EXCEEDED"]);
    expect(new GatewayError("DEADLINE_EXCEEDED").status).toBe(504);
    expect(x.aborted).toMatchObject({ code: "DEADLINE_EXCEEDED" });
  });

  it("does not wait for stages that cannot be given up; their late reply is thrown away", async () => {
    const { body, abort } = upstreamBody();
    const late = new Reply(200);
    late.body = body;
    const handle = await build({ after: "1s" }, async () => {
      await wait(5000);
      return late;
    });
    const result = outcome(handle, exchange());
    await vi.advanceTimersByTimeAsync(1000);
    expect(await result).toEqual({ code: "DEADLINE_EXCEEDED", ms: 1000 });
    expect(abort).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(4000);
    expect(abort).toHaveBeenCalledOnce();
  });

  it("does not mind stages that fail late", async () => {
    const handle = await build({ after: "1s" }, async () => {
      await wait(5000);
      throw new Error("late");
    });
    const result = outcome(handle, exchange());
    await vi.advanceTimersByTimeAsync(5000);
    expect((await result).code).toBe("DEADLINE_EXCEEDED");
  });

  it("counts from the request's head, not from the stage", async () => {
    const handle = await build({ after: "1s" }, async () => {
      await wait(5000);
      return new Reply(200);
    });
    const x = exchange();
    await vi.advanceTimersByTimeAsync(700);
    const result = outcome(handle, x);
    await vi.advanceTimersByTimeAsync(5000);
    expect((await result).ms).toBe(300);
  });

  it("asks nobody when the time is over already", async () => {
    const below = vi.fn(() => new Reply(200));
    const handle = await build({ after: "1s" }, below);
    const x = exchange();
    await vi.advanceTimersByTimeAsync(1000);
    expect(await outcome(handle, x)).toEqual({ code: "DEADLINE_EXCEEDED", ms: 0 });
    expect(below).not.toHaveBeenCalled();
    x.end();
    expect(vi.getTimerCount()).toBe(0);
  });

  it("passes failures of the stages below on, thrown at once or later", async () => {
    const now = await build({ after: "1s" }, () => {
      throw new GatewayError("IP_DENIED");
    });
    expect((await outcome(now, exchange())).code).toBe("IP_DENIED");
    const later = await build({ after: "1s" }, () => Promise.reject(new GatewayError("UPSTREAM_RESET")));
    expect((await outcome(later, exchange())).code).toBe("UPSTREAM_RESET");
  });

  it("ends with the client: what the stages below bring later is thrown away", async () => {
    const { body, abort } = upstreamBody();
    const handle = await build({ after: "10s" }, async () => {
      await wait(500);
      return Object.assign(new Reply(200), { body });
    });
    const x = exchange();
    const result = outcome(handle, x);
    x.abort(new GatewayError("CLIENT_CLOSED"));
    expect((await result).code).toBe("CLIENT_CLOSED");
    await vi.advanceTimersByTimeAsync(500);
    expect(abort).toHaveBeenCalledOnce();
  });
});

describe("the reply's body", () => {
  const open = async (body: QueuedBody): Promise<{ x: Exchange; reply: Reply }> => {
    const handle = await build({ after: "1s" }, () => Object.assign(new Reply(200), { body }));
    const x = exchange();
    return { x, reply: await handle(x) };
  };

  it("is broken off when the deadline passes, and its upstream given up", async () => {
    const { body, abort } = upstreamBody();
    const { reply } = await open(body);
    const client = new Client();
    reply.body!.start(client);
    body.push(Buffer.from("half"));
    await vi.advanceTimersByTimeAsync(1000);
    expect(client).toMatchObject({ text: "half", ended: false, failure: { code: "DEADLINE_EXCEEDED" } });
    expect(abort).toHaveBeenCalledOnce();
  });

  it("is broken off also when all of it is there and the client does not take it", async () => {
    const { body } = upstreamBody();
    for (const text of ["a", "b", "c"]) body.push(Buffer.from(text));
    body.finish();
    const { reply } = await open(body);
    const client = new Client();
    client.accepts = false;
    reply.body!.start(client);
    await vi.advanceTimersByTimeAsync(1000);
    expect(client).toMatchObject({ text: "a", ended: false, failure: { code: "DEADLINE_EXCEEDED" } });
    reply.body!.resume();
    expect(client.text).toBe("a");
  });

  it("fails whoever begins to read it after the deadline, whatever the body itself would give", async () => {
    const start = vi.fn();
    const stubborn: Body = { length: 2, start, resume: () => {}, cancel: () => {} };
    const handle = await build({ after: "1s" }, () => Object.assign(new Reply(200), { body: stubborn }));
    const late = new Client();
    const given = await handle(exchange());
    await vi.advanceTimersByTimeAsync(1000);
    given.body!.start(late);
    expect([late.failure, start.mock.calls]).toEqual([expect.any(GatewayError), []]);
    const { body, abort } = upstreamBody();
    const { reply } = await open(body);
    await vi.advanceTimersByTimeAsync(1000);
    const client = new Client();
    reply.body!.start(client);
    expect(client.failure).toMatchObject({ code: "DEADLINE_EXCEEDED" });
    expect(abort).toHaveBeenCalledOnce();
  });

  it("passes whole when it ends in time, with its length, its pauses and its trailers", async () => {
    const { body } = upstreamBody(4);
    const { x, reply } = await open(body);
    expect(reply.body!.length).toBe(4);
    const client = new Client();
    client.accepts = false;
    reply.body!.start(client);
    body.push(Buffer.from("ab"));
    body.push(Buffer.from("cd"));
    expect(client.text).toBe("ab");
    client.accepts = true;
    reply.body!.resume();
    body.finish(["x-sum", "1"]);
    expect(client).toMatchObject({ text: "abcd", ended: true, trailers: ["x-sum", "1"] });
    x.end();
    await vi.advanceTimersByTimeAsync(5000);
    expect(client.failure).toBeUndefined();
  });

  it("tells of its failure, and can be cancelled", async () => {
    const one = upstreamBody();
    const { reply } = await open(one.body);
    const client = new Client();
    reply.body!.start(client);
    one.body.break(new GatewayError("UPSTREAM_RESET"));
    expect(client.failure).toMatchObject({ code: "UPSTREAM_RESET" });
    const two = upstreamBody();
    (await open(two.body)).reply.body!.cancel();
    expect(two.abort).toHaveBeenCalledOnce();
  });

  it("is left as it is when it is in memory", async () => {
    const reply = textReply(200, "here");
    const handle = await build({ after: "1s" }, () => reply);
    expect((await handle(exchange())).body).toBeInstanceOf(BytesBody);
  });
});

describe("header", () => {
  const sent = async (
    options: object,
    headers: Record<string, string>,
    spentMs = 0,
  ): Promise<{ deadlineMs: number; headers: Record<string, string> } | string> => {
    let seen: { deadlineMs: number; headers: Record<string, string> } | undefined;
    const handle = await build({ after: "10s", ...options }, async (x) => {
      await wait(spentMs);
      const raw = outgoingHeaders(x, "host");
      const all: Record<string, string> = {};
      for (let i = 0; i < raw.length; i += 2) {
        const name = raw[i]!.toLowerCase();
        all[name] = name in all ? `${all[name]}+${raw[i + 1]}` : raw[i + 1]!;
      }
      seen = { deadlineMs: x.deadline!.at - x.startedAt, headers: all };
      return new Reply(200);
    });
    const x = exchange({ headers });
    const result = outcome(handle, x);
    await vi.advanceTimersByTimeAsync(spentMs);
    const { code } = await result;
    x.end();
    return code ?? seen!;
  };
  const NAME = "x-request-timeout-ms";

  it("tells the upstream how many milliseconds are left", async () => {
    const seen = await sent({ header: "X-Request-Timeout-Ms" }, {}, 1500);
    expect(seen).toMatchObject({ headers: { [NAME]: "8500" } });
    const silent = (await sent({}, {})) as { headers: object };
    expect(silent.headers).not.toHaveProperty(NAME);
  });

  it("replaces what the client sent, which counts for nothing", async () => {
    const seen = await sent({ header: NAME }, { "X-Request-Timeout-MS": "50" });
    expect(seen).toMatchObject({ deadlineMs: 10_000, headers: { [NAME]: "10000" } });
    const kept = await sent({}, { [NAME]: "50" });
    expect(kept).toMatchObject({ deadlineMs: 10_000, headers: { [NAME]: "50" } });
  });

  it("of a client that is trusted may shorten the time, never lengthen it", async () => {
    const options = { header: NAME, trustClient: true };
    expect(await sent(options, { [NAME]: "50" })).toMatchObject({
      deadlineMs: 50,
      headers: { [NAME]: "50" },
    });
    expect(await sent(options, { [NAME]: "50000" })).toMatchObject({ deadlineMs: 10_000 });
    expect(await sent(options, { [NAME]: "0" })).toBe("DEADLINE_EXCEEDED");
    expect(await sent(options, {})).toMatchObject({ deadlineMs: 10_000 });
    for (const nonsense of ["-1", "1.5", "soon", "", "1e3"]) {
      expect(await sent(options, { [NAME]: nonsense })).toMatchObject({ deadlineMs: 10_000 });
    }
  });
});

describe("several timeouts", () => {
  const nest = async (outer: object, inner: object, next: Handler): Promise<Handler> =>
    build(outer as Record<string, unknown>, await build(inner as Record<string, unknown>, next));

  it.each([
    ["1s", "5s"],
    ["5s", "1s"],
  ])("end the exchange at the earliest, with one timer: %s above %s", async (above, inside) => {
    let timers = 0;
    const handle = await nest({ after: above }, { after: inside }, async () => {
      timers = vi.getTimerCount();
      await wait(60_000);
      return new Reply(200);
    });
    const x = exchange();
    const result = outcome(handle, x);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(await result).toEqual({ code: "DEADLINE_EXCEEDED", ms: 1000 });
    expect(timers).toBe(1);
  });

  it("tell the upstream the earliest, in the header of the innermost that names one", async () => {
    const seen: [number, string | undefined][] = [];
    const look: Handler = (x) => {
      seen.push([x.deadline!.at - x.startedAt, x.deadline!.header]);
      return new Reply(200);
    };
    const x = exchange();
    const client = exchange({ headers: { "x-a": "1", "x-b": "2", "x-c": "3" } });
    await (await nest({ after: "1s", header: "x-a" }, { after: "5s" }, look))(x);
    await (await nest({ after: "5s", header: "x-a" }, { after: "1s", header: "x-b" }, look))(client);
    expect(client.headers.raw).toEqual(["x-c", "3"]);
    expect(seen).toEqual([
      [1000, "x-a"],
      [1000, "x-b"],
    ]);
  });

  it("under a retry stage count for all attempts together", async () => {
    let calls = 0;
    const limited = await build({ after: "1s" }, async () => {
      calls++;
      await wait(400);
      throw new GatewayError("UPSTREAM_RESET");
    });
    const handle = await buildStage(retry, { attempts: 5, backoff: { base: "0s" } }, limited, createHost());
    const x = exchange();
    const result = outcome(handle, x);
    await vi.advanceTimersByTimeAsync(5000);
    expect(await result).toEqual({ code: "DEADLINE_EXCEEDED", ms: 1000 });
    expect(calls).toBe(3);
    x.end();
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("the options of timeout", () => {
  it.each<[string, Record<string, unknown>, string]>([
    ["no time", { after: "0s" }, "/after"],
    ["more than a timer can wait", { after: "30d" }, "/after"],
    ["a header that is none", { after: "1s", header: "a b" }, "/header"],
    ["a header that frames the message", { after: "1s", header: "content-length" }, "/header"],
    ["a header that requests cannot do without", { after: "1s", header: "Host" }, "/header"],
    ["trust without a header", { after: "1s", trustClient: true }, "/trustClient"],
  ])("refuse %s, and say where", async (_what, options, pointer) => {
    await expect(build(options)).rejects.toMatchObject({ problems: [{ pointer }] });
  });

  it("refuse what the schema does not know", async () => {
    await expect(build({})).rejects.toThrow("after");
    await expect(build({ after: "10" })).rejects.toThrow("/after");
    await expect(build({ after: "1s", headers: "x" })).rejects.toThrow();
  });
});
