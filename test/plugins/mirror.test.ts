import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { collect, type Producer } from "../../core/body.ts";
import {
  ConfigError,
  type Exchange,
  GatewayError,
  type Handler,
  QueuedBody,
  type Reply,
  textReply,
} from "../../core/plugin.ts";
import { mirror } from "../../plugins/mirror.ts";
import {
  bodyText,
  buildStage,
  exchange,
  FakeHost,
  type FakeTarget,
  FakeUpstream,
  type RequestInit,
} from "../support/harness.ts";

const SHADOW = "shadow.test:81";

function hostWith(): FakeHost {
  const host = new FakeHost();
  host.upstreams.set("shadow", new FakeUpstream("shadow", [SHADOW]));
  return host;
}

const shadowOf = (host: FakeHost): FakeTarget => (host.upstreams.get("shadow") as FakeUpstream).targets[0]!;

const build = (options: object = {}, host: FakeHost = hostWith(), next?: Handler): Promise<Handler> =>
  buildStage(mirror, { upstream: "shadow", ...options }, next, host);

/** How copies ended so far, without those that no copy did. */
function results(host: FakeHost): Record<string, number> {
  return Object.fromEntries(
    Object.entries(host.collected("sluice_mirror_requests_total"))
      .filter(([, count]) => count > 0)
      .map(([labels, count]) => [(JSON.parse(labels) as { result: string }).result, count]),
  );
}

const inFlight = (host: FakeHost): number | undefined =>
  Object.values(host.collected("sluice_mirror_in_flight"))[0];

/** Waits for everything that needs no time. */
const settled = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};

const IDLE: Producer = { pause() {}, resume() {}, abort() {} };

/** A request whose body comes as the test pushes it. */
function upload(length?: number, request: RequestInit = {}): { x: Exchange; body: QueuedBody } {
  const body = new QueuedBody(IDLE, length);
  return { x: exchange({ method: "POST", ...request, body }), body };
}

const readBody: Handler = async (x) =>
  textReply(200, x.body === null ? "" : (await collect(x.body, 1e6)).toString());

async function refusal(options: object): Promise<string | undefined> {
  const error = await build(options).then(
    () => expect.unreachable("it was built"),
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(ConfigError);
  return (error as ConfigError).problems[0]?.pointer;
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
});

