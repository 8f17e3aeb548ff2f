import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Exchange } from "../../../core/plugin.ts";
import type { BalancerOptions } from "../../../plugins/balance/options.ts";
import type { PickRule } from "../../../plugins/balance/pick-rule.ts";
import { exchange, type FakeTarget, type FakeUpstream } from "../../support/harness.ts";
import { equal, from, pick, ruleOf, SeededHost, sum, upstreamOf } from "./picks.ts";

const consistent = { strategy: "consistent-hash" } as const;
const KEYS = Array.from({ length: 2000 }, (_, i) => from(`10.1.${i >> 8}.${i & 255}`));
const weights = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 2, maxLength: 12 });

const all = (rule: PickRule, keys: readonly Exchange[] = KEYS): FakeTarget[] =>
  keys.map((x) => pick(rule, x));
const idsOf = (targets: readonly FakeTarget[]): string[] => targets.map(({ id }) => id);

function leave(upstream: FakeUpstream, gone: number): FakeTarget {
  const target = upstream.targets[gone]!;
  upstream.eligible = upstream.targets.filter((other) => other !== target);
  return target;
}

describe.each([{ strategy: "ip-hash" }, consistent] as const)("$strategy", (options) => {
  it("sends a client to the same target always, with any generation and gateway", () => {
    const first = all(ruleOf(upstreamOf(equal(5)), options, new SeededHost(1)));
    const second = all(ruleOf(upstreamOf(equal(5)), options, new SeededHost(2)));
    expect(idsOf(second)).toEqual(idsOf(first));
    expect(new Set(first).size).toBe(5);
  });

  it("gives targets clients by weight, nearly", () => {
    const upstream = upstreamOf([1, 2, 3]);
    const picked = all(ruleOf(upstream, options));
    for (const target of upstream.targets) {
      const share = picked.filter((other) => other === target).length / picked.length;
      expect(Math.abs(share / (target.weight / 6) - 1)).toBeLessThan(0.25);
    }
  });

  it("moves only the clients of a target that leaves, at most its share and 5 %, and back when it is back", () => {
    fc.assert(
      fc.property(weights, fc.nat(), (weights, index) => {
        const upstream = upstreamOf(weights);
        const rule = ruleOf(upstream, options);
        const before = all(rule);
        const gone = leave(upstream, index % weights.length);
        const after = all(rule);
        let moved = 0;
        for (const [i, target] of before.entries()) {
          if (target === gone) moved++;
          else expect(after[i]).toBe(target);
        }
        expect(after).not.toContain(gone);
        expect(moved / KEYS.length).toBeLessThanOrEqual(gone.weight / sum(weights) + 0.05);
        upstream.eligible = upstream.targets;
        expect(all(rule)).toEqual(before);
      }),
      { numRuns: 30 },
    );
  });

  it("moves at most the share of a target that is removed for good, and spreads it over the others", () => {
    const upstream = upstreamOf(equal(10));
    const rule = ruleOf(upstream, options);
    const before = all(rule);
    upstream.targets = upstream.targets.filter(({ id }) => id !== "t4");
    upstream.eligible = upstream.targets;
    const after = all(rule);
    const moved = after.filter((target, i) => target !== before[i]);
    expect(moved.length / KEYS.length).toBeLessThanOrEqual(1 / 10 + 0.05);
    expect(new Set(moved).size).toBe(9);
  });

  it("moves few clients when a weight changes a little, as in slow start", () => {
    const upstream = upstreamOf(equal(10));
    const rule = ruleOf(upstream, options);
    const before = all(rule);
    upstream.weigh(...equal(9), 0.5);
    const moved = all(rule).filter((target, i) => target !== before[i]).length;
    expect(moved / KEYS.length).toBeLessThanOrEqual(0.05 + 0.05);
    expect(moved).toBeGreaterThan(0);
  });

  it("goes on along the ring for those whose target may not be asked", () => {
    const upstream = upstreamOf(equal(4));
    const rule = ruleOf(upstream, options);
    const x = KEYS[0]!;
    const [first, second, ...rest] = [...rule.others!(x)] as FakeTarget[];
    expect(first).toBe(pick(rule, x));
    expect(new Set([first, second, ...rest])).toEqual(new Set(upstream.targets));
    leave(upstream, upstream.targets.indexOf(first!));
    expect(pick(rule, x)).toBe(second);
    upstream.eligible = [];
    expect([...rule.others!(x)]).toEqual([]);
  });
});

describe("ip-hash", () => {
  it("knows no limit of load", () => {
    const upstream = upstreamOf(equal(3));
    const rule = ruleOf(upstream, { strategy: "ip-hash" });
    const target = pick(rule, KEYS[0]);
    target.inFlight = 1000;
    expect(pick(rule, KEYS[0])).toBe(target);
  });
});

