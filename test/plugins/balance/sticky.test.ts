import { createHmac } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { ConfigError, Handler } from "../../../core/plugin.ts";
import { balance } from "../../../plugins/balance.ts";
import {
  buildStage,
  exchange,
  FakeHost,
  type FakeTarget,
  FakeUpstream,
  reply,
  type RequestInit,
} from "../../support/harness.ts";

const SECRET = "0123456789abcdef";

const usersWith = (...ids: string[]): FakeUpstream => new FakeUpstream("users", ids);

function build(upstream: FakeUpstream, sticky: object = {}, host = new FakeHost()): Promise<Handler> {
  host.upstreams.set(upstream.name, upstream);
  const options = { upstream: upstream.name, sticky: { secret: SECRET, cookie: "at", ...sticky } };
  return buildStage(balance, options, () => expect.unreachable(), host);
}

interface Visit {
  /** The target's id. */
  at: string;
  /** Set-Cookie lines of the reply. */
  set: string[];
  /** The cookie to send next time, as `name=value`. */
  cookie: string;
  /** Cookie lines that the target got. */
  got: string[];
}

async function visit(
  handler: Handler,
  cookie?: string | string[],
  request: RequestInit = {},
): Promise<Visit> {
  const x = exchange({ ...(cookie === undefined ? {} : { headers: { cookie } }), ...request });
  const out = await handler(x);
  const set = out.headers.getAll("set-cookie");
  return { at: x.target!.id, set, cookie: set.at(-1)?.split(";")[0] ?? "", got: x.headers.getAll("cookie") };
}

const byHttps: RequestInit = { init: { scheme: "https" } };

