import { describe, expect, it } from "vitest";
import {
  type Consumer,
  type Exchange,
  GatewayError,
  type Handler,
  HeaderList,
  type Reply,
} from "../../core/plugin.ts";
import { problemReply } from "../../core/reply.ts";
import { limit } from "../../plugins/limit.ts";
import { retry } from "../../plugins/retry.ts";
import { buildStage, exchange, FakeHost, headerList, type RequestInit, reply } from "../support/harness.ts";

const fresh: Handler = () => reply(200);

const named = (stage: string, host = new FakeHost()): FakeHost => Object.assign(host, { stage });

/** A stage, and what a client sees of it. */
async function open(options: object, upstream: Handler = fresh, host = named("limit")) {
  const handle = await buildStage(limit, { ...options }, upstream, host);
  /** The reply as the server would send it. */
  const ask = async (x: Exchange = exchange()): Promise<Reply> => {
    try {
      return await handle(x);
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      return problemReply(error, "id", x.failureHeaders);
    }
  };
  const statuses = async (count: number, x: () => Exchange = exchange): Promise<number[]> => {
    const all: number[] = [];
    for (let i = 0; i < count; i++) all.push((await ask(x())).status);
    return all;
  };
  /** How many of so many requests pass. */
  const pass = async (count: number, x: () => Exchange = exchange): Promise<number> =>
    (await statuses(count, x)).filter((status) => status === 200).length;
  return { ask, statuses, pass, host };
}

const from = (clientAddress: string, request: RequestInit = {}): Exchange =>
  exchange({ ...request, init: { ...request.init, clientAddress } });
const as = (name: string, parts: Partial<Consumer> = {}): Exchange =>
  Object.assign(exchange(), { consumer: { name, roles: [], ...parts } });

describe("limit", () => {
  it("lets as many pass as the bucket holds, refuses the next with 429, and refills at the rate", async () => {
    const { ask, statuses, host } = await open({ rate: "2/1s", burst: 3 });
    expect(await statuses(4)).toEqual([200, 200, 200, 429]);
    const refused = await ask();
    expect(refused.errorCode).toBe("RATE_LIMITED");
    expect(refused.headers.get("retry-after")).toBe("1");
    expect(refused.headers.get("ratelimit")).toMatch(/^"1s";r=0;t=2;/);
    expect(refused.headers.get("ratelimit-policy")).toBe('"1s";q=2;w=1;burst=3');
    host.clock.advance(499);
    expect(await statuses(1)).toEqual([429]);
    host.clock.advance(1);
    expect(await statuses(2)).toEqual([200, 429]);
  });

  it("tells allowed clients what is left", async () => {
    const { ask } = await open({ rate: "10/1m", headers: ["ratelimit", "x-ratelimit"] });
    const { headers } = await ask();
    expect(headers.get("ratelimit")).toBe('"1m";r=9;t=6;limit=10;remaining=9;reset=6');
    expect(headers.get("x-ratelimit-remaining")).toBe("9");
  });

  it("counts each client for itself with `by: ip`, by its network with IPv6", async () => {
    const { pass } = await open({ rate: "1/1m", by: "ip" });
    expect(await pass(2, () => from("192.0.2.1"))).toBe(1);
    expect(await pass(2, () => from("192.0.2.2"))).toBe(1);
    expect(await pass(1, () => from("2001:db8::1"))).toBe(1);
    expect(await pass(1, () => from("2001:db8::ffff"))).toBe(0);
    expect(await pass(1, () => from("2001:db8:0:1::1"))).toBe(1);
  });

  it("gives consumers of a tier other rates, and keeps what they have consumed when it changes", async () => {
    const { pass } = await open({
      rate: "2/1m",
      by: "consumer",
      tiers: { premium: { rate: "5/1m" }, staff: { rate: "3/1m" } },
    });
    expect(await pass(9, () => as("a"))).toBe(2);
    expect(await pass(9, () => as("b", { tier: "premium" }))).toBe(5);
    expect(await pass(9, () => as("c", { roles: ["user", "staff"] }))).toBe(3);
    expect(await pass(1, () => as("d"))).toBe(1);
    expect(await pass(9, () => as("d", { tier: "premium" }))).toBe(4);
  });

  it("lets those of `allow` pass and refuses those of `deny`, and counts neither", async () => {
    const { statuses } = await open({
      rate: "1/1m",
      allow: { roles: ["admin"] },
      deny: { ips: ["192.0.2.0/24"] },
    });
    expect(await statuses(3, () => as("root", { roles: ["admin"] }))).toEqual([200, 200, 200]);
    expect(await statuses(1, () => from("192.0.2.7"))).toEqual([403]);
    expect(await statuses(2)).toEqual([200, 429]);
  });

  it("bans who goes on asking", async () => {
    const { ask, pass, host } = await open({
      rate: "1/1s",
      by: "ip",
      ban: { after: 3, within: "1m", for: "10m" },
    });
    expect(await pass(4)).toBe(1);
    expect(host.audit.events).toEqual([{ event: "ban", outcome: "refused" }]);
    host.clock.advance(1000);
    const banned = await ask();
    expect([banned.status, banned.errorCode]).toEqual([429, "CLIENT_BANNED"]);
    expect(banned.headers.get("retry-after")).toBe("599");
    expect(await pass(1, () => from("192.0.2.9"))).toBe(1);
    host.clock.advance(599_000);
    expect(await pass(1)).toBe(1);
  });

  it("takes what a request costs, and charges what its reply says", async () => {
    const costs = ["6", "1"];
    const { ask } = await open(
      {
        rate: "10/1m",
        cost: { header: "x-points" },
        charge: { header: "x-cost", statuses: ["400-599"] },
      },
      () => reply(200, { "x-cost": costs.shift() ?? "1" }),
    );
    const left = async (points: string): Promise<string> => {
      const { headers } = await ask(exchange({ headers: { "x-points": points } }));
      return /r=(\d+)/.exec(headers.get("ratelimit")!)![1]!;
    };
    expect([await left("2"), await left("3"), await left("1")]).toEqual(["4", "3", "2"]);
    expect((await ask(exchange({ headers: { "x-points": "3" } }))).status).toBe(429);
  });

  it("charges nothing for attempts that fail where it is told so", async () => {
    const { pass } = await open({ rate: "1/1m", charge: { statuses: [502] } }, () => {
      throw new GatewayError("UPSTREAM_RESET");
    });
    await pass(5);
    const { statuses } = await open({ rate: "1/1m", charge: { statuses: [502] } }, () => {
      throw new GatewayError("UPSTREAM_RESET");
    });
    expect(await statuses(3)).toEqual([502, 502, 502]);
  });

  it("refuses nobody with `mode: report`, and marks who would have been", async () => {
    const { ask } = await open({ rate: "1/1m", mode: "report" });
    expect((await ask()).headers.has("x-ratelimit-report")).toBe(false);
    const marked = await ask();
    expect([marked.status, marked.headers.get("x-ratelimit-report")]).toEqual([200, "limited"]);
  });

  it("names its rules after the stage when that has a name of its own", async () => {
    const { ask } = await open({ rate: "10/1m" }, fresh, named("per-ip"));
    expect((await ask()).headers.get("ratelimit-policy")).toBe('"per-ip:1m";q=10;w=60');
  });

  it("tells of all stages of a pipeline", async () => {
    const inner = await buildStage(limit, { rate: "1/1s" }, fresh, named("per-second"));
    const { ask } = await open({ rate: "10/1m" }, inner);
    expect((await ask()).headers.getJoined("ratelimit")).toMatch(/^"per-second:1s";r=0;.*, "1m";r=9;/);
  });
});

