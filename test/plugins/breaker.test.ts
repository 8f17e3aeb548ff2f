import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type ConfigError, GatewayError } from "../../core/errors.ts";
import type { Exchange, TargetGuard } from "../../core/exchange.ts";
import { KeepStore } from "../../core/keep.ts";
import type { Handler } from "../../core/plugin.ts";
import { createSharedMemory, SharedMemory } from "../../core/threads/shared-memory.ts";
import { balance } from "../../plugins/balance.ts";
import { breaker } from "../../plugins/breaker.ts";
import { bodyText, buildStage, exchange, FakeHost, FakeUpstream, reply } from "../support/harness.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Opens at the second failure in a row; one good probe closes it at once. */
const QUICK = { consecutiveFailures: 2, openFor: "1s", halfOpen: 1, recovery: "0s" };

const failing = (code: ConstructorParameters<typeof GatewayError>[0]) => (): never => {
  throw new GatewayError(code);
};

/** What became of a request: a status, a code, or the text of a fallback. */
async function outcome(handler: Handler, x = exchange()): Promise<string> {
  try {
    const { status, body } = await handler(x);
    return status === 200 ? await bodyText({ body }) : String(status);
  } catch (error) {
    return error instanceof GatewayError ? error.code : String(error);
  }
}

async function outcomes(handler: Handler, count: number, make: () => Exchange = exchange): Promise<string[]> {
  const all: string[] = [];
  for (let i = 0; i < count; i++) all.push(await outcome(handler, make()));
  return all;
}

function advance(host: FakeHost, ms: number): void {
  host.clock.advance(ms);
  vi.advanceTimersByTime(ms);
}

/** A breaker above a balancer of one upstream. */
async function withTargets(options: object, ids = ["a"], host = new FakeHost()) {
  const users = new FakeUpstream("users", ids);
  host.upstreams.set("users", users);
  const send = await buildStage(balance, { upstream: "users", strategy: "round-robin" }, undefined, host);
  const build = () => buildStage(breaker, { ...options }, send, host);
  return { host, users, send, build, handler: await build(), targets: users.targets };
}

/** A breaker of the route above any handler. */
const withHandler = async (options: object, below: Handler, host = new FakeHost()) => ({
  host,
  handler: await buildStage(breaker, { by: "route", ...QUICK, ...options }, below, host),
});