afterEach(() => {
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

describe("a copy", () => {
  it("is the request as the stages above left it", async () => {
    const host = hostWith();
    const x = exchange({ method: "PUT", target: "/a?b=1", headers: ["X-A", "1", "x-a", "2"], body: "text" });
    x.path = "/v2/a";
    x.search = "?b=1&c=2";
    x.headers.append("x-tenant", "t");
    await (await build({}, host))(x);
    const [copy] = shadowOf(host).seen;
    expect(copy).toMatchObject({ method: "PUT", path: "/v2/a", search: "?b=1&c=2", id: x.id });
    expect(copy!.headers.raw).toEqual(["X-A", "1", "x-a", "2", "x-tenant", "t", "x-mirrored", "true"]);
    expect(await bodyText(copy!)).toBe("text");
    expect(results(host)).toEqual({ ok: 1 });
  });

  it("is not changed by the stages below, nor changes the original", async () => {
    const host = hostWith();
    let original: string[] = [];
    const handler = await build({}, host, (x) => {
      original = x.headers.raw.slice();
      x.path = "/below";
      x.headers.set("x-below", "1");
      return textReply(200, "main");
    });
    const reply = await handler(exchange({ target: "/above" }));
    expect([await bodyText(reply), original]).toEqual(["main", []]);
    expect(shadowOf(host).seen[0]).toMatchObject({ path: "/above" });
    expect(shadowOf(host).seen[0]!.headers.raw).toEqual(["x-mirrored", "true"]);
  });

  it("goes after the original, and even if that fails at once", async () => {
    const host = hostWith();
    const order: string[] = [];
    shadowOf(host).answer = () => textReply(200, String(order.push("copy")));
    const handler = await build({}, host, () => {
      order.push("original");
      throw new GatewayError("IP_DENIED");
    });
    expect(() => handler(exchange())).toThrow("not allowed");
    await settled();
    expect(order).toEqual(["original", "copy"]);
  });

  it("has the headers that it is given, without those that it must not have", async () => {
    const host = hostWith();
    const headers = {
      remove: ["Authorization", "cookie"],
      set: {
        "X-Tenant": "{request.header.x-client}-shadow",
        "x-mirrored": "by sluice",
        "x-none": "{client.no}",
      },
    };
    await expect(build({ headers }, host)).rejects.toThrow("client.no");
    headers.set["x-none"] = "{request.header.none}";
    const request = { authorization: "secret", Cookie: "a=b", "x-client": "c", accept: "*/*" };
    await (await build({ headers }, host))(exchange({ headers: request }));
    expect(shadowOf(host).seen[0]!.headers.raw).toEqual([
      "x-client",
      "c",
      "accept",
      "*/*",
      "x-mirrored",
      "by sluice",
      "x-tenant",
      "c-shadow",
    ]);
  });

  it("does not say that it is one if it must not", async () => {
    const host = hostWith();
    await (await build({ headers: { remove: ["x-mirrored"] } }, host))(exchange());
    expect(shadowOf(host).seen[0]!.headers.raw).toEqual([]);
  });

  it("keeps the client's Host only if told, whatever the route does", async () => {
    for (const preserveHost of [false, true]) {
      const host = hostWith();
      const x = exchange();
      x.route = { ...x.route, preserveHost: !preserveHost };
      await (await build({ preserveHost }, host))(x);
      expect(shadowOf(host).seen[0]!.route).toMatchObject({ name: "test", preserveHost, stats: undefined });
    }
  });

  it("goes to the upstream's targets as the strategy says", async () => {
    const host = hostWith();
    const upstream = new FakeUpstream("shadow", ["a", "b"]);
    host.upstreams.set("shadow", upstream);
    const handler = await build({ strategy: "round-robin" }, host);
    for (let i = 0; i < 4; i++) await handler(exchange());
    expect(upstream.targets.map(({ seen }) => seen.length)).toEqual([2, 2]);
    await expect(build({ strategy: "best" })).rejects.toThrow("/strategy");
    const hashed = { strategy: "consistent-hash", key: { header: "x-user" }, loadFactor: false };
    const byUser = await build(hashed, host);
    for (let i = 0; i < 10; i++) await byUser(exchange({ headers: { "x-user": "u" } }));
    expect(upstream.targets.map(({ seen }) => seen.length).toSorted()).toEqual([12, 2]);
  });

  it("goes on when the client goes away after its request", async () => {
    const host = hostWith();
    let answer: (reply: Reply) => void = () => {};
    shadowOf(host).answer = () => new Promise((resolve) => (answer = resolve));
    const x = exchange();
    await (await build({}, host))(x);
    x.abort(new GatewayError("CLIENT_CLOSED"));
    x.end();
    expect(shadowOf(host).seen[0]!.aborted).toBeUndefined();
    answer(textReply(200, ""));
    await settled();
    expect(results(host)).toEqual({ ok: 1 });
  });
});

describe("the share of requests that are copied", () => {
  const count = async (options: object, random: () => number, request = (_: number): RequestInit => ({})) => {
    const host = hostWith();
    host.random = random;
    const handler = await build(options, host);
    for (let i = 0; i < 1000; i++) await handler(exchange(request(i)));
    return shadowOf(host).seen.map(({ id }) => id).length;
  };

  it("is all by default", async () => {
    expect(await count({}, () => 0.999)).toBe(1000);
  });

  it("is what chance says", async () => {
    let i = 0;
    expect(await count({ percent: "10%" }, () => (i++ % 100) / 100)).toBe(100);
  });

  it("is nothing at 0 %: the stage is not even there", async () => {
    const next: Handler = () => textReply(200, "");
    expect(await build({ percent: "0%" }, hostWith(), next)).toBe(next);
  });

  it("is the same keys each time, with a key", async () => {
    const run = async (salt: string): Promise<string[]> => {
      const host = hostWith();
      host.random = () => expect.unreachable("there is a key");
      const handler = await build({ percent: "25%", by: { header: "x-user" }, salt }, host);
      for (let i = 0; i < 1000; i++) await handler(exchange({ headers: { "x-user": `u${i}` } }));
      return shadowOf(host).seen.map(({ headers }) => headers.get("x-user")!);
    };
    const [first, again, other] = [await run("a"), await run("a"), await run("b")];
    expect(again).toEqual(first);
    expect(first.length).toBeGreaterThan(250 - 55);
    expect(first.length).toBeLessThan(250 + 55);
    const both = other.filter((user) => first.includes(user)).length;
    expect(both).toBeGreaterThan(62 - 31);
    expect(both).toBeLessThan(62 + 31);
  });

  it("is what chance says where there is no key", async () => {
    let i = 0;
    expect(await count({ percent: "50%", by: { header: "x-user" } }, () => (i++ % 2 === 0 ? 0.1 : 0.9))).toBe(
      500,
    );
  });

  it("cannot be more than all", async () => {
    expect(await refusal({ percent: "101%" })).toBe("/percent");
    await expect(build({ percent: "10" })).rejects.toThrow("/percent");
    expect(await refusal({ percent: "10%", by: "{no.such}" })).toBe("/by");
    expect(await refusal({ by: "{no.such}" })).toBe("/by");
  });
});

describe("a copy with a body", () => {
  it("is sent when the body has come whole, while the original streams", async () => {
    const host = hostWith();
    const handler = await build({}, host, readBody);
    const { x, body } = upload();
    const reply = handler(x);
    body.push(Buffer.from("one "));
    await settled();
    expect([shadowOf(host).seen.length, inFlight(host)]).toEqual([0, 1]);
    body.push(Buffer.from("two"));
    body.finish();
    expect(await bodyText(await reply)).toBe("one two");
    expect(await bodyText(shadowOf(host).seen[0]!)).toBe("one two");
    x.end();
    await settled();
    expect([results(host), inFlight(host)]).toEqual([{ ok: 1 }, 0]);
  });

  it("is sent once when the body was there already", async () => {
    const host = hostWith();
    const handler = await build({}, host, readBody);
    const { x, body } = upload();
    body.push(Buffer.from("all"));
    body.finish();
    await handler(x);
    await settled();
    expect(shadowOf(host).seen).toHaveLength(1);
  });

  it("is not made when the body says that it is too large", async () => {
    const host = hostWith();
    const handler = await build({ maxBodySize: "4B" }, host, readBody);
    const { x, body } = upload(5);
    const before = x.body;
    const reply = handler(x);
    expect(x.body).toBe(before);
    body.push(Buffer.from("12345"));
    body.finish();
    expect(await bodyText(await reply)).toBe("12345");
    await handler(exchange({ body: "12345" }));
    expect([shadowOf(host).seen.length, results(host)]).toEqual([0, { skipped_body: 2 }]);
  });

  it("is given up when the body turns out to be too large", async () => {
    const host = hostWith();
    const handler = await build({ maxBodySize: "4B" }, host, readBody);
    const { x, body } = upload();
    const reply = handler(x);
    body.push(Buffer.from("123"));
    body.push(Buffer.from("45"));
    expect([results(host), inFlight(host)]).toEqual([{ skipped_body: 1 }, 0]);
    body.finish();
    expect(await bodyText(await reply)).toBe("12345");
    x.end();
    expect([shadowOf(host).seen.length, results(host)]).toEqual([0, { skipped_body: 1 }]);
  });

  it("is given up when the body breaks off", async () => {
    const host = hostWith();
    const handler = await build({}, host, readBody);
    const { x, body } = upload();
    const reply = handler(x);
    body.push(Buffer.from("1"));
    body.break(new GatewayError("CLIENT_CLOSED"));
    await expect(reply).rejects.toThrow("went away");
    expect([shadowOf(host).seen.length, results(host), inFlight(host)]).toEqual([0, { skipped_body: 1 }, 0]);
  });

  it("is given up when nobody reads the body", async () => {
    const host = hostWith();
    const handler = await build({}, host);
    const { x } = upload();
    await handler(x);
    expect(inFlight(host)).toBe(1);
    x.end();
    expect([shadowOf(host).seen.length, results(host), inFlight(host)]).toEqual([0, { skipped_body: 1 }, 0]);
  });

  it("can be read by the stages above before, and by those below", async () => {
    const host = hostWith();
    let below = "";
    const handler = await build({}, host, async (x) => {
      below = (await x.readBody(100)).toString();
      return textReply(200, "");
    });
    const { x, body } = upload();
    body.push(Buffer.from("text"));
    body.finish();
    await handler(x);
    await x.readBody(100);
    await handler(x);
    const copies = await Promise.all(shadowOf(host).seen.map((copy) => bodyText(copy)));
    expect([below, copies]).toEqual(["text", ["text", "text"]]);
  });
});

describe("the upstream of copies", () => {
  it("never delays the client's reply nor fails it", async () => {
    const host = hostWith();
    const handler = await build({}, host, () => textReply(200, "main"));
    const answers: FakeTarget["answer"][] = [
      () => new Promise(() => {}),
      () => Promise.reject(new GatewayError("UPSTREAM_RESET")),
      () => {
        throw new Error("boom");
      },
      () => textReply(503, "no"),
    ];
    for (const answer of answers) {
      shadowOf(host).answer = answer;
      expect(await bodyText(await handler(exchange()))).toBe("main");
    }
    (host.upstreams.get("shadow") as FakeUpstream).eligible = [];
    expect(await bodyText(await handler(exchange()))).toBe("main");
    await settled();
    expect([results(host), inFlight(host)]).toEqual([{ failed: 3, error: 1 }, 1]);
    await vi.advanceTimersByTimeAsync(5000);
    expect([results(host), inFlight(host)]).toEqual([{ failed: 4, error: 1 }, 0]);
  });

  it("is told of in the log at debug only", async () => {
    const host = hostWith();
    shadowOf(host).answer = () => Promise.reject(new GatewayError("UPSTREAM_RESET"));
    const x = exchange();
    await (await build({}, host))(x);
    await settled();
    expect(host.log.lines).toMatchObject([
      {
        level: "debug",
        message: "a mirrored request failed",
        fields: { upstream: "shadow", target: `http://${SHADOW}`, requestId: x.id },
      },
    ]);
  });

  it("has so much time for its whole reply, then the copy is given up", async () => {
    const host = hostWith();
    const aborts: string[] = [];
    const reply = textReply(200, "");
    const body = new QueuedBody({ ...IDLE, abort: (reason) => void aborts.push(reason.message) }, undefined);
    reply.body = body;
    shadowOf(host).answer = (x) => {
      x.onAbort({ abort: (reason) => body.break(reason) });
      return reply;
    };
    await (await build({ timeout: "2s" }, host))(exchange());
    await vi.advanceTimersByTimeAsync(1999);
    expect(inFlight(host)).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    expect([inFlight(host), results(host)]).toEqual([0, { failed: 1 }]);
    expect(shadowOf(host).seen[0]!.aborted).toMatchObject({ code: "UPSTREAM_TIMEOUT" });
  });

  it("may answer after the copy was given up: nobody takes the reply", async () => {
    const host = hostWith();
    let answer: (reply: Reply) => void = () => {};
    shadowOf(host).answer = () => new Promise((resolve) => (answer = resolve));
    await (await build({ timeout: "1s" }, host))(exchange());
    await vi.advanceTimersByTimeAsync(1000);
    const cancelled = vi.fn<() => void>();
    const reply = textReply(200, "");
    reply.body = new QueuedBody({ ...IDLE, abort: cancelled }, undefined);
    answer(reply);
    await settled();
    expect(cancelled).toHaveBeenCalled();
    expect(results(host)).toEqual({ failed: 1 });
  });

  it("has its reply read to the end, but not without end", async () => {
    const host = hostWith();
    const aborted = vi.fn<() => void>();
    const body = new QueuedBody({ ...IDLE, abort: aborted }, undefined);
    const reply = textReply(200, "");
    reply.body = body;
    shadowOf(host).answer = () => reply;
    await (await build({}, host))(exchange());
    await settled();
    body.push(Buffer.alloc(1024 * 1024));
    expect([aborted.mock.calls.length, inFlight(host)]).toEqual([0, 1]);
    body.push(Buffer.alloc(1));
    expect([aborted.mock.calls.length, inFlight(host), results(host)]).toEqual([1, 0, { ok: 1 }]);
  });

  it("fails a copy whose reply breaks off", async () => {
    const host = hostWith();
    const body = new QueuedBody(IDLE, undefined);
    const reply = textReply(200, "");
    reply.body = body;
    shadowOf(host).answer = () => reply;
    await (await build({}, host))(exchange());
    await settled();
    body.break(new GatewayError("UPSTREAM_RESET"));
    expect(results(host)).toEqual({ failed: 1 });
  });

  it("must exist", async () => {
    expect(await refusal({ upstream: "none" })).toBe("/upstream");
    await expect(buildStage(mirror, {})).rejects.toThrow("upstream");
  });
});

describe("copies under way", () => {
  const stuck = (): FakeHost => {
    const host = hostWith();
    shadowOf(host).answer = () => new Promise(() => {});
    return host;
  };
  const close = (host: FakeHost): void => {
    for (const closer of host.closers.splice(0)) void closer();
  };

  it("are never more than allowed, bodies that are still coming included", async () => {
    const host = stuck();
    const handler = await build({ maxInFlight: 3 }, host, readBody);
    const { x, body } = upload();
    const reply = handler(x);
    for (let i = 0; i < 5; i++) await handler(exchange());
    expect([shadowOf(host).seen.length, inFlight(host)]).toEqual([2, 3]);
    expect(results(host)).toEqual({ skipped_busy: 3 });
    body.break(new Error("gone"));
    await expect(reply).rejects.toThrow();
    await handler(exchange());
    expect([shadowOf(host).seen.length, inFlight(host)]).toEqual([3, 3]);
    close(host);
  });

  it("are counted across reloads, and go on", async () => {
    const host = stuck();
    const old = await build({ maxInFlight: 2 }, host);
    await old(exchange());
    const next = await build({ maxInFlight: 2 }, host);
    void host.closers.shift()!();
    await next(exchange());
    await next(exchange());
    expect([inFlight(host), results(host)]).toEqual([2, { skipped_busy: 1 }]);
    expect(shadowOf(host).seen[0]!.aborted).toBeUndefined();
    close(host);
  });

  it("are given up when no stage makes any more", async () => {
    const host = stuck();
    const handler = await build({}, host, readBody);
    for (let i = 0; i < 3; i++) await handler(exchange());
    const { x, body } = upload();
    const reply = handler(x);
    close(host);
    expect([inFlight(host), results(host)]).toEqual([0, { failed: 3, skipped_body: 1 }]);
    expect(shadowOf(host).seen.every(({ aborted }) => aborted !== undefined)).toBe(true);
    body.push(Buffer.from("text"));
    body.finish();
    expect(await bodyText(await reply)).toBe("text");
  });

  it("have ended as exchanges, whatever became of them", async () => {
    const host = hostWith();
    const ended: unknown[] = [];
    const note = (x: Exchange): void => x.onEnd({ onExchangeEnd: (copy) => void ended.push(copy) });
    const handler = await build({}, host);
    shadowOf(host).answer = (x) => {
      note(x);
      return textReply(200, "");
    };
    await handler(exchange());
    shadowOf(host).answer = (x) => {
      note(x);
      throw new Error("boom");
    };
    await handler(exchange());
    await settled();
    expect(ended).toEqual(shadowOf(host).seen);
  });
});

describe("the options of a mirror", () => {
  it.each<[string, object]>([
    ["maxInFlight", { maxInFlight: 0 }],
    ["maxBodySize", { maxBodySize: "1" }],
    ["timeout", { timeout: "5" }],
    ["more time than a timer can wait", { timeout: "25d" }],
    ["preserveHost", { preserveHost: "yes" }],
    ["headers", { headers: { add: {} } }],
    ["salt", { salt: 1 }],
    ["another", { sticky: {} }],
  ])("are checked: %s", async (_name, options) => {
    await expect(build(options)).rejects.toThrow();
  });

  it("have header names and values that can be sent", async () => {
    expect(await refusal({ headers: { remove: ["a b"] } })).toBe("/headers/remove/0");
    expect(await refusal({ headers: { set: { "content-length": "1" } } })).toBe(
      "/headers/set/content-length",
    );
    expect(await refusal({ headers: { set: { a: "b\n" } } })).toBe("/headers/set/a");
  });

  it("let the pipeline go on", () => {
    expect(mirror.terminal).toBeUndefined();
  });
});