describe("beside retry", () => {
  const retrying = { attempts: 3, on: [503], backoff: { base: "0ms", max: "0ms" } };
  const failing: Handler = () => reply(503);
  const told = async (handle: Handler) => (await handle(exchange())).headers.getAll("ratelimit");

  it("counts a request once when it stands above", async () => {
    const below = await buildStage(retry, retrying, failing);
    expect(await told(await buildStage(limit, { rate: "9/1m" }, below, named("limit")))).toEqual([
      expect.stringMatching(/r=8;/),
    ]);
  });

  it("counts each attempt when it stands below, and tells of the last", async () => {
    const below = await buildStage(limit, { rate: "9/1m" }, failing, named("limit"));
    expect(await told(await buildStage(retry, retrying, below))).toEqual([expect.stringMatching(/r=6;/)]);
  });

  it("tells once of attempts that all fail", async () => {
    const below = await buildStage(
      limit,
      { rate: "9/1m" },
      () => {
        throw new GatewayError("UPSTREAM_RESET");
      },
      named("limit"),
    );
    const x = exchange();
    const handle = await buildStage(retry, { ...retrying, on: ["reset"] }, below);
    await expect(handle(x)).rejects.toMatchObject({ code: "UPSTREAM_RESET" });
    expect(x.failureHeaders!.getAll("ratelimit")).toEqual([expect.stringMatching(/^"1m";r=6;[^,]*$/)]);
  });
});