describe("breaker", () => {
  it.each([
    ["upstream", "upstream:users"],
    ["target", "target:users:a"],
    ["route", "route:test:stage"],
  ])(
    "by %s answers 503 at once when the circuit is open, and closes it when a probe goes well",
    async (by, id) => {
      const { host, handler, targets } = await withTargets({ ...QUICK, by });
      targets[0]!.answer = failing("UPSTREAM_RESET");
      expect(await outcomes(handler, 3)).toEqual(["UPSTREAM_RESET", "UPSTREAM_RESET", "CIRCUIT_OPEN"]);
      expect(targets[0]!.seen).toHaveLength(2);
      targets[0]!.answer = () => reply(200, {}, "well");
      advance(host, 999);
      expect(await outcome(handler)).toBe("CIRCUIT_OPEN");
      advance(host, 1);
      expect(await outcomes(handler, 2)).toEqual(["well", "well"]);
      expect([...host.exposed.keys()]).toEqual([`circuit-breakers/${id}`]);
    },
  );

  it.each(["upstream", "route"])("by %s says in Retry-After when to come back", async (by) => {
    const { host, handler, targets } = await withTargets({ ...QUICK, by, openFor: "2500ms" });
    targets[0]!.answer = failing("UPSTREAM_RESET");
    await outcomes(handler, 2);
    advance(host, 1000);
    const error = await Promise.resolve()
      .then(() => handler(exchange()))
      .catch((e: GatewayError) => e);
    expect(error).toMatchObject({ status: 503, headers: ["retry-after", "2"] });
  });

  it("works on replies and failures that come at once as on those that come later", async () => {
    let fails = true;
    const { host, handler } = await withHandler({}, () => {
      if (fails) throw new GatewayError("UPSTREAM_TIMEOUT");
      return reply(200, {}, "at once");
    });
    expect(await outcomes(handler, 3)).toEqual(["UPSTREAM_TIMEOUT", "UPSTREAM_TIMEOUT", "CIRCUIT_OPEN"]);
    fails = false;
    advance(host, 1000);
    expect(await outcome(handler)).toBe("at once");
  });

  it("opens at the error rate by default, from twenty requests on", async () => {
    const { handler, targets } = await withTargets({});
    let count = 0;
    targets[0]!.answer = () => reply(count++ % 2 === 0 ? 200 : 500);
    const all = await outcomes(handler, 21);
    expect(all.slice(0, 20)).not.toContain("CIRCUIT_OPEN");
    expect(all[20]).toBe("CIRCUIT_OPEN");
  });

  it("takes errorRate, minRequests and within", async () => {
    const options = { errorRate: "100%", minRequests: 3, within: "1s" };
    const { host, handler, targets } = await withTargets(options);
    targets[0]!.answer = () => reply(503);
    await outcomes(handler, 2);
    advance(host, 1000);
    expect(await outcomes(handler, 4)).toEqual(["503", "503", "503", "CIRCUIT_OPEN"]);
  });

  describe.each(["upstream", "route"])("by %s counts", (by) => {
    it.each([
      "UPSTREAM_CONNECT_FAILED",
      "UPSTREAM_CONNECT_TIMEOUT",
      "UPSTREAM_RESET",
      "UPSTREAM_REPLY_INVALID",
      "UPSTREAM_TIMEOUT",
    ] as const)("%s as a failure", async (code) => {
      const { handler, targets } = await withTargets({ ...QUICK, by });
      targets[0]!.answer = failing(code);
      expect(await outcomes(handler, 3)).toEqual([code, code, "CIRCUIT_OPEN"]);
    });

    it.each([
      "REQUEST_INVALID",
      "REQUEST_TIMEOUT",
      "BODY_TOO_LARGE",
      "BODY_INVALID",
      "CLIENT_CLOSED",
      "DEADLINE_EXCEEDED",
      "UPSTREAM_UNAVAILABLE",
      "UPSTREAM_BODY_TOO_LARGE",
      "UPSTREAM_BODY_INVALID",
      "STAGE_FAILED",
      "CIRCUIT_OPEN",
    ] as const)("%s not at all", async (code) => {
      const { handler, targets, host } = await withTargets({ ...QUICK, by });
      targets[0]!.answer = failing(code);
      expect(await outcomes(handler, 10)).toEqual(Array(10).fill(code));
      expect([...host.exposed.values()][0]!.describe()).toMatchObject({ state: "closed", requests: 0 });
    });

    it("errors of stages not at all", async () => {
      const { handler, targets } = await withTargets({ ...QUICK, by });
      targets[0]!.answer = () => {
        throw new Error("a bug");
      };
      expect(await outcomes(handler, 10)).not.toContain("CIRCUIT_OPEN");
    });

    it("client errors as good replies", async () => {
      const { handler, targets } = await withTargets({ ...QUICK, by, minRequests: 1 });
      for (const status of [400, 401, 404, 409, 429, 499]) {
        targets[0]!.answer = () => reply(status);
        expect(await outcomes(handler, 3)).toEqual(Array(3).fill(String(status)));
      }
    });

    it("the statuses that it is told to", async () => {
      const { handler, targets } = await withTargets({ ...QUICK, by, statuses: [429, "502-504"] });
      targets[0]!.answer = () => reply(500);
      expect(await outcomes(handler, 5)).not.toContain("CIRCUIT_OPEN");
      targets[0]!.answer = () => reply(429);
      expect(await outcomes(handler, 3)).toEqual(["429", "429", "CIRCUIT_OPEN"]);
    });

    it("replies that take longer than slowCall", async () => {
      const options = { ...QUICK, by, slowCall: "200ms", slowCallRate: "100%", minRequests: 2 };
      const { host, handler, targets } = await withTargets(options);
      const takes = (ms: number) => () => {
        host.clock.advance(ms);
        return reply(200);
      };
      targets[0]!.answer = takes(200);
      expect(await outcomes(handler, 4)).toEqual(["", "", "", ""]);
      advance(host, 10_000);
      targets[0]!.answer = takes(201);
      expect(await outcomes(handler, 3)).toEqual(["", "", "CIRCUIT_OPEN"]);
    });

    it("calls that somebody gave up after longer than slowCall", async () => {
      const options = { ...QUICK, by, slowCall: "200ms", minRequests: 2 };
      const { host, handler, targets } = await withTargets(options);
      targets[0]!.answer = () => {
        host.clock.advance(500);
        throw new GatewayError("CLIENT_CLOSED");
      };
      expect(await outcomes(handler, 3)).toEqual(["CLIENT_CLOSED", "CLIENT_CLOSED", "CIRCUIT_OPEN"]);
    });

    it("no time of requests whose body streams, because that is the client's", async () => {
      const options = { ...QUICK, by, slowCall: "200ms", minRequests: 1 };
      const { host, handler, targets } = await withTargets(options);
      targets[0]!.answer = () => {
        host.clock.advance(5000);
        return reply(200);
      };
      const streaming = { length: 3, start() {}, resume() {}, cancel() {} };
      expect(await outcomes(handler, 5, () => exchange({ body: streaming }))).toEqual(Array(5).fill(""));
      expect(await outcomes(handler, 2, () => exchange({ body: "abc" }))).toEqual(["", "CIRCUIT_OPEN"]);
    });
  });

  it("lets only halfOpen requests in at once while it is tried", async () => {
    const { host, handler, targets } = await withTargets({ ...QUICK, halfOpen: 3 });
    targets[0]!.answer = failing("UPSTREAM_RESET");
    await outcomes(handler, 2);
    advance(host, 1000);
    let release = (): void => {};
    const gate = new Promise<void>((resolve) => (release = resolve));
    targets[0]!.answer = async () => {
      await gate;
      return reply(200, {}, "probe");
    };
    const many = Array.from({ length: 50 }, () => outcome(handler));
    const rejected = (await Promise.all(many.slice(3))).filter((each) => each === "CIRCUIT_OPEN");
    expect(rejected).toHaveLength(47);
    release();
    expect(await Promise.all(many.slice(0, 3))).toEqual(["probe", "probe", "probe"]);
    expect(await outcome(handler)).toBe("probe");
  });

  it("lets requests in little by little over recovery", async () => {
    const { host, handler, targets } = await withTargets({ ...QUICK, recovery: "10s" });
    targets[0]!.answer = failing("UPSTREAM_RESET");
    await outcomes(handler, 2);
    advance(host, 1000);
    targets[0]!.answer = () => reply(200, {}, "well");
    await outcome(handler);
    host.randoms.push(0.04, 0.06);
    expect(await outcomes(handler, 2)).toEqual(["well", "CIRCUIT_OPEN"]);
    expect(host.collected("sluice_circuit_admitted_ratio")).toEqual({
      '{"by":"upstream","upstream":"users"}': 0.05,
    });
    advance(host, 10_000);
    host.randoms.push(0.99);
    expect(await outcomes(handler, 2)).toEqual(["well", "well"]);
    expect(host.log.lines.at(-1)!.message).toBe("circuit lets all requests in again");
  });

  it("keeps the circuit open longer each time, up to maxOpenFor", async () => {
    const { host, handler, targets } = await withTargets({ ...QUICK, maxOpenFor: "3s" });
    targets[0]!.answer = failing("UPSTREAM_RESET");
    await outcomes(handler, 2);
    for (const ms of [1000, 2000, 3000, 3000]) {
      advance(host, ms - 1);
      expect(await outcome(handler)).toBe("CIRCUIT_OPEN");
      advance(host, 1);
      expect(await outcome(handler)).toBe("UPSTREAM_RESET");
    }
  });
});

