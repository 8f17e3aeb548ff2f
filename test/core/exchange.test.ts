import { describe, expect, it } from "vitest";
import { GatewayError } from "../../core/errors.ts";
import { createExchange, NO_ROUTE } from "../../core/exchange.ts";
import { exchange, FakeLog } from "../support/harness.ts";

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
