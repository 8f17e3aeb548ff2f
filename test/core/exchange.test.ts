import { describe, expect, it } from "vitest";
import { BytesBody } from "../../core/body.ts";
import { GatewayError } from "../../core/errors.ts";
import { createExchange, type Exchange, NO_ROUTE } from "../../core/exchange.ts";
import { bodyText, exchange, FakeLog } from "../support/harness.ts";

const recorder = () => {
  const reasons: string[] = [];
  return { reasons, abort: (reason: Error) => void reasons.push(reason.message) };
};

describe("an exchange", () => {
  it.each([
    ["/a/b?c=d&e", "/a/b", "?c=d&e"],
    ["/a", "/a", ""],
    ["/a?", "/a", "?"],
    ["/?a?b", "/", "?a?b"],
    ["*", "*", ""],
  ])("splits the target %s", (target, path, search) => {
    const x = exchange({ target });
    expect([x.path, x.search, x.originalPath, x.originalSearch]).toEqual([path, search, path, search]);
  });

  it("keeps what the client asked for, whatever stages change", () => {
    const x = exchange({ method: "POST", target: "/a?b=1" });
    x.method = "PUT";
    x.path = "/x";
    x.search = "?y=2";
    expect([x.originalMethod, x.originalPath, x.originalSearch]).toEqual(["POST", "/a", "?b=1"]);
    expect(x.query.get("b")).toBe("1");
    expect(x.query.has("y")).toBe(false);
  });

  it("decodes the query once", () => {
    const x = exchange({ target: "/?a=%20+&b=1&b=2" });
    expect(x.query.get("a")).toBe("  ");
    expect(x.query.getAll("b")).toEqual(["1", "2"]);
    expect(x.query).toBe(x.query);
  });

  it("has an id of its own, unless it is given one", () => {
    const [a, b] = [exchange(), exchange()];
    expect(a.id).toBe(a.id);
    expect(a.id).not.toBe(b.id);
    expect(a.id).toMatch(/^[a-z0-9]+-[a-z0-9]+$/);
    a.id = "mine";
    expect(a.id).toBe("mine");
  });

  it("logs with its id and route", () => {
    const children: object[] = [];
    const log = new FakeLog();
    const child = (fields: object): FakeLog => {
      children.push(fields);
      return log;
    };
    const x = createExchange({ log: Object.assign(new FakeLog(), { child }) });
    x.id = "r-1";
    x.route = { ...NO_ROUTE, name: "all" };
    x.log.info({ a: 1 }, "hello");
    expect(children).toEqual([{ requestId: "r-1", route: "all" }]);
    expect(log.lines).toEqual([{ level: "info", fields: { a: 1 }, message: "hello" }]);
  });

  it("starts without route, params, consumer and upstream", () => {
    const x = createExchange({ log: new FakeLog() });
    expect(x).toMatchObject({
      method: "GET",
      path: "/",
      route: NO_ROUTE,
      params: {},
      consumer: undefined,
      upstream: "",
      upstreamMs: -1,
    });
    expect(x.peerAddress).toBe("127.0.0.1");
  });
});

describe("giving an exchange up", () => {
  const reason = new GatewayError("CLIENT_CLOSED", { detail: "gone" });

  it("tells all who asked, in order, once", () => {
    for (const count of [0, 1, 2, 3]) {
      const x = exchange();
      const order: number[] = [];
      for (let i = 0; i < count; i++) x.onAbort({ abort: () => void order.push(i) });
      expect(x.aborted).toBeUndefined();
      x.abort(reason);
      x.abort(new Error("again"));
      expect(x.aborted).toBe(reason);
      expect(order).toEqual([...Array(count).keys()]);
    }
  });

  it("tells who asks afterwards at once", () => {
    const x = exchange();
    x.abort(reason);
    const late = recorder();
    x.onAbort(late);
    expect(late.reasons).toEqual(["gone"]);
  });

  it("aborts its signal, whenever that was asked for", () => {
    const before = exchange();
    const { signal } = before;
    expect(before.signal).toBe(signal);
    expect(signal.aborted).toBe(false);
    before.abort(reason);
    expect([signal.aborted, signal.reason]).toEqual([true, reason]);
    const after = exchange();
    after.abort(reason);
    expect(after.signal.reason).toBe(reason);
  });
});