describe("breaker by upstream", () => {
  it("has one circuit for all targets, and does not try one after the other", async () => {
    const { handler, targets, host } = await withTargets(QUICK, ["a", "b", "c"]);
    for (const target of targets) target.answer = () => reply(500);
    expect(await outcomes(handler, 4)).toEqual(["500", "500", "CIRCUIT_OPEN", "CIRCUIT_OPEN"]);
    expect(host.collected("sluice_circuit_rejected_total")).toEqual({
      '{"by":"upstream","upstream":"users"}': 2,
    });
  });

  it("asks chance once for a request, however many targets there are", async () => {
    const { host, handler, targets } = await withTargets({ ...QUICK, recovery: "10s" }, ["a", "b", "c"]);
    for (const target of targets) target.answer = () => reply(500);
    await outcomes(handler, 2);
    advance(host, 1000);
    for (const target of targets) target.answer = () => reply(200, {}, "well");
    await outcome(handler);
    host.randoms.push(0.9, 0.01, 0.01); // the first draw decides; other draws are the balancer's
    expect(await outcome(handler)).toBe("CIRCUIT_OPEN");
  });

  it("shares circuits among routes with the same options, whatever their fallback, and no others", async () => {
    const { host, build, handler, send, targets } = await withTargets(QUICK);
    const same = await build();
    const fallback = { status: 200, body: "sorry" };
    const another = await buildStage(breaker, { ...QUICK, fallback }, send, host);
    const different = await buildStage(breaker, { ...QUICK, consecutiveFailures: 4 }, send, host);
    targets[0]!.answer = () => reply(500);
    expect([await outcome(handler), await outcome(same), await outcome(another)]).toEqual([
      "500",
      "500",
      "sorry",
    ]);
    expect(await outcome(different)).toBe("500");
  });

  it("lets a stage without upstream alone", async () => {
    const host = new FakeHost();
    const handler = await buildStage(breaker, QUICK, () => reply(500), host);
    expect(await outcomes(handler, 5)).toEqual(Array(5).fill("500"));
    expect(host.exposed.size).toBe(0);
  });
});