describe("a sticky session", () => {
  it("brings a client to the same target again, without another cookie", async () => {
    const handler = await build(usersWith("a", "b", "c"));
    const first = await visit(handler);
    expect(first).toMatchObject({
      at: "a",
      set: [expect.stringMatching(/^at=[\w-]{43}; Path=\/; HttpOnly; SameSite=Lax$/)],
    });
    for (let i = 0; i < 5; i++)
      expect(await visit(handler, first.cookie)).toMatchObject({ at: "a", set: [] });
    expect((await visit(handler)).at).toBe("b");
  });

  it("holds in other generations and gateways that have the secret", async () => {
    const { cookie } = await visit(await build(usersWith("a", "b")));
    expect(await visit(await build(usersWith("c", "b", "a")), cookie)).toMatchObject({ at: "a", set: [] });
  });

  it("does not tell where the target is", async () => {
    const { cookie } = await visit(await build(usersWith("10.0.0.1:8080")));
    const value = cookie.slice(3);
    for (const text of [value, Buffer.from(value, "base64url").toString("latin1")]) {
      expect(text).not.toMatch(/10\.0|8080|users/);
    }
    expect(value).not.toBe(
      (await visit(await build(usersWith("10.0.0.1:8080"), { secret: `${SECRET}!` }))).cookie.slice(3),
    );
  });

  it("is signed with HMAC-SHA256 over upstream and target", async () => {
    const { cookie } = await visit(await build(usersWith("a")));
    const text = JSON.stringify(["sticky", "users", "a"]);
    expect(cookie).toBe(`at=${createHmac("sha256", SECRET).update(text).digest("base64url")}`);
  });

  it("ignores forged cookies, those of other upstreams and those of targets that are gone", async () => {
    const users = usersWith("a", "b");
    const good = (await visit(await build(users))).cookie;
    const others = (await visit(await build(new FakeUpstream("other", ["a"])))).cookie;
    const gone = (await visit(await build(usersWith("gone")))).cookie;
    const last = good.endsWith("A") ? "B" : "A";
    for (const bad of [
      others,
      gone,
      "at=",
      "at=a",
      good.slice(0, -1),
      `${good}A`,
      good.slice(0, -1) + last,
      good.replace("at=", "at=A").slice(0, -1),
      `at=${"é".repeat(43)}`,
      `at=${"x".repeat(10_000)}`,
    ]) {
      const handler = await build(users);
      await visit(handler); // the next is b, the forged ones say a
      expect(await visit(handler, bad)).toMatchObject({ at: "b", set: [expect.stringMatching(/^at=/)] });
    }
  });

  it("moves to another target, with a new cookie, when its own is not accepted", async () => {
    const users = usersWith("a", "b", "c");
    const handler = await build(users);
    const { cookie } = await visit(handler);
    users.eligible = users.targets.slice(1);
    const moved = await visit(handler, cookie);
    expect(moved).toMatchObject({ set: [expect.stringMatching(/^at=/)] });
    expect(moved.at).not.toBe("a");
    users.eligible = users.targets;
    expect(await visit(handler, moved.cookie)).toMatchObject({ at: moved.at, set: [] });
  });

  it("goes on with a target that is being drained, also when no other is left", async () => {
    const users = usersWith("a", "b");
    const handler = await build(users);
    const { cookie } = await visit(handler);
    users.eligible = [];
    users.accepts = (target) => target.id === "a";
    expect(await visit(handler, cookie)).toMatchObject({ at: "a", set: [] });
    await expect(handler(exchange())).rejects.toMatchObject({ code: "UPSTREAM_UNAVAILABLE" });
  });

  it("moves when its target has failed the exchange or is not admitted", async () => {
    const users = usersWith("a", "b");
    const handler = await build(users);
    const { cookie } = await visit(handler);
    const headers = { cookie };
    const tried = exchange({ headers });
    tried.tried = [users.targets[0]!];
    const refused = exchange({ headers });
    refused.guards = [{ admit: ({ id }) => id !== "a" }];
    for (const x of [tried, refused]) {
      const out = await handler(x);
      expect(x.target!.id).toBe("b");
      expect(out.headers.getAll("set-cookie")).toHaveLength(1);
    }
  });

  it("learns of targets that come", async () => {
    const users = usersWith("a");
    const handler = await build(users);
    await visit(handler);
    users.targets = [...users.targets, ...usersWith("b").targets];
    users.eligible = users.targets.slice(1);
    const { at, cookie } = await visit(handler);
    expect(at).toBe("b");
    users.eligible = users.targets;
    expect(await visit(handler, cookie)).toMatchObject({ at: "b", set: [] });
  });

  it("takes cookies of an earlier secret and signs them anew", async () => {
    const users = usersWith("a", "b");
    const old = (await visit(await build(users))).cookie;
    const handler = await build(users, { secret: ["a new secret of more", SECRET] });
    await visit(handler);
    const renewed = await visit(handler, old);
    expect(renewed).toMatchObject({ at: "a", set: [expect.stringMatching(/^at=/)] });
    expect(renewed.cookie).not.toBe(old);
    expect(await visit(handler, renewed.cookie)).toMatchObject({ at: "a", set: [] });
    const without = await build(users, { secret: "a new secret of more" });
    expect((await visit(without, old)).set).toHaveLength(1);
  });

  it("keeps the cookies that the target sets", async () => {
    const users = usersWith("a");
    users.targets[0]!.answer = () => reply(500, { "set-cookie": ["own=1", "at=mine"] });
    const { set } = await visit(await build(users));
    expect(set).toEqual(["own=1", "at=mine", expect.stringMatching(/^at=[\w-]{43};/)]);
  });

  it("sets no cookie when there is no reply", async () => {
    const users = usersWith("a");
    users.targets[0]!.answer = () => Promise.reject(new Error("reset"));
    const handler = await build(users);
    const x = exchange();
    await expect(handler(x)).rejects.toThrow("reset");
    expect(x.failureHeaders).toBeUndefined();
  });
});

describe("the request's Cookie", () => {
  it("goes to the target without the session's, valid or not, and may have a stale one first", async () => {
    const handler = await build(usersWith("a", "b"));
    const { cookie } = await visit(handler);
    expect(await visit(handler, `at=stale; ${cookie}; c=3`)).toMatchObject({
      at: "a",
      set: [],
      got: ["c=3"],
    });
    expect((await visit(handler, ["a=1; at=forged", "at2=y"])).got).toEqual(["a=1", "at2=y"]);
    expect((await visit(handler, cookie)).got).toEqual([]);
  });
});

