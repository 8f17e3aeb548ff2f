/** Sticky sessions over sockets: clients with cookies, targets that operators set and that die. */
import { describe, expect, it } from "vitest";
import { config, startGateway, type TestGateway } from "../support/gateway.ts";
import { startUpstream, type TestUpstream } from "../support/upstream.ts";

type Name = "a" | "b" | "c";

interface Targets extends AsyncDisposable {
  readonly byName: Record<Name, TestUpstream>;
  /** Cookie lines that the targets were sent, in the order of requests; undefined for none. */
  readonly cookies: (string | undefined)[];
  /** A configuration with a route to all three, in turns. */
  config(sticky?: object, ...above: object[]): object;
}

/** Three targets that answer with their name and set a cookie of their own. */
async function startTargets(): Promise<Targets> {
  const cookies: (string | undefined)[] = [];
  const start = (name: Name) =>
    startUpstream((request, response) => {
      cookies.push(request.headers.cookie);
      response.setHeader("set-cookie", [`own=${name}; Path=/`, "seen=1"]);
      response.end(name);
    });
  const [a, b, c] = await Promise.all([start("a"), start("b"), start("c")]);
  return {
    byName: { a, b, c },
    cookies,
    config: (sticky, ...above) =>
      config({
        admin: { address: "127.0.0.1:0" },
        upstreams: { shop: { targets: [a.url, b.url, c.url] } },
        routes: [
          {
            name: "shop",
            match: {},
            pipeline: [
              ...above,
              {
                plugin: "balance",
                upstream: "shop",
                sticky: { secret: "0123456789abcdef", cookie: "at", ...sticky },
              },
            ],
          },
        ],
      }),
    [Symbol.asyncDispose]: async () => void (await Promise.all([a.close(), b.close(), c.close()])),
  };
}

interface Visit {
  /** Name of the target that answered. */
  at: Name;
  /** Set-Cookie lines of the gateway. */
  set: string[];
  /** Set-Cookie lines of the target. */
  own: string[];
  /** What the client sends next time. */
  cookie: string;
}

/** A request with a client's cookies. */
async function visit(gateway: TestGateway, cookie?: string): Promise<Visit> {
  const reply = await fetch(gateway.url, cookie === undefined ? {} : { headers: { cookie } });
  const at = (await reply.text()) as Name;
  expect(reply.status, at).toBe(200);
  const lines = reply.headers.getSetCookie();
  const set = lines.filter((line) => line.startsWith("at="));
  const own = lines.filter((line) => !line.startsWith("at="));
  return { at, set, own, cookie: set[0]?.split(";")[0] ?? cookie ?? "" };
}

/** Visits of new clients: three or more reach every target that takes them. */
async function newcomers(gateway: TestGateway, count = 6): Promise<Visit[]> {
  const visits: Visit[] = [];
  for (let i = 0; i < count; i++) visits.push(await visit(gateway));
  return visits;
}

const namesOf = (visits: readonly Visit[]): string =>
  [...new Set(visits.map(({ at }) => at))].sort().join("");

async function setTarget(gateway: TestGateway, target: TestUpstream, state: string): Promise<void> {
  const url = `${gateway.adminUrl}/admin/upstreams/shop/targets/127.0.0.1:${target.port}`;
  const reply = await fetch(url, { method: "PATCH", body: JSON.stringify({ state }) });
  expect(await reply.json()).toMatchObject({ state });
}