describe("breaker by target", () => {
  it("passes over targets whose circuit is open, and fails when none is left", async () => {
    const { host, handler, targets } = await withTargets({ ...QUICK, by: "target" }, ["a", "b"]);
    targets[0]!.answer = () => reply(500);
    await outcomes(handler, 4);
    expect(await outcomes(handler, 4)).toEqual(["b", "b", "b", "b"]);
    expect(host.collected("sluice_circuit_rejected_total")).toMatchObject({
      '{"by":"target","upstream":"users","target":"a"}': 0,
    });
    targets[1]!.answer = () => reply(500);
    await outcomes(handler, 2);
    expect(await outcomes(handler, 2)).toEqual(["CIRCUIT_OPEN", "CIRCUIT_OPEN"]);
    expect(host.collected("sluice_circuit_rejected_total")).toMatchObject({
      '{"by":"target","upstream":"users","target":"a"}': 2,
    });
  });

  it("says when the first of them is tried again", async () => {
    const { host, handler, targets } = await withTargets({ ...QUICK, by: "target", openFor: "10s" }, [
      "a",
      "b",
    ]);
    targets[0]!.answer = () => reply(500);
    await outcomes(handler, 4);
    advance(host, 4000);
    targets[1]!.answer = () => reply(500);
    await outcomes(handler, 2);
    const error = await Promise.resolve(handler(exchange())).catch((e: GatewayError) => e);
    expect(error).toMatchObject({ code: "CIRCUIT_OPEN", headers: ["retry-after", "6"] });
  });

  it("counts each attempt at its own target when a stage below tries again", async () => {
    const { host, targets, send } = await withTargets({}, ["a", "b"]);
    const again: Handler = async (x) => {
      const first = await send(x);
      if (first.status < 500) return first;
      x.tried = [x.target!];
      return send(x);
    };
    const handler = await buildStage(breaker, { ...QUICK, by: "target" }, again, host);
    targets[0]!.answer = () => reply(503);
    expect(await outcomes(handler, 6)).toEqual(Array(6).fill("b"));
    expect(targets[0]!.seen.length).toBe(2);
    expect(host.exposed.get("circuit-breakers/target:users:b")!.describe()).toMatchObject({ failures: 0 });
    expect(host.exposed.get("circuit-breakers/target:users:a")!.describe()).toMatchObject({ state: "open" });
  });

  it("takes an admission back when another guard refuses the target", async () => {
    const { host, handler, send, targets } = await withTargets({ ...QUICK, by: "target" }, ["a", "b"]);
    targets[0]!.answer = () => reply(500);
    await outcomes(handler, 4);
    advance(host, 1000);
    const notA: TargetGuard = { admit: ({ id }) => id !== "a" };
    const below: Handler = (x) => {
      x.guards = [...x.guards!, notA];
      return send(x);
    };
    const limited = await buildStage(breaker, { ...QUICK, by: "target" }, below, host);
    expect(await outcomes(limited, 4)).toEqual(["b", "b", "b", "b"]);
    targets[0]!.answer = () => reply(200, {}, "a is back");
    expect((await outcomes(handler, 2)).toSorted()).toEqual(["a is back", "b"]);
  });
});

