import { describe, expect, it } from "vitest";
import {
  type Exchange,
  GatewayError,
  type Handler,
  type HeaderList,
  type Problem,
  textReply,
} from "../../../core/plugin.ts";
import { Charge } from "../../../plugins/limit/cost.ts";
import { Gate, type GateOptions } from "../../../plugins/limit/gate.ts";
import { compilePlans } from "../../../plugins/limit/plans.ts";
import { ReplyFields } from "../../../plugins/limit/reply-fields.ts";
import { LimitStats } from "../../../plugins/limit/stats.ts";
import { TopKeys } from "../../../plugins/limit/top-keys.ts";
import { exchange, FakeClock, reply } from "../../support/harness.ts";
import { decision, FakeLimiter, limitOptions } from "../../support/limits.ts";

function open(options: object = {}, parts: Partial<GateOptions> = {}) {
  const checked = limitOptions({ rate: "10/1s", headers: [], ...options });
  const problems: Problem[] = [];
  const { base } = compilePlans(checked, problems);
  const charge = checked.charge && new Charge(checked.charge, problems);
  expect(problems).toEqual([]);
  const limiter = new FakeLimiter();
  const stats = new LimitStats();
  const topKeys = new TopKeys(new FakeClock(), 0.5);
  const tier = {
    limiter,
    fields: checked.headers.length === 0 ? undefined : new ReplyFields(base, "", checked.headers),
    rules: base.rules.map(({ name }) => stats.rule("", name)),
  };
  const gate = new Gate({
    isAllowed: undefined,
    isDenied: undefined,
    tierOf: () => tier,
    keyOf: () => "key",
    costOf: () => 1,
    charge,
    isReport: checked.mode === "report",
    stats,
    topKeys,
    bans: undefined,
    ...parts,
  });
  return { gate, limiter, stats, topKeys, rule: tier.rules[0]! };
}

const OK = textReply(200, "ok");
const ok: Handler = () => OK;
const broken = new GatewayError("UPSTREAM_RESET");
const fail: Handler = () => {
  throw broken;
};
const limited = decision({ outcome: "limited", remaining: 0, retryAfterMs: 1001, cost: 0 });
const banned = decision({ outcome: "banned", remaining: 0, retryAfterMs: 90_000, cost: 0 });
const WITH = { headers: ["ratelimit"] };

/** What a handler fails with, whether at once or later. */
async function failureOf(run: () => unknown): Promise<unknown> {
  try {
    await run();
  } catch (error) {
    return error;
  }
  throw new Error("it did not fail");
}

describe("a request that may pass", () => {
  it("gets what is below, without a promise when there is nothing to add", () => {
    const { gate, limiter, stats } = open();
    expect(gate.handle(exchange(), ok)).toBe(OK);
    expect(() => gate.handle(exchange(), fail)).toThrow(broken);
    expect(limiter.taken).toEqual([
      ["key", 1],
      ["key", 1],
    ]);
    expect(stats).toMatchObject({ allowed: 2, limited: 0 });
  });

  it("is among the keys that come most, as those that may not are", async () => {
    const { gate, limiter, topKeys } = open();
    gate.handle(exchange(), ok);
    const sampled = topKeys.read().keys[0]!.count;
    limiter.decisions = [limited, banned];
    for (let i = 0; i < 2; i++) await failureOf(() => gate.handle(exchange(), ok));
    expect(topKeys.read().keys).toEqual([{ key: "key", count: sampled + 2, error: 0, refused: 2 }]);
  });

  it("waits for a limiter that must ask", async () => {
    const { gate, limiter } = open();
    limiter.decisions = [Promise.resolve(decision())];
    expect(await gate.handle(exchange(), ok)).toBe(OK);
  });

  it("is told what is left, on replies and on failures", async () => {
    const { gate } = open(WITH);
    const { headers } = await gate.handle(exchange(), () => reply(200));
    expect(headers.get("ratelimit")).toMatch(/^"1s";r=9;t=1;/);
    const x = exchange();
    expect(await failureOf(() => gate.handle(x, fail))).toBe(broken);
    expect(x.failureHeaders!.get("ratelimit")).toMatch(/^"1s";r=9;t=1;/);
  });
});