describe("A sticky session", () => {
  it("brings each client to its own target, request after request and through reloads", async () => {
    await using targets = await startTargets();
    await using gateway = await startGateway(targets.config());
    const clients = await newcomers(gateway, 3);
    expect(namesOf(clients)).toBe("abc");
    const comeBack = async (): Promise<void> => {
      for (const { at, cookie } of [...clients, ...clients.toReversed()]) {
        expect(await visit(gateway, cookie)).toMatchObject({ at, set: [] });
      }
    };
    await comeBack();
    const reload = await gateway.reload(targets.config({ maxAge: "1h" }));
    expect(reload.result).toBe("activated");
    await comeBack();
    expect((await visit(gateway)).set).toEqual([
      expect.stringMatching(/^at=[\w-]{43}; Path=\/; Max-Age=3600; HttpOnly; SameSite=Lax$/),
    ]);
  });

  it("keeps its cookie from targets, and lets the cookies of both sides through", async () => {
    await using targets = await startTargets();
    await using gateway = await startGateway(targets.config());
    const { at, own, cookie } = await visit(gateway);
    expect(own).toEqual([`own=${at}; Path=/`, "seen=1"]);
    await visit(gateway, cookie);
    expect((await visit(gateway, `x=1; ${cookie}; own=${at}`)).own).toEqual(own);
    await visit(gateway, "at=forged; x=2");
    expect(targets.cookies).toEqual([undefined, undefined, `x=1; own=${at}`, "x=2"]);
  });

  it("stays with a target that is drained, where no new one begins", async () => {
    await using targets = await startTargets();
    await using gateway = await startGateway(targets.config());
    const { at, cookie } = await visit(gateway);
    await setTarget(gateway, targets.byName[at], "draining");
    expect(namesOf(await newcomers(gateway))).toBe("abc".replace(at, ""));
    for (let i = 0; i < 3; i++) expect(await visit(gateway, cookie)).toMatchObject({ at, set: [] });
    await setTarget(gateway, targets.byName[at], "active");
    expect(namesOf(await newcomers(gateway))).toBe("abc");
  });

  it("moves from a target that is disabled, and stays where it came to", async () => {
    await using targets = await startTargets();
    await using gateway = await startGateway(targets.config());
    const first = await visit(gateway);
    await setTarget(gateway, targets.byName[first.at], "disabled");
    const moved = await visit(gateway, first.cookie);
    expect(moved.at).not.toBe(first.at);
    expect(moved).toMatchObject({ set: [expect.stringMatching(/^at=[\w-]{43};/)] });
    expect(moved.cookie).not.toBe(first.cookie);
    await setTarget(gateway, targets.byName[first.at], "active");
    for (let i = 0; i < 3; i++) {
      expect(await visit(gateway, moved.cookie)).toMatchObject({ at: moved.at, set: [] });
    }
  });

  it("moves from a target that died, within the request that finds out, when there is a retry", async () => {
    await using targets = await startTargets();
    await using gateway = await startGateway(
      targets.config({}, { plugin: "retry", on: ["connect"], budget: "100%" }),
    );
    const first = await visit(gateway);
    await targets.byName[first.at].close();
    const moved = await visit(gateway, `x=1; ${first.cookie}`);
    expect(moved.at).not.toBe(first.at);
    expect(moved).toMatchObject({
      set: [expect.stringMatching(/^at=[\w-]{43};/)],
      own: [`own=${moved.at}; Path=/`, "seen=1"],
    });
    expect(targets.cookies.at(-1)).toBe("x=1");
    for (let i = 0; i < 3; i++) {
      expect(await visit(gateway, moved.cookie)).toMatchObject({ at: moved.at, set: [] });
    }
  });

  it("fails with its target when nothing tries again, and goes on with it", async () => {
    await using targets = await startTargets();
    await using gateway = await startGateway(targets.config());
    const { at, cookie } = await visit(gateway);
    targets.byName[at].server.prependOnceListener("request", ({ socket }) => socket.resetAndDestroy());
    const failed = await fetch(gateway.url, { headers: { cookie } });
    expect([failed.status, failed.headers.getSetCookie()]).toEqual([502, []]);
    expect(await failed.json()).toMatchObject({ code: "UPSTREAM_RESET" });
    expect(await visit(gateway, cookie)).toMatchObject({ at, set: [] });
  });

  it("is counted by what became of it", async () => {
    await using targets = await startTargets();
    await using gateway = await startGateway(targets.config());
    const { at, cookie } = await visit(gateway);
    await visit(gateway, cookie);
    await visit(gateway, cookie);
    await setTarget(gateway, targets.byName[at], "disabled");
    await visit(gateway, cookie);
    const metrics = await (await fetch(`${gateway.adminUrl}/metrics`)).text();
    const counts = [...metrics.matchAll(/^sluice_sticky_requests_total\{(.*)\} (\d+)$/gm)].map(
      ([, labels = "", count]) => [/result="(\w+)"/.exec(labels)?.[1], Number(count)],
    );
    expect(Object.fromEntries(counts)).toEqual({ new: 1, kept: 2, moved: 1 });
  });
});
