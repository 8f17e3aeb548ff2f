import { describe, expect, it } from "vitest";
import type { Handler } from "../../../core/plugin.ts";
import { createSharedMemory, SharedMemory } from "../../../core/threads/shared-memory.ts";
import { APP, code, eachLoginStage, type LoginStage, NAME, XHR } from "../../support/login-stage.ts";
import { RESOURCE } from "../../support/oidc.ts";

let stage: LoginStage;
eachLoginStage((each) => void (stage = each));

describe("an access token", () => {
  const open = async (from = stage.browser): Promise<number> => (await from.ask(APP, XHR)).status;
  const token = (): string | undefined => stage.seen.at(-1)!.headers.get("authorization");
  const OFFLINE = { scopes: ["offline_access"], parameters: { prompt: "consent" } };

  it("is for the upstream where that is said, instead of what the client has sent", async () => {
    await stage.build({ accessTokenToUpstream: true });
    await stage.browser.open(APP);
    await stage.browser.ask(APP, { ...XHR, authorization: "Bearer forged" });
    expect(token()).toMatch(/^Bearer [\w-]{43}$/);
    await stage.build({
      accessTokenToUpstream: true,
      scopes: ["orders"],
      parameters: { resource: RESOURCE },
    });
    stage.browser = stage.newBrowser();
    await stage.browser.open(APP);
    expect(token()).toMatch(/^Bearer ey[\w-]+\.[\w-]+\.[\w-]+$/);
  });

  it("that has ended has the browser log in once more, unless nobody needs it", async () => {
    await stage.build({ accessTokenToUpstream: true });
    await stage.browser.open(APP);
    stage.host.clock.advance(600_000);
    expect(await open()).toBe(401);
    await stage.browser.open(APP);
    await stage.build();
    stage.host.clock.advance(700_000);
    expect(await open()).toBe(200);
    // A session that was made without it is none where it is needed.
    stage.browser = stage.newBrowser();
    await stage.browser.open(APP);
    await stage.build({ accessTokenToUpstream: true });
    expect(await open()).toBe(401);
  });

  it("is renewed once for all requests that come, and for those that were on their way", async () => {
    await stage.build({ accessTokenToUpstream: true, ...OFFLINE });
    await stage.browser.open(APP);
    const before = token();
    const old = stage.newBrowser();
    old.of(APP).set(NAME, stage.browser.of(APP).get(NAME)!);
    const asked = stage.oidc.count("POST /token");
    stage.host.clock.advance(541_000);
    const all = await Promise.all(Array.from({ length: 10 }, () => open()));
    expect(new Set(all)).toEqual(new Set([200]));
    expect(stage.oidc.count("POST /token")).toBe(asked + 1);
    const after = token();
    expect(after).not.toBe(before);
    expect(new Set(stage.seen.slice(-10).map(({ headers }) => headers.get("authorization")))).toEqual(
      new Set([after]),
    );
    // A request with the old session, which the provider would not renew twice, gets the same.
    expect(await open(old)).toBe(200);
    expect(token()).toBe(after);
    expect(old.of(APP).get(NAME)).not.toBe(stage.browser.of(APP).get(NAME)); // sealed by itself
    // The new one is renewed in its turn.
    stage.host.clock.advance(541_000);
    expect(await open()).toBe(200);
    expect(stage.oidc.count("POST /token")).toBe(asked + 2);
  });

  it("is renewed by one thread for all", async () => {
    const memory = createSharedMemory(2, stage.host.clock.monotonic(), stage.host.clock.now());
    const hosts = [stage.host, stage.newHost()];
    const handlers: Handler[] = [];
    for (const [thread, each] of hosts.entries()) {
      each.shared = new SharedMemory(memory, thread);
      each.clock = stage.host.clock;
    }
    const options = { accessTokenToUpstream: true, ...OFFLINE };
    for (stage.host of hosts) {
      await stage.build(options);
      handlers.push(stage.handler);
    }
    const openAt = (thread: number, who = stage.browser): Promise<number> => {
      stage.handler = handlers[thread]!;
      return open(who);
    };
    await stage.browser.open(APP);
    const before = token();
    const copy = stage.newBrowser();
    const restore = (): void => void copy.of(APP).set(NAME, stage.browser.of(APP).get(NAME)!);
    restore();
    const asked = stage.oidc.count("POST /token");
    stage.host.clock.advance(700_000);
    expect(await Promise.all([openAt(0), openAt(1, copy)])).toEqual([200, 200]);
    expect(stage.oidc.count("POST /token")).toBe(asked + 1);
    expect(new Set(stage.seen.slice(-2).map(({ headers }) => headers.get("authorization"))).size).toBe(1);
    expect(token()).not.toBe(before);

    // The other one says that the provider is away, and then that it lets nobody go on.
    restore();
    stage.host.clock.advance(700_000);
    stage.oidc.state = "broken";
    expect(await Promise.all([openAt(0), openAt(1, copy)])).toEqual([503, 503]);
    stage.oidc.state = "up";
    stage.oidc.forget("RefreshToken");
    stage.host.clock.advance(5000);
    const last = stage.oidc.count("POST /token");
    expect(await Promise.all([openAt(0), openAt(1, copy)])).toEqual([401, 401]);
    expect(stage.oidc.count("POST /token")).toBe(last + 1);

    // Where a thread is not told, requests wait for as long as the provider may take, and are refused.
    stage.browser.of(APP).clear();
    stage.handler = handlers[0]!;
    await stage.browser.open(APP);
    restore();
    stage.host.clock.advance(700_000);
    expect(await openAt(0)).toBe(200);
    stage.host = stage.newHost();
    stage.host.shared = new SharedMemory(memory, 1);
    stage.host.clock = hosts[0]!.clock;
    await stage.build({ ...options, timeout: "300ms" });
    for (let i = 0; i < 2; i++) expect(await open(copy)).toBe(503);
  });

  it("that cannot be renewed now is used until it ends, and the provider is not asked each time", async () => {
    await stage.build({ ...OFFLINE });
    await stage.browser.open(APP);
    stage.host.clock.advance(541_000);
    stage.oidc.state = "broken";
    const asked = stage.oidc.count("POST /token");
    for (let i = 0; i < 5; i++) expect(await open()).toBe(200);
    expect(stage.oidc.count("POST /token")).toBeLessThanOrEqual(asked + 2);
    stage.host.clock.advance(60_000);
    expect(code(await stage.browser.ask(APP, XHR))).toBe("503 AUTH_UNAVAILABLE");
    stage.oidc.state = "up";
    stage.host.clock.advance(5000);
    expect(await open()).toBe(200);
    expect(stage.host.collected("sluice_oidc_login_events_total")).toMatchObject({
      '{"route":"test","stage":"stage","event":"renewed"}': 1,
      '{"route":"test","stage":"stage","event":"loggedIn"}': 1,
    });
  });

  it("that the provider does not renew any more ends the session", async () => {
    await stage.build({ ...OFFLINE });
    await stage.browser.open(APP);
    stage.oidc.forget("RefreshToken");
    stage.host.clock.advance(541_000);
    expect(code(await stage.browser.ask(APP, XHR))).toBe("401 UNAUTHENTICATED");
    expect((await stage.browser.open(APP)).status).toBe(200);
  });
});