describe("giving up one attempt", () => {
  const reason = new GatewayError("UPSTREAM_TIMEOUT", { detail: "late" });

  it("aborts what began since the mark, and only that; the exchange goes on", () => {
    for (const [before, since] of [
      [0, 0],
      [0, 1],
      [0, 2],
      [1, 0],
      [1, 1],
      [1, 2],
      [3, 2],
    ] as const) {
      const x = exchange();
      const old = Array.from({ length: before }, recorder);
      for (const each of old) x.onAbort(each);
      const mark = x.abortMark;
      expect(mark).toBe(before);
      const fresh = Array.from({ length: since }, recorder);
      for (const each of fresh) x.onAbort(each);
      x.abortSince(mark, reason);
      expect(old.flatMap(({ reasons }) => reasons)).toEqual([]);
      expect(fresh.map(({ reasons }) => reasons)).toEqual(fresh.map(() => ["late"]));
      expect([x.aborted, x.abortMark]).toEqual([undefined, before]);
      x.abort(new Error("gone"));
      expect(old.map(({ reasons }) => reasons)).toEqual(old.map(() => ["gone"]));
      expect(fresh.map(({ reasons }) => reasons)).toEqual(fresh.map(() => ["late"]));
    }
  });

  it("leaves the next attempt a signal of its own", () => {
    const x = exchange();
    const mark = x.abortMark;
    const first = x.signal;
    x.abortSince(mark, reason);
    expect(first.aborted).toBe(true);
    const second = x.signal;
    expect(second.aborted).toBe(false);
    x.abort(new Error("gone"));
    expect(second.aborted).toBe(true);
  });

  it("does not touch a signal that was there before", () => {
    const x = exchange();
    const { signal } = x;
    x.onAbort(recorder());
    x.abortSince(1, reason);
    expect(signal.aborted).toBe(false);
    expect(x.signal).toBe(signal);
  });
});

describe("the end of an exchange", () => {
  it("is told to all who asked, in order, once, and then to its generation", () => {
    for (const count of [0, 1, 2, 3]) {
      const x = exchange();
      const told: unknown[] = [];
      x.owner = { hold() {}, end: () => void told.push("owner") };
      for (let i = 0; i < count; i++) {
        x.onEnd({
          onExchangeEnd(ended: Exchange) {
            expect(ended).toBe(x);
            told.push(i);
          },
        });
      }
      x.end();
      expect(told).toEqual([...Array(count).keys(), "owner"]);
    }
  });

  it("is told to its generation even when one who asked fails", () => {
    const x = exchange();
    let ended = 0;
    x.owner = { hold() {}, end: () => void ended++ };
    x.onEnd({
      onExchangeEnd() {
        throw new Error("bug");
      },
    });
    expect(() => x.end()).toThrow("bug");
    expect(ended).toBe(1);
  });

  it("needs nobody who listens", () => {
    expect(() => exchange().end()).not.toThrow();
  });
});

describe("a request put back", () => {
  it("is as it was, whatever was changed meanwhile", async () => {
    const x = exchange({
      method: "POST",
      target: "/a?b",
      headers: { "X-A": "1", "x-b": ["2", "3"] },
      body: "one",
    });
    const before = x.snapshot();
    const bytes = await x.readBody(100);
    for (let i = 0; i < 2; i++) {
      x.method = "GET";
      x.path = "/z";
      x.search = "";
      x.headers.set("x-a", "9");
      x.headers.append("x-c", "4");
      x.setBody("two");
      x.restore(before, new BytesBody(bytes));
      expect([x.method, x.path, x.search]).toEqual(["POST", "/a", "?b"]);
      expect(x.headers.raw).toEqual(["X-A", "1", "x-b", "2", "x-b", "3"]);
      expect((await x.readBody(100)).toString()).toBe("one"); // not what a stage read of another body
      expect(await bodyText(x)).toBe("one");
    }
    x.restore(before, null);
    expect([x.body, (await x.readBody(100)).length]).toEqual([null, 0]);
  });
});

describe("a second exchange with the same request", () => {
  it("has what the first has now, and a life of its own", () => {
    const x = exchange({ method: "POST", target: "/a?b=1", headers: { "x-a": "1" }, params: { id: "7" } });
    Object.assign(x, {
      method: "PUT",
      path: "/b",
      search: "?c",
      route: { ...NO_ROUTE, name: "r" },
      consumer: { name: "ann", roles: [] },
    });
    x.upstream = "users";
    const body = new BytesBody(Buffer.from("copy"));
    const fork = x.fork(body);
    const { method, path, search, originalMethod, originalPath, originalSearch, route, params, consumer } =
      fork;
    expect({ method, path, search, originalMethod, originalPath, originalSearch }).toEqual({
      method: "PUT",
      path: "/b",
      search: "?c",
      originalMethod: "POST",
      originalPath: "/a",
      originalSearch: "?b=1",
    });
    expect([route, params, consumer, fork.body, fork.id]).toEqual([
      x.route,
      { id: "7" },
      x.consumer,
      body,
      x.id,
    ]);
    expect([fork.upstream, fork.target, fork.owner]).toEqual(["", undefined, undefined]);
    fork.headers.set("x-a", "2");
    expect(x.headers.get("x-a")).toBe("1");
    const ended = recorder();
    fork.onAbort(ended);
    x.abort(new Error("gone"));
    expect([ended.reasons, fork.aborted]).toEqual([[], undefined]);
  });
});