describe("guards", () => {
  it.each(["upstream", "target"])("by %s are taken off when the stage's part is over", async (by) => {
    const { handler, targets } = await withTargets({ ...QUICK, by });
    const x = exchange();
    await handler(x);
    expect(x.guards).toBeUndefined();
    targets[0]!.answer = failing("UPSTREAM_RESET");
    await outcome(handler, x);
    expect(x.guards).toBeUndefined();
    const other: TargetGuard = { admit: () => true };
    x.guards = [other];
    await outcome(handler, x);
    expect(x.guards).toEqual([other]);
  });

  it("are asked again for each attempt of a stage above", async () => {
    const { handler, targets } = await withTargets(QUICK);
    targets[0]!.answer = () => reply(500);
    const x = exchange();
    expect([await outcome(handler, x), await outcome(handler, x), await outcome(handler, x)]).toEqual([
      "500",
      "500",
      "CIRCUIT_OPEN",
    ]);
  });
});

describe("breaker by a key", () => {
  const tenant = (name?: string) => () =>
    exchange({ headers: name === undefined ? {} : { "x-tenant": name } });

  it("has a circuit for each value, and one for requests without", async () => {
    const { handler, host } = await withHandler({ by: { header: "x-tenant" } }, (x) =>
      reply(x.headers.get("x-tenant") === "b" ? 200 : 500),
    );
    expect(await outcomes(handler, 3, tenant("a"))).toEqual(["500", "500", "CIRCUIT_OPEN"]);
    expect(await outcomes(handler, 3, tenant("b"))).toEqual(["", "", ""]);
    expect(await outcomes(handler, 3, tenant())).toEqual(["500", "500", "CIRCUIT_OPEN"]);
    expect([...host.exposed.keys()]).toEqual([
      "circuit-breakers/key:test:stage:a",
      "circuit-breakers/key:test:stage:b",
      "circuit-breakers/key:test:stage:",
    ]);
  });

  it.each([
    ["ip", "127.0.0.1"],
    ["{request.path}", "/"],
    ["consumer", "alice"],
  ])("knows the key %s", async (by, value) => {
    const { handler, host } = await withHandler({ by }, () => reply(200));
    const x = exchange();
    x.consumer = { name: "alice", roles: [] };
    await handler(x);
    expect(host.exposed.get(`circuit-breakers/key:test:stage:${value}`)!.describe()).toMatchObject({
      key: value,
    });
  });

  it("keeps at most `keys` circuits, and tells metrics nothing of what clients sent", async () => {
    const { handler, host } = await withHandler({ by: { header: "x-tenant" }, keys: 5 }, () => reply(200));
    for (let i = 0; i < 100; i++) await handler(tenant(`t${i}`)());
    expect(host.exposed.size).toBe(5);
    expect(host.collected("sluice_circuits")).toEqual({
      '{"by":"key","route":"test","stage":"stage","state":"open"}': 0,
      '{"by":"key","route":"test","stage":"stage","state":"half-open"}': 0,
      '{"by":"key","route":"test","stage":"stage","state":"closed"}': 5,
    });
  });
});

