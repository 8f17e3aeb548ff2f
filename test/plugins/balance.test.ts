import { describe, expect, it } from "vitest";
import type { ConfigError } from "../../core/errors.ts";
import { KeepStore } from "../../core/keep.ts";
import { textReply, type Upstream } from "../../core/plugin.ts";
import { balance } from "../../plugins/balance.ts";
import { balanceProperties } from "../../plugins/balance/options.ts";
import { bodyText, buildStage, exchange, FakeHost, FakeUpstream } from "../support/harness.ts";

const upstream = (name: string, ...ids: string[]): FakeUpstream => new FakeUpstream(name, ids);

function hostWith(...upstreams: Upstream[]): FakeHost {
  const host = new FakeHost();
  for (const each of upstreams) host.upstreams.set(each.name, each);
  return host;
}

const never = (): never => expect.unreachable("balance calls next");
const build = (host: FakeHost, options: object = { upstream: "users" }) =>
  buildStage(balance, { ...options }, never, host);

/** Which targets `count` requests go to. */
async function targets(handler: Awaited<ReturnType<typeof build>>, count: number): Promise<string> {
  let all = "";
  for (let i = 0; i < count; i++) all += await bodyText(await handler(exchange()));
  return all;
}

describe("balance", () => {
  it("sends requests to each target in turn", async () => {
    const handler = await build(hostWith(upstream("users", "a", "b", "c"), upstream("other", "x")));
    expect(await targets(handler, 7)).toBe("abcabca");
  });

  it("weighs turns by default, and not when it is told to", async () => {
    const host = hostWith(upstream("users", "a", "b"));
    (host.upstreams.get("users") as FakeUpstream).weigh(3, 1);
    expect(await targets(await build(host), 4)).toBe("aaba");
    const equal = await build(host, { upstream: "users", strategy: "round-robin" });
    expect(await targets(equal, 4)).toBe("abab");
    await expect(build(hostWith(), { upstream: "users", strategy: "best" })).rejects.toThrow("/strategy");
  });

  it("sends nothing to targets whose weight is 0, whatever the strategy", async () => {
    const host = hostWith(upstream("users", "a", "b"));
    (host.upstreams.get("users") as FakeUpstream).weigh(0, 1);
    for (const strategy of balanceProperties.strategy.enum) {
      expect(await targets(await build(host, { upstream: "users", strategy }), 3)).toBe("bbb");
    }
  });

  it("hashes the key that the options name", async () => {
    const key = { header: "x-tenant" };
    const handler = await build(hostWith(upstream("users", "a", "b", "c")), {
      upstream: "users",
      strategy: "consistent-hash",
      key,
      loadFactor: 2,
    });
    const to = async (tenant: string): Promise<string> =>
      bodyText(await handler(exchange({ headers: { "x-tenant": tenant } })));
    const all = await Promise.all(["1", "2", "3", "4", "5", "6", "7", "8"].map(to));
    expect(new Set(all).size).toBe(3);
    expect(await Promise.all(["1", "1", "1", "1"].map(to))).toContain(all[0]);
  });

  it("refuses a load factor below 1 and a key that is none", async () => {
    const hash = { upstream: "users", strategy: "consistent-hash" };
    const host = hostWith(upstream("users", "a"));
    await expect(build(host, { ...hash, loadFactor: 0.9 })).rejects.toThrow("/loadFactor");
    await expect(build(host, { ...hash, loadFactor: true })).rejects.toThrow("/loadFactor");
    await expect(build(host, { ...hash, key: "nothing" })).rejects.toThrow("/key");
    await expect(build(host, { ...hash, key: "{nothing.known}" })).rejects.toMatchObject({
      problems: [{ pointer: "/key" }],
    });
  });

  it("refuses options of consistent hashing with another strategy, because they would do nothing", async () => {
    const options = { upstream: "users", key: "consumer", loadFactor: 2 };
    for (const strategy of [undefined, "ip-hash"]) {
      await expect(
        build(hostWith(upstream("users", "a")), { ...options, ...(strategy && { strategy }) }),
      ).rejects.toMatchObject({
        problems: [
          { pointer: "/key", atKey: true, message: expect.stringContaining("consistent-hash") },
          { pointer: "/loadFactor", atKey: true, message: expect.stringContaining("consistent-hash") },
        ],
      });
    }
  });

  it("spreads requests that come at once", async () => {
    const handler = await build(hostWith(upstream("users", "a", "b")));
    const replies = await Promise.all([1, 2, 3, 4].map(() => handler(exchange())));
    const texts = await Promise.all(replies.map((reply) => bodyText(reply)));
    expect(texts.toSorted().join("")).toBe("aabb");
  });

  it("gives the target's exchange and reply unchanged", async () => {
    const reply = textReply(418, "tea");
    const users = upstream("users", "a");
    users.targets[0]!.answer = () => reply;
    const handler = await build(hostWith(users));
    const x = exchange();
    expect(await handler(x)).toBe(reply);
    expect(users.targets[0]!.seen).toEqual([x]);
  });

  it.each(["round-robin", "weighted-round-robin"])(
    "goes on with the turns of %s of the generation before",
    async (strategy) => {
      const kept = new KeepStore().lease();
      const next = (...urls: string[]) => {
        const host = hostWith(upstream("users", ...urls));
        host.keep = (key, create) => kept.keep(key, create as () => object) as ReturnType<typeof create>;
        return build(host, { upstream: "users", strategy });
      };
      expect(await targets(await next("a", "b", "c"), 2)).toBe("ab");
      expect(await targets(await next("a", "b", "c"), 1)).toBe("c");
      expect(await targets(await next("a"), 2)).toBe("aa");
      expect((await targets(await next("a", "b"), 4)).split("").toSorted().join("")).toBe("aabb");
    },
  );

  it("shares the turn among routes of one upstream, and not among upstreams", async () => {
    const host = hostWith(upstream("users", "a", "b"), upstream("other", "x", "y"));
    const [one, two, other] = [
      await build(host),
      await build(host),
      await build(host, { upstream: "other" }),
    ];
    expect((await targets(one, 1)) + (await targets(two, 1)) + (await targets(other, 1))).toBe("abx");
  });

  it("fails with 503 and Retry-After when there is no target", async () => {
    const handler = await build(hostWith(upstream("users")));
    expect(() => handler(exchange())).toThrow(
      expect.objectContaining({ code: "UPSTREAM_UNAVAILABLE", status: 503, headers: ["retry-after", "1"] }),
    );
  });

  it("refuses an upstream that does not exist", async () => {
    const error: ConfigError = await build(hostWith()).then(
      () => expect.unreachable(),
      (e: ConfigError) => e,
    );
    expect(error.problems).toEqual([
      { code: "CONFIG_UNKNOWN_UPSTREAM", message: 'There is no upstream "users"', pointer: "/upstream" },
    ]);
  });

  it("needs the name of an upstream", async () => {
    await expect(build(hostWith(), {})).rejects.toThrow("upstream");
    await expect(build(hostWith(), { upstream: "" })).rejects.toThrow("/upstream");
  });

  it("ends a pipeline", () => {
    expect(balance.terminal).toBe(true);
  });
});