describe("counts", () => {
  const of = (route: string, { clock, shared, kept }: FakeHost, stage = "limit"): FakeHost =>
    named(stage, Object.assign(new FakeHost(), { clock, shared, kept, route }));

  it("are each route's and each stage's own", async () => {
    const host = new FakeHost();
    for (const [route, stage] of [["a"], ["b"], ["a", "limit#2"]] as const) {
      const { pass } = await open({ rate: "2/1m", by: "ip" }, fresh, of(route, host, stage));
      expect(await pass(5)).toBe(2);
    }
  });

  it.each([["global"], [{ upstream: "users" }]])("are for all routes together with %j", async (wide) => {
    const host = new FakeHost();
    const one = await open({ rate: "3/1m", by: [wide, "ip"] }, fresh, of("a", host));
    const other = await open({ rate: "3/1m", by: [wide, "ip"] }, fresh, of("b", host));
    expect([await one.pass(2), await other.pass(5)]).toEqual([2, 1]);
    expect(await other.pass(5, () => from("192.0.2.9"))).toBe(3);
  });

  it("go on when a stage is built again, and when its rate has changed", async () => {
    const host = named("limit");
    expect(await (await open({ rate: "100/1d" }, fresh, host)).pass(50)).toBe(50);
    expect(await (await open({ rate: "100/1d", headers: [] }, fresh, host)).pass(10)).toBe(10);
    const raised = await open({ rate: "200/1d" }, fresh, host);
    expect((await raised.ask()).headers.get("ratelimit")).toMatch(/^"1d";r=139;/);
  });
});

describe("metrics", () => {
  const all = (host: FakeHost) => {
    const labels = '"route":"test","stage":"limit"';
    const counts = host.collected("sluice_limit_requests_total");
    return Object.fromEntries(
      ["allowed", "limited", "banned", "bypassed", "denied", "reported"].map((outcome) => [
        outcome,
        counts[`{${labels},"outcome":"${outcome}"}`],
      ]),
    );
  };

  it("count requests by outcome, and refusals by rule, also across generations", async () => {
    const host = named("limit");
    const options = {
      rate: "2/1m",
      ban: { after: 2, within: "1m", for: "1m" },
      allow: { consumers: ["friend"] },
      deny: { consumers: ["foe"] },
    };
    const { statuses } = await open(options, fresh, host);
    expect(await statuses(5)).toEqual([200, 200, 429, 429, 429]);
    await statuses(2, () => as("friend"));
    await statuses(1, () => as("foe"));
    for (const sources of host.sources.values()) sources.clear();
    const { ask } = await open({ ...options, mode: "report" }, fresh, host);
    await ask();
    expect(all(host)).toEqual({ allowed: 2, limited: 2, banned: 1, bypassed: 2, denied: 1, reported: 1 });
    expect(host.collected("sluice_limit_bans_total")).toEqual({ '{"route":"test","stage":"limit"}': 1 });
    expect(host.collected("sluice_limit_refused_total")).toEqual({
      '{"route":"test","stage":"limit","tier":"","rule":"1m"}': 2,
    });
  });
});

describe("options that cannot be", () => {
  const refusal = async (options: object): Promise<string[]> => {
    try {
      await open(options);
    } catch (error) {
      return (error as { problems: { pointer: string }[] }).problems.map(({ pointer }) => pointer);
    }
    return [];
  };

  it.each([
    [{ rate: "1/1s", onStoreError: "deny" }, ["/onStoreError"]],
    [{ rate: "1/1s", timeout: "10ms", localShare: "50%" }, ["/timeout", "/localShare"]],
    [{ rate: "1/1s", lease: {} }, ["/lease"]],
    [{ rate: "1/1s", timeout: "50ms", onStoreError: "local" }, []],
    [{ rate: "1/1s", store: "main", onStoreError: "deny" }, []],
    [{ rate: "1/1s", store: "main", onStoreError: "deny", localShare: "50%" }, ["/localShare"]],
    [
      { rate: "1/1s", store: "main", timeout: "11s", localShare: "0%", lease: { share: "101%", time: "0s" } },
      ["/timeout", "/localShare", "/lease/share", "/lease/time"],
    ],
  ])("about stores are looked at: %j", async (options, pointers) => {
    expect(await refusal(options)).toEqual(pointers);
  });

  it("are all told at once", async () => {
    expect(
      await refusal({
        algorithm: "fixed-window",
        rate: "10/1s",
        burst: 5,
        by: ["ip", "ip"],
        allow: { ips: ["nowhere"] },
        deny: { ips: ["10.0.0.0/40"] },
        charge: { cost: 2 },
        cost: { header: "a b" },
        lease: {},
      }),
    ).toEqual(["/by/1", "/burst", "/allow/ips/0", "/deny/ips/0", "/cost/header", "/charge", "/lease"]);
  });
});

it("adds its fields to those of an upstream that limits too", async () => {
  const theirs = headerList({ "RateLimit-Policy": '"theirs";q=5', RateLimit: '"theirs";r=1;t=9' });
  const { ask } = await open({ rate: "10/1m" }, () => Object.assign(reply(200), { headers: theirs }));
  const { headers } = await ask();
  expect(headers).toBeInstanceOf(HeaderList);
  expect(headers.getJoined("ratelimit-policy")).toBe('"theirs";q=5, "1m";q=10;w=60');
});