describe("fallback", () => {
  const open = async (options: object, by = "upstream", host = new FakeHost()) => {
    const other = new FakeUpstream("other", ["o"]);
    host.upstreams.set("other", other);
    const made = await withTargets({ ...QUICK, by, ...options }, ["a"], host);
    made.targets[0]!.answer = () => reply(500);
    await outcomes(made.handler, 2);
    return { ...made, other };
  };

  it.each(["upstream", "route"])("by %s is a fixed reply with a time to come back", async (by) => {
    const fallback = { headers: { "X-Reason": "busy", "Content-Type": "application/json" }, json: {} };
    const { handler } = await open({ fallback }, by);
    const answer = await handler(exchange());
    expect(answer.status).toBe(503);
    expect(answer.headers.raw).toEqual([
      "x-reason",
      "busy",
      "content-type",
      "application/json",
      "content-length",
      "2",
      "retry-after",
      "1",
    ]);
    expect(await bodyText(answer)).toBe("{}");
    expect((await handler(exchange({ method: "HEAD" }))).body).toBeNull();
  });

  it("has a status of its own, and says nothing of coming back then", async () => {
    const { handler } = await open({ fallback: { status: 200, body: "[]" } });
    const answer = await handler(exchange());
    expect(answer.status).toBe(200);
    expect(answer.headers.raw).toEqual(["content-type", "text/plain; charset=utf-8", "content-length", "2"]);
  });

  it.each(["upstream", "route"])("by %s is another upstream", async (by) => {
    const { handler, other } = await open({ fallback: { upstream: "other" } }, by);
    expect(await outcome(handler, exchange({ method: "POST", body: "x" }))).toBe("o");
    other.targets[0]!.answer = failing("UPSTREAM_RESET");
    expect(await outcome(handler)).toBe("UPSTREAM_RESET");
    expect(other.targets[0]!.seen[0]!.guards).toBeUndefined();
  });

  it.each(["upstream", "route"])("by %s answers failed requests only when told to", async (by) => {
    const fallback = { status: 200, body: "sorry" };
    const { handler, targets, host } = await open({ fallback, fallbackOn: ["failure"] }, by);
    expect(await outcome(handler)).toBe("CIRCUIT_OPEN");
    advance(host, 1000);
    targets[0]!.answer = failing("UPSTREAM_TIMEOUT");
    expect(await outcome(handler)).toBe("sorry");
    advance(host, 2000);
    let cancelled = 0;
    targets[0]!.answer = () => {
      const answer = reply(500);
      answer.body = { length: 1e6, start() {}, resume() {}, cancel: () => void cancelled++ };
      return answer;
    };
    expect([await outcome(handler), cancelled]).toEqual(["sorry", 1]);
    advance(host, 4000);
    targets[0]!.answer = failing("CLIENT_CLOSED");
    expect(await outcome(handler)).toBe("CLIENT_CLOSED");
    targets[0]!.answer = () => reply(404);
    expect(await outcome(handler)).toBe("404");
  });

  it("sends failed requests to another upstream only if that does no harm", async () => {
    const { handler, host, targets } = await open({
      fallback: { upstream: "other" },
      fallbackOn: ["open", "failure"],
    });
    const options = exchange({ method: "PUT", body: "x" });
    expect(await outcome(handler)).toBe("o");
    advance(host, 1000);
    expect(await outcome(handler, options)).toBe("o");
    advance(host, 2000);
    expect(await outcome(handler, exchange({ method: "POST" }))).toBe("500");
    advance(host, 4000);
    const streaming = { length: 3, start() {}, resume() {}, cancel() {} };
    targets[0]!.answer = failing("UPSTREAM_RESET");
    expect(await outcome(handler, exchange({ method: "PUT", body: streaming }))).toBe("UPSTREAM_RESET");
  });

  it("does not answer what another stage's circuit rejected", async () => {
    const { host, send } = await withTargets({});
    const inner = await buildStage(breaker, { ...QUICK, by: "target" }, send, host);
    const outer = await buildStage(
      breaker,
      { ...QUICK, fallback: { status: 200, body: "outer" } },
      inner,
      host,
    );
    await inner(exchange());
    host.exposed.get("circuit-breakers/target:users:a")!.change!({ force: "open" });
    expect(await outcome(outer)).toBe("CIRCUIT_OPEN");
  });
});

describe("circuits across reloads", () => {
  it("stay as they are, with their admin and metrics, until no generation uses them", async () => {
    const kept = new KeepStore();
    const generation = async () => {
      const host = new FakeHost();
      const lease = kept.lease();
      host.keep = (key, create) => lease.keep(key, create as () => object) as ReturnType<typeof create>;
      const made = await withTargets(QUICK, ["a"], host);
      made.targets[0]!.answer = () => reply(500);
      const end = async () => {
        for (const close of host.closers) await close();
        await lease.release();
      };
      return { ...made, end };
    };
    const first = await generation();
    await outcomes(first.handler, 2);
    const second = await generation();
    expect(second.host.collected("sluice_circuit_state")).toEqual({});
    await first.end();
    expect(await outcome(second.handler)).toBe("CIRCUIT_OPEN");
    expect(second.host.exposed.get("circuit-breakers/upstream:users")!.describe()).toMatchObject({
      state: "open",
    });
    expect(second.host.collected("sluice_circuit_state")).toEqual({
      '{"by":"upstream","upstream":"users"}': 2,
    });
    expect(vi.getTimerCount()).toBe(1);
    await second.end();
    expect([vi.getTimerCount(), kept.keys()]).toEqual([0, []]);
  });

  it("begin anew when the stage's options change, except for what is forced", async () => {
    const { host, handler, targets, send } = await withTargets(QUICK);
    targets[0]!.answer = () => reply(500);
    await outcomes(handler, 2);
    const changed = await buildStage(breaker, { ...QUICK, consecutiveFailures: 3 }, send, host);
    expect(await outcome(changed)).toBe("500");
    host.exposed.get("circuit-breakers/upstream:users")!.change!({ force: "open" });
    const again = await buildStage(breaker, { ...QUICK, consecutiveFailures: 9 }, send, host);
    expect(await outcome(again)).toBe("CIRCUIT_OPEN");
  });

  it("stay when the same options are written in another way", async () => {
    const { host, handler, targets, send } = await withTargets({ minRequests: 2, openFor: "1s" });
    targets[0]!.answer = () => reply(500);
    await outcomes(handler, 2);
    const same = await buildStage(breaker, { openFor: "1000ms", within: "10s", minRequests: 2 }, send, host);
    expect(await outcome(same)).toBe("CIRCUIT_OPEN");
  });

  it("are others where statuses or slowCall are: their failures are not the same", async () => {
    const { host, handler, targets, send } = await withTargets(QUICK);
    targets[0]!.answer = () => reply(500);
    await outcomes(handler, 2);
    for (const options of [{ statuses: [500] }, { slowCall: "1s" }]) {
      const other = await buildStage(breaker, { ...QUICK, ...options }, send, host);
      expect(await outcome(other)).toBe("500");
    }
  });
});