describe("a request that may not", () => {
  it.each([
    [limited, "RATE_LIMITED", "2"],
    [banned, "CLIENT_BANNED", "90"],
    [decision({ outcome: "limited", retryAfterMs: 0 }), "RATE_LIMITED", "1"],
  ] as const)("fails with the time after which it may come again: %j", async (refused, code, seconds) => {
    for (const what of [refused, Promise.resolve(refused)]) {
      const { gate, limiter, stats } = open(WITH);
      limiter.decisions = [what];
      const x = exchange();
      const error = await failureOf(() => gate.handle(x, ok));
      expect(error).toMatchObject({ code, status: 429, headers: ["retry-after", seconds] });
      expect(x.failureHeaders!.get("ratelimit")).toMatch(/^"1s";r=/);
      expect(stats[refused.outcome as "limited"]).toBe(1);
      expect(stats.allowed).toBe(0);
    }
  });

  it("may lead to a ban, which is counted", async () => {
    const { gate, limiter, stats } = open();
    limiter.decisions = [{ ...limited, beginsBan: true }];
    await failureOf(() => gate.handle(exchange(), ok));
    expect([stats.bans, stats.limited]).toEqual([1, 1]);
  });

  it("is counted by the rule that refused it", async () => {
    const { gate, limiter, rule } = open();
    limiter.decisions = [limited, banned, decision()];
    await failureOf(() => gate.handle(exchange(), ok));
    await failureOf(() => gate.handle(exchange(), ok));
    gate.handle(exchange(), ok);
    expect(rule.refused).toBe(1);
  });

  it("never comes below", async () => {
    const { gate, limiter } = open();
    limiter.decisions = [limited];
    let called = false;
    await failureOf(() =>
      gate.handle(exchange(), () => {
        called = true;
        return OK;
      }),
    );
    expect(called).toBe(false);
  });
});

describe("lists", () => {
  const everybody = (): boolean => true;

  it("let some pass without counting them", () => {
    const { gate, limiter, stats } = open(WITH, { isAllowed: everybody });
    expect(gate.handle(exchange(), ok)).toBe(OK);
    expect([limiter.taken, stats.bypassed, OK.headers.has("ratelimit")]).toEqual([[], 1, false]);
  });

  it("refuse some, also those that are in the other list", () => {
    const { gate, limiter, stats } = open(WITH, { isAllowed: everybody, isDenied: everybody });
    expect(() => gate.handle(exchange(), ok)).toThrow(expect.objectContaining({ code: "CLIENT_DENIED" }));
    expect([limiter.taken, stats.denied, stats.bypassed]).toEqual([[], 1, 0]);
  });
});

describe("charging", () => {
  const charge = { header: "x-cost", statuses: ["500-599"], cost: 0 };
  const costing =
    (status: number, cost: string): Handler =>
    () =>
      reply(status, { "x-cost": cost });

  it("changes what a request has cost to what the reply says", async () => {
    const { gate, limiter } = open({ ...WITH, charge });
    const { headers } = await gate.handle(exchange(), costing(200, "5"));
    expect(limiter.settled).toEqual([["key", 4]]);
    expect(headers.has("x-cost")).toBe(false);
    expect(headers.get("ratelimit")).toMatch(/^"1s";r=5;/);
  });

  it("gives back for statuses that cost less, of replies and of failures", async () => {
    const { gate, limiter } = open({ charge });
    await gate.handle(exchange(), costing(503, "5"));
    await failureOf(() => gate.handle(exchange(), fail));
    expect(limiter.settled).toEqual([
      ["key", -1],
      ["key", -1],
    ]);
  });

  it("gives back what a request has taken that went away while the store was asked", async () => {
    const { gate, limiter } = open({ charge: { statuses: [499], cost: 0 } });
    const x = exchange();
    limiter.decisions = [Promise.resolve(decision()), Promise.resolve(limited)];
    const answers = [gate.handle(x, ok), gate.handle(x, ok)];
    x.abort(new GatewayError("CLIENT_CLOSED"));
    for (const answer of answers) {
      expect(await failureOf(() => answer)).toMatchObject({ code: "CLIENT_CLOSED" });
    }
    expect(limiter.settled).toEqual([["key", -1]]);
  });

  it("asks for nothing where nothing changes", async () => {
    const { gate, limiter } = open({ charge });
    await gate.handle(exchange(), costing(200, "1"));
    await gate.handle(exchange(), costing(200, "?"));
    await failureOf(() => gate.handle(exchange(), () => Promise.reject(new GatewayError("CLIENT_CLOSED"))));
    expect(limiter.settled).toEqual([]);
  });

  it("does not keep a reply waiting for a store, nor lose it with the store", async () => {
    const { gate, limiter, stats } = open({ charge });
    limiter.settling = Promise.reject(new GatewayError("STORE_UNAVAILABLE"));
    expect((await gate.handle(exchange(), costing(200, "5"))).status).toBe(200);
    await new Promise(setImmediate);
    expect(stats.unsettled).toBe(1);
  });

  it("takes the header off for those who are not counted", async () => {
    const { gate, limiter } = open({ charge }, { isAllowed: () => true });
    expect((await gate.handle(exchange(), costing(200, "5"))).headers.has("x-cost")).toBe(false);
    expect(limiter.settled).toEqual([]);
  });
});

