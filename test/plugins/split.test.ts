import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConfigError, GatewayError, type Handler, textReply } from "../../core/plugin.ts";
import { split } from "../../plugins/split.ts";
import {
  bodyText,
  buildStage,
  exchange,
  FakeHost,
  FakeUpstream,
  type RequestInit,
} from "../support/harness.ts";

/** A generator of the same numbers each time. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function hostWith(...names: string[]): FakeHost {
  const host = new FakeHost();
  for (const name of names) host.upstreams.set(name, new FakeUpstream(name, [name]));
  const random = seeded(7);
  host.random = () => host.randoms.shift() ?? random();
  return host;
}

const never = (): never => expect.unreachable("split calls next");
const CANARY = [
  { upstream: "canary", weight: 5 },
  { upstream: "stable", weight: 95 },
];

function build(options: object, host: FakeHost = hostWith("canary", "stable", "other")): Promise<Handler> {
  return buildStage(split, { branches: CANARY, ...options }, never, host);
}

const target = (host: FakeHost, name: string) => (host.upstreams.get(name) as FakeUpstream).targets[0]!;

/** Takes away the targets of an upstream. */
function empty(host: FakeHost, ...names: string[]): void {
  for (const name of names) (host.upstreams.get(name) as FakeUpstream).eligible = [];
}

const send = async (handler: Handler, request: RequestInit = {}): Promise<string> =>
  bodyText(await handler(exchange(request)));

/** How many of `count` requests go to each upstream. */
async function shares(
  handler: Handler,
  count: number,
  request: (i: number) => RequestInit = () => ({}),
): Promise<Record<string, number>> {
  const sums: Record<string, number> = {};
  for (let i = 0; i < count; i++) {
    const name = await send(handler, request(i));
    sums[name] = (sums[name] ?? 0) + 1;
  }
  return sums;
}