describe("circuits of several threads", () => {
  const twoThreads = async (options: object) => {
    const hosts = [new FakeHost(), new FakeHost()];
    const handle = createSharedMemory(2, hosts[0]!.clock.monotonic());
    for (const [thread, host] of hosts.entries()) {
      host.clock = hosts[0]!.clock;
      host.shared = new SharedMemory(handle, thread);
    }
    return Promise.all(hosts.map((host) => withTargets(options, ["a"], host)));
  };

  it.each([
    ["upstream", "upstream:users"],
    ["target", "target:users:a"],
    ["route", "route:test:stage"],
    [{ header: "host" }, "key:test:stage:"],
  ])("by %j open, are tried and are forced for all at once", async (by, id) => {
    const [a, b] = await twoThreads({ ...QUICK, by });
    for (const { targets } of [a!, b!]) targets[0]!.answer = () => reply(500);
    expect([await outcome(a!.handler), await outcome(b!.handler)]).toEqual(["500", "500"]);
    expect([await outcome(a!.handler), await outcome(b!.handler)]).toEqual(["CIRCUIT_OPEN", "CIRCUIT_OPEN"]);
    const rejected = (host: FakeHost) => Object.values(host.collected("sluice_circuit_rejected_total"));
    expect([rejected(a!.host), rejected(b!.host)]).toEqual([[1], [1]]);
    advance(a!.host, 1000);
    b!.targets[0]!.answer = () => reply(200, {}, "well");
    expect([await outcome(b!.handler), await outcome(a!.handler)]).toEqual(["well", "500"]);
    const shown = [a!, b!].map(({ host }) => host.exposed.get(`circuit-breakers/${id}`)!);
    expect(shown[0]!.describe()).toMatchObject({ requests: 1, failures: 1 });
    expect(shown[0]!.describe()).toEqual(shown[1]!.describe());
    shown[1]!.change!({ force: "open" });
    expect(await outcome(a!.handler)).toBe("CIRCUIT_OPEN");
  });
});

describe("operators", () => {
  const shown = async () => {
    const made = await withTargets(QUICK);
    await made.handler(exchange());
    return { ...made, circuit: made.host.exposed.get("circuit-breakers/upstream:users")! };
  };

  it("see the state, why, and what was counted", async () => {
    const { circuit, handler, targets, host } = await shown();
    targets[0]!.answer = () => reply(500);
    await outcome(handler);
    const closed = circuit.describe();
    expect(closed).toEqual({
      id: "upstream:users",
      by: "upstream",
      upstream: "users",
      state: "closed",
      reason: "",
      since: new Date(host.clock.now()).toISOString(),
      forced: null,
      requests: 2,
      failures: 1,
      slowCalls: 0,
      errorRate: 0.5,
      slowCallRate: 0,
      consecutiveFailures: 1,
    });
    await outcome(handler);
    expect(circuit.describe()).toMatchObject({
      state: "open",
      reason: "2 failures in a row",
      halfOpenInMs: 1000,
    });
  });

  it("force circuits open and closed, let go of them, and reset them", async () => {
    const { circuit, handler, targets } = await shown();
    circuit.change!({ force: "open" });
    expect(await outcome(handler)).toBe("CIRCUIT_OPEN");
    circuit.change!({ force: "closed" });
    targets[0]!.answer = () => reply(500);
    expect(await outcomes(handler, 5)).toEqual(Array(5).fill("500"));
    circuit.change!({ force: null });
    expect(await outcomes(handler, 3)).toEqual(["500", "500", "CIRCUIT_OPEN"]);
    circuit.change!({ reset: true });
    expect(await outcome(handler)).toBe("500");
    circuit.change!({ reset: false });
    expect(circuit.describe()).toMatchObject({ failures: 1 });
  });

  it.each([
    [null, ""],
    [[], ""],
    [{}, ""],
    [{ force: "half" }, "/force"],
    [{ reset: 1 }, "/reset"],
    [{ reset: true, "a/b": 1 }, "/a~1b"],
  ])("are told what is wrong with %j", async (patch, pointer) => {
    const { circuit } = await shown();
    const change = (): void => circuit.change!(patch);
    expect(change).toThrow(expect.objectContaining({ problems: [expect.objectContaining({ pointer })] }));
  });
});