describe("the cookie", () => {
  const setBy = async (sticky: object, request: RequestInit = {}): Promise<string> =>
    (await visit(await build(usersWith("a"), sticky), undefined, request)).set[0]!.replace(
      /=[\w-]{43}/,
      "=…",
    );

  it("has the attributes that the options say", async () => {
    expect(await setBy({ maxAge: "1h" })).toBe("at=…; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax");
    expect(await setBy({ path: "/shop", httpOnly: false })).toBe("at=…; Path=/shop; SameSite=Lax");
    expect(await setBy({ domain: ".example.com", sameSite: "strict" })).toBe(
      "at=…; Path=/; Domain=example.com; HttpOnly; SameSite=Strict",
    );
  });

  it("is secure for clients that came by https, or as the options say", async () => {
    expect(await setBy({}, byHttps)).toBe("at=…; Path=/; Secure; HttpOnly; SameSite=Lax");
    expect(await setBy({ secure: false }, byHttps)).not.toContain("Secure");
    expect(await setBy({ secure: true })).toContain("; Secure");
  });

  it("is always secure where browsers want it to be", async () => {
    expect(await setBy({ sameSite: "none" })).toContain("; Secure; HttpOnly; SameSite=None");
    expect(await setBy({ cookie: "__Host-at" })).toContain("; Secure");
    expect(await setBy({ cookie: "__Secure-at", secure: true })).toContain("; Secure");
  });

  it("has a name of the upstream's own by default", async () => {
    const [one, two] = await Promise.all(
      ["users", "orders"].map(async (name) =>
        visit(await build(new FakeUpstream(name, ["a"]), { cookie: undefined })),
      ),
    );
    expect(one!.cookie).toMatch(/^sluice-[\da-f]{8}=/);
    expect(two!.cookie.slice(0, 15)).not.toBe(one!.cookie.slice(0, 15));
  });

  it("is refused with everything that browsers would not take", async () => {
    const sticky = { cookie: "a b", path: "shop", domain: "a..b", maxAge: "500ms", sameSite: "none" };
    const error: ConfigError = await build(usersWith("a"), { ...sticky, secure: false }).then(
      () => expect.unreachable(),
      (e: ConfigError) => e,
    );
    const { problems } = error;
    expect(problems.map(({ pointer }) => pointer)).toEqual(
      ["cookie", "path", "domain", "maxAge", "secure"].map((option) => `/sticky/${option}`),
    );
  });

  it.each([
    [{ secret: "too short" }, "/sticky/secret"],
    [{ secret: [] }, "/sticky/secret"],
    [{ secret: [SECRET, "too short"] }, "/sticky/secret/1"],
    [{ secret: undefined }, "secret"],
    [{ maxAge: "long" }, "/sticky/maxAge"],
    [{ secure: "yes" }, "/sticky/secure"],
    [{ sameSite: "Lax" }, "/sticky/sameSite"],
    [{ httponly: true }, "/sticky"],
  ])("has options that are checked: %j", async (sticky, where) => {
    await expect(build(usersWith("a"), sticky)).rejects.toThrow(where);
  });
});

describe("the metric", () => {
  it("counts requests by what became of their session, across generations", async () => {
    const host = new FakeHost();
    const users = usersWith("a", "b");
    const handler = await build(users, {}, host);
    const { cookie } = await visit(handler);
    await visit(handler, cookie);
    users.eligible = users.targets.filter(({ id }: FakeTarget) => id !== "a");
    await visit(await build(users, {}, host), cookie);
    const labels = (result: string) => JSON.stringify({ route: "test", upstream: "users", result });
    expect(host.collected("sluice_sticky_requests_total")).toEqual({
      [labels("new")]: 1,
      [labels("kept")]: 1,
      [labels("moved")]: 1,
    });
  });
});