describe("reporting", () => {
  const report = { ...WITH, mode: "report" };

  it.each([
    [limited, "limited"],
    [banned, "banned"],
  ] as const)("marks replies to whom it would have refused: %j", async (refused, mark) => {
    const { gate, limiter, stats } = open({ ...report, charge: { header: "x-cost" } });
    limiter.decisions = [refused];
    const { headers } = await gate.handle(exchange(), () => reply(200, { "x-cost": "5" }));
    expect(headers.get("x-ratelimit-report")).toBe(mark);
    expect(headers.get("ratelimit")).toMatch(/^"1s";r=0;/);
    expect(headers.has("x-cost")).toBe(false);
    expect(limiter.settled).toEqual([]);
    expect(stats).toMatchObject({ reported: 1, limited: 0, banned: 0 });
    const x = exchange();
    expect(await failureOf(() => gate.handle(x, fail))).toBe(broken);
    expect(x.failureHeaders!.get("x-ratelimit-report")).toBe(mark);
  });

  it("lets those pass who are denied, and all when the store is away", async () => {
    const denying = open(report, { isDenied: () => true });
    const denied = await denying.gate.handle(exchange(), () => reply(200));
    expect(denied.headers.get("x-ratelimit-report")).toBe("denied");
    const { gate, limiter, stats } = open(report);
    const away = Promise.reject(new GatewayError("STORE_UNAVAILABLE"));
    limiter.decisions = [away];
    const passed = await gate.handle(exchange(), () => reply(200));
    expect(passed.headers.get("x-ratelimit-report")).toBe("unavailable");
    expect([stats.reported, denying.stats.reported]).toEqual([1, 1]);
  });

  it("does not hide that something is wrong", async () => {
    const { gate, limiter } = open(report);
    const bug = new Error("a bug");
    limiter.decisions = [Promise.reject(bug)];
    expect(await failureOf(() => gate.handle(exchange(), ok))).toBe(bug);
  });

  it("leaves alone who may pass", async () => {
    const { gate, stats } = open(report);
    const { headers } = await gate.handle(exchange(), () => reply(200));
    expect([headers.has("x-ratelimit-report"), stats.allowed]).toEqual([false, 1]);
  });
});

describe("a request that was given up", () => {
  const gone = (): Exchange => {
    const x = exchange();
    x.abort(new GatewayError("CLIENT_CLOSED"));
    return x;
  };

  it("is not counted any more", () => {
    const { gate, limiter } = open();
    expect(() => gate.handle(gone(), ok)).toThrow(expect.objectContaining({ code: "CLIENT_CLOSED" }));
    expect(limiter.taken).toEqual([]);
  });

  it("does not go on after it waited for the store", async () => {
    const { gate, limiter } = open();
    const asked = Promise.withResolvers<ReturnType<typeof decision>>();
    limiter.decisions = [asked.promise];
    const x = exchange();
    const answer = failureOf(() => gate.handle(x, () => textReply(200, "too late")));
    x.abort(new GatewayError("CLIENT_CLOSED"));
    asked.resolve(decision());
    expect(await answer).toMatchObject({ code: "CLIENT_CLOSED" });
  });
});

it("fails with the store", async () => {
  const { gate, limiter } = open();
  limiter.decisions = [Promise.reject(new GatewayError("STORE_UNAVAILABLE"))];
  expect(await failureOf(() => gate.handle(exchange(), ok))).toMatchObject({ code: "STORE_UNAVAILABLE" });
});

it("tells of all stages on one refusal", async () => {
  const x = exchange();
  const below = open(WITH);
  below.limiter.decisions = [limited];
  const above = open({ ...WITH, rate: "50/1m" });
  await failureOf(() => above.gate.handle(x, (y) => below.gate.handle(y, ok)));
  const told: HeaderList = x.failureHeaders!;
  expect(told.getAll("ratelimit")).toEqual([expect.stringMatching(/^"1s";r=0;.*, "1m";r=9;/)]);
});
