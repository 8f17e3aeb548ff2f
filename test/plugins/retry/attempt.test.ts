import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Body, BytesBody, QueuedBody, type Sink } from "../../../core/body.ts";
import { GatewayError } from "../../../core/errors.ts";
import type { Exchange } from "../../../core/exchange.ts";
import { HeaderList } from "../../../core/headers.ts";
import { composePipeline } from "../../../core/pipeline.ts";
import type { Handler, Plugin } from "../../../core/plugin.ts";
import { Reply, textReply } from "../../../core/reply.ts";
import { retry } from "../../../plugins/retry.ts";
import { transform } from "../../../plugins/transform.ts";
import { below, createHost, ok, settle, statusOf } from "../../support/attempts.ts";
import { bodyText, buildStage, exchange, reply } from "../../support/harness.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

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
