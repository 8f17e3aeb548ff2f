import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Exchange, Handler, Target, TargetGuard } from "../../../core/plugin.ts";
import { createBalancer } from "../../../plugins/balance/balancer.ts";
import { balanceProperties } from "../../../plugins/balance/options.ts";
import { exchange, type FakeTarget, type FakeUpstream } from "../../support/harness.ts";
import { equal, from, SeededHost, upstreamOf } from "./picks.ts";

function balancerOf(upstream: FakeUpstream, options: object = {}, host = new SeededHost()): Handler {
  host.upstreams.set(upstream.name, upstream);
  return createBalancer({ upstream: upstream.name, ...options }, host);
}

/** Admits targets by name and knows who asked. */
class Guard implements TargetGuard {
  readonly asked: string[] = [];
  readonly #admitted: readonly string[];

  constructor(...admitted: string[]) {
    this.#admitted = admitted;
  }

  admit(target: Target): boolean {
    this.asked.push(target.id);
    return this.#admitted.includes(target.id);
  }
}

/** Where an exchange went. */
async function sentTo(handler: Handler, x: Exchange): Promise<string> {
  await handler(x);
  return x.target!.id;
}

const UNAVAILABLE = expect.objectContaining({ code: "UPSTREAM_UNAVAILABLE", status: 503 });

describe.each(balanceProperties.strategy.enum)("%s", (strategy) => {
  it("never picks a target that is not eligible, whatever comes and goes", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(fc.nat(3), { minLength: 6, maxLength: 6 }), { minLength: 1, maxLength: 15 }),
        fc.integer(),
        async (steps, seed) => {
          const upstream = upstreamOf(equal(6));
          const handler = balancerOf(upstream, { strategy }, new SeededHost(seed));
          for (const [step, weights] of steps.entries()) {
            upstream.weigh(...weights);
            const x = from(`192.0.2.${step}`);
            if (upstream.eligible.length === 0) expect(() => handler(x)).toThrow(UNAVAILABLE);
            else {
              await handler(x);
              expect(upstream.eligible).toContain(x.target);
            }
          }
        },
      ),
      { numRuns: 40 },
    );
  });

  it("passes over what has failed the exchange and what is not admitted, while something is left", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.subarray([0, 1, 2, 3, 4]),
        fc.subarray(["t0", "t1", "t2", "t3", "t4"], { minLength: 1 }),
        fc.integer(),
        async (tried, admitted, seed) => {
          const upstream = upstreamOf([1, 2, 3, 1, 1]);
          const handler = balancerOf(upstream, { strategy }, new SeededHost(seed));
          const x = from("192.0.2.7");
          x.tried = tried.map((i) => upstream.targets[i]!);
          const guard = new Guard(...admitted);
          x.guards = [guard];
          const id = await sentTo(handler, x);
          const fresh = admitted.filter((id) => !x.tried!.some((target) => target.id === id));
          expect(fresh.length > 0 ? fresh : admitted).toContain(id);
          expect(guard.asked).toEqual([...new Set(guard.asked)]); // admitting counts
        },
      ),
      { numRuns: 60 },
    );
  });

  it("spreads what a failed target leaves over all others", async () => {
    const upstream = upstreamOf(equal(4));
    const handler = balancerOf(upstream, { strategy });
    const seen = new Set<string>();
    for (let i = 0; i < 300; i++) {
      const x = from(`192.0.2.${i % 256}`);
      x.tried = [upstream.targets[1]!];
      seen.add(await sentTo(handler, x));
    }
    expect([...seen].toSorted()).toEqual(["t0", "t2", "t3"]);
  });

  it("fails when nobody is admitted, and asks each once", () => {
    const upstream = upstreamOf(equal(3));
    const x = exchange();
    const guard = new Guard();
    x.guards = [guard];
    expect(() => balancerOf(upstream, { strategy })(x)).toThrow(UNAVAILABLE);
    expect(guard.asked.toSorted()).toEqual(["t0", "t1", "t2"]);
  });
});

describe.each(["ip-hash", "consistent-hash"])("%s", (strategy) => {
  it("sends those whose target failed to where they would go without it", async () => {
    for (let i = 0; i < 20; i++) {
      const [whole, less] = [upstreamOf(equal(5)), upstreamOf(equal(5))];
      const home = await sentTo(balancerOf(whole, { strategy }), from(`192.0.2.${i}`));
      less.eligible = less.targets.filter(({ id }) => id !== home);
      const x = from(`192.0.2.${i}`);
      x.tried = whole.targets.filter(({ id }) => id === home);
      const again = await sentTo(balancerOf(whole, { strategy }), x);
      expect(again).toBe(await sentTo(balancerOf(less, { strategy }), from(`192.0.2.${i}`)));
    }
  });
});

describe("a balancer", () => {
  it("is content with the name of an upstream", async () => {
    const handler = balancerOf(upstreamOf([2, 1]));
    expect([
      await sentTo(handler, exchange()),
      await sentTo(handler, exchange()),
      await sentTo(handler, exchange()),
    ]).toEqual(["t0", "t1", "t0"]);
  });

  it("asks again, when all have failed the exchange, the one that did so first", async () => {
    const upstream = upstreamOf(equal(3));
    const [a, b, c] = upstream.targets as [FakeTarget, FakeTarget, FakeTarget];
    const x = exchange();
    x.tried = [c, a, b];
    expect(await sentTo(balancerOf(upstream), x)).toBe("t2");
    upstream.eligible = [a, b];
    expect(await sentTo(balancerOf(upstream), x)).toBe("t0");
  });

  it("needs the consent of all guards", async () => {
    const x = exchange();
    x.guards = [new Guard("t0", "t1"), new Guard("t1", "t2")];
    expect(await sentTo(balancerOf(upstreamOf(equal(3))), x)).toBe("t1");
  });

  it("tells where its options stand when they are wrong", () => {
    const host = new SeededHost();
    host.upstreams.set("users", upstreamOf([1]));
    expect(() => createBalancer({ upstream: "nobody" }, host, "/fallback")).toThrow(
      expect.objectContaining({ problems: [expect.objectContaining({ pointer: "/fallback/upstream" })] }),
    );
    const options = { upstream: "users", strategy: "consistent-hash", key: "{nothing.known}" } as const;
    expect(() => createBalancer(options, host, "/fallback")).toThrow(
      expect.objectContaining({ problems: [expect.objectContaining({ pointer: "/fallback/key" })] }),
    );
  });
});