describe("metrics and log", () => {
  it("tell of states, transitions and rejections", async () => {
    const { host, handler, targets } = await withTargets(QUICK);
    targets[0]!.answer = () => reply(500);
    await outcomes(handler, 4);
    const users = '{"by":"upstream","upstream":"users"}';
    expect(host.collected("sluice_circuit_state")).toEqual({ [users]: 2 });
    expect(host.collected("sluice_circuit_admitted_ratio")).toEqual({ [users]: 0 });
    expect(host.collected("sluice_circuit_rejected_total")).toEqual({ [users]: 2 });
    advance(host, 1000);
    expect(host.collected("sluice_circuit_state")).toEqual({ [users]: 1 });
    targets[0]!.answer = () => reply(200);
    await outcome(handler);
    expect(host.collected("sluice_circuit_state")).toEqual({ [users]: 0 });
    expect(host.collected("sluice_circuit_transitions_total")).toEqual({
      '{"by":"upstream","upstream":"users","to":"open"}': 1,
      '{"by":"upstream","upstream":"users","to":"half-open"}': 1,
      '{"by":"upstream","upstream":"users","to":"closed"}': 1,
    });
    const about = { circuit: "upstream:users", by: "upstream", upstream: "users" };
    expect(host.log.lines).toEqual([
      {
        level: "warn",
        fields: { ...about, state: "open", reason: "2 failures in a row", openForMs: 1000 },
        message: "circuit opened",
      },
      {
        level: "info",
        fields: { ...about, state: "half-open", reason: "openFor is over" },
        message: "circuit is half-open",
      },
      {
        level: "info",
        fields: { ...about, state: "closed", reason: "the probes went well" },
        message: "circuit closed",
      },
    ]);
  });
});

describe("options", () => {
  it.each([
    [{ errorRate: "0%" }, "/errorRate"],
    [{ errorRate: "101%" }, "/errorRate"],
    [{ slowCallRate: "0%" }, "/slowCallRate"],
    [{ within: "0s" }, "/within"],
    [{ slowCall: "0s" }, "/slowCall"],
    [{ openFor: "0s" }, "/openFor"],
    [{ openFor: "25d" }, "/openFor"],
    [{ maxOpenFor: "25d" }, "/maxOpenFor"],
    [{ recovery: "25d" }, "/recovery"],
    [{ statuses: ["599-500"] }, "/statuses/0"],
    [{ fallback: { upstream: "nobody" } }, "/fallback/upstream"],
    [{ fallback: { headers: { "a b": "c" } } }, "/fallback/headers/a b"],
    [{ fallback: { headers: { a: "c\n" } } }, "/fallback/headers/a"],
    [{ fallback: { status: 204, body: "x" } }, "/fallback/body"],
    [{ by: "{nothing.known}" }, "/by"],
  ])("%j is refused where it is", async (options, pointer) => {
    const error: ConfigError = await buildStage(breaker, options).catch((e) => e);
    expect(error.problems?.map((problem) => problem.pointer)).toEqual([pointer]);
  });

  it.each([
    { statuses: [200] },
    { statuses: ["2xx"] },
    { consecutiveFailures: 0 },
    { minRequests: 0 },
    { halfOpen: 0 },
    { keys: 0 },
    { by: "nobody" },
    { fallbackOn: [] },
    { slowCall: "fast" },
    { unknown: true },
  ])("%j is refused by the schema", async (options) => {
    await expect(buildStage(breaker, options)).rejects.toThrow(/^(\/[a-zA-Z]+(\/0)?)? must /);
  });

  it("cannot skip a stage that keeps requests out", () => {
    expect(breaker.guard).toBe(true);
  });
});