async function refusal(options: object): Promise<{ message: string; pointer: string; code: string }> {
  const error = await build(options).then(
    () => expect.unreachable("it was built"),
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(ConfigError);
  const [problem] = (error as ConfigError).problems;
  return problem!;
}

const user = (i: number): RequestInit => ({ headers: { "x-user": `user-${i}` } });
const BY_USER = { by: { header: "x-user" } };

describe("a split by chance", () => {
  it("sends each branch its share", async () => {
    const sums = await shares(await build({}), 20_000);
    expect(sums["canary"]).toBeGreaterThan(1000 - 4 * 31); // four deviations
    expect(sums["canary"]).toBeLessThan(1000 + 4 * 31);
    expect(sums["canary"]! + sums["stable"]!).toBe(20_000);
  });

  it("draws the line exactly where the weights say", async () => {
    const host = hostWith("canary", "stable");
    const handler = await build({}, host);
    host.randoms.push(0, 0.049999, 0.05, 0.999999);
    const went = [await send(handler), await send(handler), await send(handler), await send(handler)];
    expect(went).toEqual(["canary", "canary", "stable", "stable"]);
  });

  it("takes weights as parts of their sum, whatever that is", async () => {
    const host = hostWith("canary", "stable", "other");
    const branches = [
      { upstream: "canary", weight: 0.5 },
      { upstream: "stable", weight: 1 },
      { upstream: "other", weight: 0.5 },
    ];
    const handler = await build({ branches }, host);
    host.randoms.push(0.249, 0.25, 0.749, 0.75);
    const went = [await send(handler), await send(handler), await send(handler), await send(handler)];
    expect(went).toEqual(["canary", "stable", "stable", "other"]);
  });

  it("sends nothing to a branch of weight 0", async () => {
    const handler = await build({
      branches: [
        { upstream: "canary", weight: 0 },
        { upstream: "stable", weight: 1 },
      ],
    });
    expect(await shares(handler, 500)).toEqual({ stable: 500 });
  });

  it("balances over the targets of a branch, as its strategy says", async () => {
    const host = hostWith("stable");
    host.upstreams.set("canary", new FakeUpstream("canary", ["a", "b"]));
    const branches = [{ upstream: "canary", weight: 1, strategy: "round-robin" }];
    const handler = await build({ branches }, host);
    expect(await shares(handler, 10)).toEqual({ a: 5, b: 5 });
    await expect(build({ branches: [{ ...branches[0], strategy: "best" }] }, host)).rejects.toThrow(
      "/strategy",
    );
  });

  it("takes all options of balancing for a branch", async () => {
    const host = hostWith("stable");
    host.upstreams.set("canary", new FakeUpstream("canary", ["a", "b", "c"]));
    const hashed = {
      upstream: "canary",
      weight: 1,
      strategy: "consistent-hash",
      key: { header: "x-user" },
      loadFactor: false,
    };
    const byUser = await build({ branches: [hashed] }, host);
    expect(Object.values(await shares(byUser, 20, () => user(1)))).toEqual([20]);
    expect(Object.keys(await shares(byUser, 50, user)).length).toBeGreaterThan(1);
    const sticky = { upstream: "canary", weight: 1, sticky: { secret: "0123456789abcdef", cookie: "at" } };
    const reply = await (await build({ branches: [sticky] }, host))(exchange());
    expect(reply.headers.get("set-cookie")).toMatch(/^at=/);
    const wrong = { branches: [{ upstream: "canary", weight: 1, loadFactor: 2 }] };
    expect(await refusal(wrong)).toMatchObject({ pointer: "/branches/0/loadFactor" });
  });

  it("gives the target's reply as it is", async () => {
    const host = hostWith("canary", "stable");
    const reply = textReply(418, "tea");
    target(host, "stable").answer = () => reply;
    host.randoms.push(0.9);
    expect(await (await build({}, host))(exchange())).toBe(reply);
  });
});

describe("a split by a key", () => {
  it("sends the same key the same way, through reloads and in other gateways", async () => {
    const [one, two] = [await build(BY_USER), await build(BY_USER)];
    for (let i = 0; i < 300; i++) {
      const first = await send(one, user(i));
      expect(await send(one, user(i))).toBe(first);
      expect(await send(two, user(i))).toBe(first);
    }
  });

  it("sends each branch its share of the keys", async () => {
    const sums = await shares(await build(BY_USER), 20_000, user);
    expect(sums["canary"]).toBeGreaterThan(1000 - 4 * 31);
    expect(sums["canary"]).toBeLessThan(1000 + 4 * 31);
  });

  it("moves keys only to the first branch while that grows", async () => {
    const weights = [0, 1, 5, 30, 60, 100];
    const stages = await Promise.all(
      weights.map((weight) =>
        build({
          ...BY_USER,
          branches: [
            { upstream: "canary", weight },
            { upstream: "stable", weight: 100 - weight },
          ],
        }),
      ),
    );
    for (let i = 0; i < 300; i++) {
      const way: string[] = [];
      for (const stage of stages) way.push(await send(stage, user(i)));
      expect(way).toEqual(way.toSorted((a, b) => (a === b ? 0 : a === "stable" ? -1 : 1)));
      expect(way.at(-1)).toBe("canary");
    }
  });

  it("is independent of a split with another salt, and the same as one with the same", async () => {
    const half = [
      { upstream: "canary", weight: 1 },
      { upstream: "stable", weight: 1 },
    ];
    const [a, same, b] = [
      await build({ ...BY_USER, branches: half, salt: "a" }),
      await build({ ...BY_USER, branches: half, salt: "a" }),
      await build({ ...BY_USER, branches: half, salt: "b" }),
    ];
    let alike = 0;
    for (let i = 0; i < 2000; i++) {
      const way = await send(a, user(i));
      expect(await send(same, user(i))).toBe(way);
      if ((await send(b, user(i))) === way) alike++;
    }
    expect(alike).toBeGreaterThan(1000 - 90);
    expect(alike).toBeLessThan(1000 + 90);
  });

  it("goes by chance where there is no key", async () => {
    const host = hostWith("canary", "stable");
    const handler = await build({ by: { cookie: "id" } }, host);
    host.randoms.push(0.01, 0.99);
    expect([await send(handler), await send(handler)]).toEqual(["canary", "stable"]);
  });

  it("goes by cookies, parameters and templates too", async () => {
    const handler = await build({ by: { cookie: "ab" } });
    const ways = new Set<string>();
    for (let i = 0; i < 200; i++) ways.add(await send(handler, { headers: { cookie: "x=1; ab=fixed" } }));
    expect(ways.size).toBe(1);
    expect(await refusal({ by: "{no.such}" })).toMatchObject({ pointer: "/by" });
  });
});

describe("a branch with a condition", () => {
  const branches = [
    { upstream: "canary", weight: 0, when: { header: { "x-canary": true } } },
    { name: "beta", upstream: "other", when: { query: { beta: ["1", "2"] }, not: { method: "POST" } } },
    { upstream: "stable", weight: 1 },
  ];

  it("takes the requests that meet it, and no others without a weight", async () => {
    const handler = await build({ branches });
    expect(await send(handler, { headers: { "X-Canary": "yes" } })).toBe("canary");
    expect(await send(handler, { target: "/?beta=2" })).toBe("other");
    expect(await send(handler, { target: "/?beta=2", method: "POST" })).toBe("stable");
    expect(await shares(handler, 200)).toEqual({ stable: 200 });
  });

  it("takes them at once: the first that holds, before key and chance", async () => {
    const handler = await build({ branches, ...BY_USER });
    const both = { target: "/?beta=1", headers: { "x-canary": "1", "x-user": "u" } };
    expect(await send(handler, both)).toBe("canary");
  });

  it("may know consumers", async () => {
    const handler = await build({
      branches: [
        { upstream: "canary", when: { consumer: ["tester"] } },
        { upstream: "stable", weight: 1 },
      ],
    });
    const x = exchange();
    x.consumer = { name: "tester", roles: [] };
    expect(await bodyText(await handler(x))).toBe("canary");
    expect(await send(handler)).toBe("stable");
  });

  it("is refused where it is wrong", async () => {
    const when = (condition: object) => ({
      branches: [
        { upstream: "stable", weight: 1 },
        { upstream: "canary", when: condition },
      ],
    });
    expect(await refusal(when({ header: { a: { regex: "(" } } }))).toMatchObject({
      code: "CONFIG_REGEX",
      pointer: "/branches/1/when/header/a/regex",
    });
    await expect(build(when({ headers: {} }))).rejects.toThrow("/branches/1/when");
    await expect(build(when({ not: { nothing: 1 } }))).rejects.toThrow("/branches/1/when/not");
  });
});

describe("a split with a cookie", () => {
  const cookie = { name: "ab" };
  const set = async (handler: Handler, request: RequestInit = {}): Promise<string[]> =>
    (await handler(exchange(request))).headers.getAll("set-cookie");

  it("gives those who have none the branch that was drawn", async () => {
    const host = hostWith("canary", "stable");
    const handler = await build({ cookie }, host);
    host.randoms.push(0.01, 0.99);
    expect(await set(handler)).toEqual(["ab=canary; Path=/; HttpOnly; SameSite=Lax"]);
    expect(await set(handler)).toEqual(["ab=stable; Path=/; HttpOnly; SameSite=Lax"]);
  });

  it("keeps the client there, whatever the weights become, and sets none again", async () => {
    const handler = await build({ cookie });
    const x = () => exchange({ headers: { cookie: "a=b; ab=canary" } });
    for (let i = 0; i < 100; i++) {
      const reply = await handler(x());
      expect([await bodyText(reply), reply.headers.getAll("set-cookie")]).toEqual(["canary", []]);
    }
  });

  it("lets the upstream's cookies be", async () => {
    const host = hostWith("canary", "stable");
    for (const name of ["canary", "stable"])
      target(host, name).answer = () => textReply(200, name, "text/plain", ["set-cookie", "own=1"]);
    expect(await set(await build({ cookie }, host))).toEqual(["own=1", expect.stringMatching(/^ab=/)]);
  });

  it("has all attributes", async () => {
    const host = hostWith("stable");
    const handler = await build(
      {
        branches: [{ name: "b", upstream: "stable", weight: 1 }],
        cookie: {
          name: "ab",
          maxAge: "7d",
          path: "/shop",
          domain: "example.com",
          secure: true,
          httpOnly: false,
          sameSite: "strict",
        },
      },
      host,
    );
    expect(await set(handler)).toEqual([
      "ab=b; Path=/shop; Domain=example.com; Max-Age=604800; Secure; SameSite=Strict",
    ]);
  });

  it("is for https only where the client came by it, unless it is told", async () => {
    const https = { init: { scheme: "https" as const } };
    const attributes = async (options: object, request: RequestInit = {}) =>
      (await set(await build({ cookie: { name: "ab", ...options } }), request)).map((value) =>
        value.includes("; Secure"),
      );
    expect(await attributes({})).toEqual([false]);
    expect(await attributes({}, https)).toEqual([true]);
    expect(await attributes({ secure: false }, https)).toEqual([false]);
    expect(await attributes({ secure: true })).toEqual([true]);
    expect(await attributes({ sameSite: "none" })).toEqual([true]);
  });

  it.each([
    [{ name: "" }, "/cookie/name"],
    [{ name: "ab", maxAge: "7" }, "/cookie/maxAge"],
    [{ name: "ab", value: "x" }, "/cookie"],
    [{}, "name"],
  ])("cannot be %j", async (bad, pointer) => {
    await expect(build({ cookie: bad })).rejects.toThrow(pointer);
  });

  it.each([
    [{ name: "a b" }, "/cookie/name"],
    [{ name: "ab", path: "/;x" }, "/cookie/path"],
    [{ name: "ab", domain: "a b" }, "/cookie/domain"],
    [{ name: "ab", maxAge: "500ms" }, "/cookie/maxAge"],
    [{ name: "ab", sameSite: "none", secure: false }, "/cookie/secure"],
    [{ name: "__Secure-ab", secure: false }, "/cookie/secure"],
    [{ name: "__Host-ab", path: "/x" }, "/cookie/path"],
    [{ name: "__Host-ab", domain: "a.test" }, "/cookie/domain"],
  ])("cannot be what browsers refuse: %j", async (bad, pointer) => {
    expect(await refusal({ cookie: bad })).toMatchObject({ pointer });
  });

  it("counts before the key, and the key decides for newcomers", async () => {
    const handler = await build({ ...BY_USER, cookie });
    const alone = await build(BY_USER);
    for (let i = 0; i < 100; i++) {
      expect(await send(handler, user(i))).toBe(await send(alone, user(i)));
      const headers = { "x-user": `user-${i}`, cookie: "ab=canary" };
      expect(await send(handler, { headers })).toBe("canary");
    }
  });

  it("does not count against a condition, and is not set by one", async () => {
    const branches = [
      { upstream: "canary", weight: 1, when: { header: { "x-canary": true } } },
      { upstream: "stable", weight: 1 },
    ];
    const handler = await build({ branches, cookie });
    const reply = await handler(exchange({ headers: { "x-canary": "1", cookie: "ab=stable" } }));
    expect([await bodyText(reply), reply.headers.has("set-cookie")]).toEqual(["canary", false]);
  });

  it("does not let clients choose a branch without a weight, or one that is gone", async () => {
    const handler = await build({
      branches: [
        { upstream: "canary", weight: 0, when: { header: { "x-canary": true } } },
        { upstream: "stable", weight: 1 },
      ],
      cookie,
    });
    for (const name of ["canary", "gone", "", "__proto__"]) {
      const reply = await handler(exchange({ headers: { cookie: `ab=${name}` } }));
      expect(await bodyText(reply)).toBe("stable");
      expect(reply.headers.get("set-cookie")).toMatch(/^ab=stable;/);
    }
  });
});

describe("the headers of a split", () => {
  it("tell the upstream and the client the branch, whatever the client says", async () => {
    const host = hostWith("canary", "stable");
    const handler = await build({ requestHeader: "X-Variant", replyHeader: "X-Branch" }, host);
    host.randoms.push(0.01);
    const x = exchange({ headers: { "x-variant": "stable" } });
    const reply = await handler(x);
    expect(reply.headers.get("x-branch")).toBe("canary");
    expect(target(host, "canary").seen[0]!.headers.getAll("x-variant")).toEqual(["canary"]);
  });

  it("tell the client on failures too", async () => {
    const host = hostWith("canary", "stable");
    const handler = await build({ replyHeader: "x-branch" }, host);
    empty(host, "stable");
    host.randoms.push(0.9);
    const x = exchange();
    await expect(handler(x)).rejects.toMatchObject({ code: "UPSTREAM_UNAVAILABLE" });
    expect(x.failureHeaders?.get("x-branch")).toBe("stable");
  });

  it("are not there unless they are asked for", async () => {
    const host = hostWith("stable");
    const handler = await build({ branches: [{ upstream: "stable", weight: 1 }] }, host);
    const reply = await handler(exchange());
    expect(reply.headers.raw).toEqual(["content-type", "text/plain; charset=utf-8", "content-length", "6"]);
    expect(target(host, "stable").seen[0]!.headers.raw).toEqual([]);
  });

  it.each(["requestHeader", "replyHeader"])("have valid names: %s", async (option) => {
    expect(await refusal({ [option]: "a b" })).toMatchObject({ pointer: `/${option}` });
    expect(await refusal({ [option]: "Content-Length" })).toMatchObject({ pointer: `/${option}` });
  });
});

describe("a branch without available targets", () => {
  const three = [
    { upstream: "canary", weight: 1 },
    { upstream: "stable", weight: 1 },
    { upstream: "other", weight: 1 },
  ];

  it("fails its requests, by default", async () => {
    const host = hostWith("canary", "stable");
    const handler = await build({}, host);
    empty(host, "canary");
    host.randoms.push(0.01, 0.9);
    expect(() => handler(exchange())).toThrow(
      expect.objectContaining({ code: "UPSTREAM_UNAVAILABLE", status: 503 }) as object,
    );
    expect(await send(handler)).toBe("stable");
  });

  it("is taken over from by the next, with failover, from the top after the end", async () => {
    const host = hostWith("canary", "stable", "other");
    const handler = await build({ branches: three, failover: true, replyHeader: "x-branch" }, host);
    empty(host, "stable");
    host.randoms.push(0.5);
    const reply = await handler(exchange());
    expect([await bodyText(reply), reply.headers.getAll("x-branch")]).toEqual(["other", ["other"]]);
    empty(host, "stable", "other");
    host.randoms.push(0.5, 0.9);
    expect([await send(handler), await send(handler)]).toEqual(["canary", "canary"]);
    expect(host.collected("sluice_split_failovers_total")).toEqual({
      '{"route":"test","stage":"stage","branch":"canary"}': 0,
      '{"route":"test","stage":"stage","branch":"stable"}': 2,
      '{"route":"test","stage":"stage","branch":"other"}': 2,
    });
  });

  it("fails when no other has any, as the first would", async () => {
    const host = hostWith("canary", "stable", "other");
    const handler = await build({ branches: three, failover: true }, host);
    empty(host, "canary", "stable", "other");
    await expect(handler(exchange())).rejects.toMatchObject({ code: "UPSTREAM_UNAVAILABLE" });
  });

  it("is not taken over from by one that only its condition chooses, but by one that stands by", async () => {
    const host = hostWith("canary", "stable", "other");
    const branches = [
      { upstream: "stable", weight: 1 },
      { upstream: "canary", weight: 0, when: { header: { "x-canary": true } } },
      { upstream: "other", weight: 0 },
    ];
    const handler = await build({ branches, failover: true }, host);
    empty(host, "stable");
    expect(await send(handler)).toBe("other");
    empty(host, "other");
    await expect(handler(exchange())).rejects.toMatchObject({ code: "UPSTREAM_UNAVAILABLE" });
  });

  it("is taken over from when stages above admit none of its targets", async () => {
    const host = hostWith("canary", "stable");
    const handler = await build({ failover: true }, host);
    host.randoms.push(0.01);
    const x = exchange();
    x.guards = [
      {
        admit: ({ upstream }) => upstream !== "canary",
        settle() {},
        refusal: () => new GatewayError("NOT_READY"),
      },
    ];
    expect(await bodyText(await handler(x))).toBe("stable");
  });

  it("is the only reason: what was sent and failed is not sent again", async () => {
    const host = hostWith("canary", "stable");
    const handler = await build({ failover: true }, host);
    target(host, "canary").answer = () => Promise.reject(new GatewayError("UPSTREAM_UNAVAILABLE"));
    host.randoms.push(0.01);
    await expect(handler(exchange())).rejects.toMatchObject({ code: "UPSTREAM_UNAVAILABLE" });
    expect(target(host, "stable").seen).toEqual([]);
  });

  it("is taken over from when a stage above tries again, too", async () => {
    const host = hostWith("canary", "stable");
    const handler = await build({ failover: true }, host);
    empty(host, "canary");
    host.randoms.push(0.01);
    const x = exchange();
    x.target = target(host, "stable"); // of the first attempt
    expect(await bodyText(await handler(x))).toBe("stable");
  });

  it("stays what the cookie remembers", async () => {
    const host = hostWith("canary", "stable");
    const handler = await build({ failover: true, cookie: { name: "ab" } }, host);
    empty(host, "canary");
    host.randoms.push(0.01);
    const reply = await handler(exchange());
    expect(await bodyText(reply)).toBe("stable");
    expect(reply.headers.get("set-cookie")).toMatch(/^ab=canary;/);
  });
});

describe("the metrics of a split", () => {
  it("count requests by branch, and go on after a reload", async () => {
    const host = hostWith("canary", "stable");
    const handler = await build({}, host);
    host.randoms.push(0.01, 0.9, 0.9);
    for (let i = 0; i < 3; i++) await handler(exchange());
    host.randoms.push(0.9);
    await (await build({}, host))(exchange());
    expect(host.collected("sluice_split_requests_total")).toEqual({
      '{"route":"test","stage":"stage","branch":"canary"}': 1,
      '{"route":"test","stage":"stage","branch":"stable"}': 3,
    });
  });

  it("are those of each stage of a route", async () => {
    const host = hostWith("canary", "stable");
    await (await build({}, host))(exchange());
    host.stage = "split#2";
    await (await build({}, host))(exchange());
    const sum = (stage: string): number =>
      Object.entries(host.collected("sluice_split_requests_total")).reduce(
        (all, [labels, count]) => all + (labels.includes(`"stage":"${stage}"`) ? count : 0),
        0,
      );
    expect([sum("stage"), sum("split#2")]).toEqual([1, 1]);
  });
});

describe("the branches of a split", () => {
  it("have the name of their upstream, or their own", async () => {
    const host = hostWith("stable");
    const branches = [
      { name: "a", upstream: "stable", weight: 1 },
      { name: "b", upstream: "stable", weight: 1 },
    ];
    await build({ branches }, host);
    expect(Object.keys(host.collected("sluice_split_requests_total"))).toEqual([
      '{"route":"test","stage":"stage","branch":"a"}',
      '{"route":"test","stage":"stage","branch":"b"}',
    ]);
  });

  it.each<[string, object[], string, string]>([
    [
      "two of one name",
      [
        { name: "a", upstream: "canary", weight: 1 },
        { name: "a", upstream: "stable", weight: 1 },
      ],
      "/branches/1/name",
      'There is a branch "a" already',
    ],
    [
      "two of one upstream without names",
      [
        { upstream: "stable", weight: 1 },
        { upstream: "stable", weight: 1 },
      ],
      "/branches/1",
      "need names of their own",
    ],
    [
      "one that says nothing",
      [{ upstream: "stable", weight: 1 }, { upstream: "canary" }],
      "/branches/1",
      "`weight`",
    ],
    [
      "only weights of 0",
      [
        { upstream: "canary", weight: 0 },
        { upstream: "stable", weight: 0 },
      ],
      "/branches",
      "weight above 0",
    ],
    [
      "nowhere to go for the rest",
      [{ upstream: "canary", weight: 0, when: { method: "GET" } }],
      "/branches",
      "weight above 0",
    ],
    ["an unknown upstream", [{ upstream: "none", weight: 1 }], "/branches/0/upstream", 'no upstream "none"'],
  ])("cannot be %s", async (_what, branches, pointer, message) => {
    expect(await refusal({ branches })).toMatchObject({
      pointer,
      message: expect.stringContaining(message) as string,
    });
  });

  it.each<[string, object]>([
    ["none at all", { branches: [] }],
    ["a negative weight", { branches: [{ upstream: "stable", weight: -1 }] }],
    ["a name that no header takes", { branches: [{ name: "a b", upstream: "stable", weight: 1 }] }],
    ["no upstream", { branches: [{ weight: 1 }] }],
    ["a word for failover", { failover: "yes" }],
    ["a number for salt", { salt: 1 }],
  ])("refuse %s", async (_what, options) => {
    await expect(build(options)).rejects.toThrow();
  });

  it("get their exact share of the places between 0 and 1, for any weights", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 1, maxLength: 6 }),
        async (weights) => {
          fc.pre(weights.some((weight) => weight > 0));
          const names = weights.map((_, i) => `u${i}`);
          const host = hostWith(...names);
          const handler = await build(
            { branches: names.map((upstream, i) => ({ upstream, weight: weights[i] })) },
            host,
          );
          const total = weights.reduce((a, b) => a + b, 0);
          for (let i = 0; i < total; i++) host.randoms.push((i + 0.5) / total);
          const sums = await shares(handler, total);
          expect(names.map((name) => sums[name] ?? 0)).toEqual(weights);
        },
      ),
      { numRuns: 50 },
    );
  });

  it("end a pipeline", () => {
    expect(split.terminal).toBe(true);
  });
});