describe("the key", () => {
  const keyOf = (key: NonNullable<BalancerOptions["key"]>, ...xs: Exchange[]): number =>
    new Set(all(ruleOf(upstreamOf(equal(50)), { ...consistent, key }), xs)).size;
  const request = (init: Parameters<typeof exchange>[0]): Exchange => exchange(init);

  it("is the client's address unless the options say", () => {
    const rule = ruleOf(upstreamOf(equal(50)), consistent);
    expect(new Set(all(rule, [from("192.0.2.1"), from("192.0.2.1")])).size).toBe(1);
    expect(new Set(all(rule)).size).toBe(50);
  });

  it("may be a header, a cookie, a query parameter, the path, or the consumer", () => {
    const [one, two] = ["a", "b"].map((value) => ({
      header: request({ headers: { "x-tenant": value } }),
      cookie: request({ headers: { cookie: `other=1; session=${value}` } }),
      query: request({ target: `/?user=${value}` }),
      path: request({ target: `/${value}` }),
      consumer: Object.assign(request({}), { consumer: { name: value, roles: [] } }),
    }));
    for (const [kind, key] of [
      ["header", { header: "x-tenant" }],
      ["cookie", { cookie: "session" }],
      ["query", { query: "user" }],
      ["path", "path"],
      ["consumer", "consumer"],
    ] as const) {
      expect(keyOf(key, one![kind], one![kind])).toBe(1);
      expect(keyOf(key, one![kind], two![kind])).toBe(2);
    }
  });

  it("may be absent: then requests are spread by weight", () => {
    const upstream = upstreamOf([3, 1]);
    const rule = ruleOf(upstream, { ...consistent, key: { header: "x-tenant" } });
    for (const headers of [{}, { "x-tenant": "" }]) {
      const picked = all(rule, Array(2000).fill(exchange({ headers })));
      const share = picked.filter(({ id }) => id === "t0").length / 2000;
      expect(Math.abs(share - 0.75)).toBeLessThan(0.1);
    }
  });
});

describe("the limit of load", () => {
  it("is kept with every pick, whatever the keys, and lets some target in always", () => {
    fc.assert(
      fc.property(
        weights,
        fc.constantFrom(1, 1.1, 1.25, 2),
        fc.integer({ min: 1, max: 30 }),
        fc.integer(),
        (weights, loadFactor, keys, seed) => {
          const upstream = upstreamOf(weights);
          const host = new SeededHost(seed);
          const rule = ruleOf(upstream, { ...consistent, loadFactor }, host);
          const busy: FakeTarget[] = [];
          for (let i = 0; i < 300; i++) {
            const target = pick(rule, KEYS[Math.floor(host.random() * keys)]);
            target.inFlight++;
            busy.push(target);
            const average = (busy.length * target.weight) / sum(weights);
            expect(target.inFlight).toBeLessThanOrEqual(Math.ceil(loadFactor * average - 1e-9));
            if (host.random() < 0.4) busy.splice(Math.floor(host.random() * busy.length), 1)[0]!.inFlight--;
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it("is 1.25 times the share by default: beyond it the next on the ring is asked", () => {
    const upstream = upstreamOf(equal(4));
    const rule = ruleOf(upstream, consistent);
    const home = pick(rule, KEYS[0]);
    for (const target of upstream.targets) target.inFlight = 9;
    expect(pick(rule, KEYS[0])).toBe(home); // 10 of 37 are within 11.6
    home.inFlight = 13;
    const next = pick(rule, KEYS[0]);
    expect(next).not.toBe(home);
    expect([...rule.others!(KEYS[0]!)].map((target) => target.id)).toEqual([
      next.id,
      ...[...ruleOf(upstream, { ...consistent, loadFactor: false }).others!(KEYS[0]!)]
        .map((target) => target.id)
        .filter((id) => id !== next.id && id !== home.id),
      home.id,
    ]);
  });

  it("counts the request that is picked for", () => {
    const upstream = upstreamOf(equal(2));
    const rule = ruleOf(upstream, consistent);
    const home = pick(rule, KEYS[0]);
    for (const target of upstream.targets) target.inFlight = target === home ? 2 : 1;
    expect(pick(rule, KEYS[0])).toBe(home); // 3 of 4 are within 2.5, rounded up
  });

  it("may be wider, or none", () => {
    for (const loadFactor of [2, false] as const) {
      const upstream = upstreamOf(equal(4));
      const rule = ruleOf(upstream, { ...consistent, loadFactor });
      const home = pick(rule, KEYS[0]);
      for (const target of upstream.targets) target.inFlight = 9;
      home.inFlight = 15;
      expect(pick(rule, KEYS[0])).toBe(home);
      home.inFlight = 100;
      expect(pick(rule, KEYS[0]) === home).toBe(loadFactor === false);
    }
  });

  it("does not count requests to targets that are not eligible", () => {
    const upstream = upstreamOf(equal(3));
    const rule = ruleOf(upstream, consistent);
    const gone = leave(upstream, 2);
    gone.inFlight = 1000;
    const home = pick(rule, KEYS[0]);
    home.inFlight = 5;
    expect(pick(rule, KEYS[0])).not.toBe(home);
  });
});
