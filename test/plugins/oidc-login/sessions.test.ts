import { describe, expect, it } from "vitest";
import { GatewayError } from "../../../core/plugin.ts";
import { textReply } from "../../../core/reply.ts";
import { APP, code, eachLoginStage, type LoginStage, NAME, SECRET, XHR } from "../../support/login-stage.ts";

let stage: LoginStage;
eachLoginStage((each) => void (stage = each));

describe("a session", () => {
  const open = async (): Promise<number> => (await stage.browser.ask(APP, XHR)).status;

  it("is sealed: no change, part, or text of another kind opens it", async () => {
    await stage.browser.open(APP);
    const cookies = stage.browser.of(APP);
    const sealed = cookies.get(NAME)!;
    expect(sealed).not.toContain(".");
    const bytes = Buffer.from(sealed, "base64url");
    const wrong = [0, 11, 12, 100, bytes.length - 17, bytes.length - 1].map((at) => {
      const changed = Buffer.from(bytes);
      changed[at]! ^= 1;
      return changed.toString("base64url");
    });
    await reachCallbackBeside();
    const [, ofLogin = ""] = [...cookies].find(([name]) => name.includes("login-")) ?? [];
    wrong.push(
      "",
      "a",
      "%00",
      sealed.slice(1),
      sealed.slice(0, -4),
      sealed + sealed,
      "x".repeat(20_000),
      ofLogin,
    );
    for (const each of wrong) {
      cookies.clear();
      cookies.set(NAME, each);
      expect([each, await open()]).toEqual([each, 401]);
    }
    cookies.set(NAME, sealed);
    expect(await open()).toBe(200);
  });

  const reachCallbackBeside = async (): Promise<void> => {
    const other = stage.newBrowser();
    await other.ask(APP);
    for (const [name, value] of other.of(APP)) stage.browser.of(APP).set(name, value);
  };

  it("does not count when there are two", async () => {
    await stage.browser.open(APP);
    const sealed = stage.browser.of(APP).get(NAME)!;
    const cookie = `${NAME}=${sealed}; a=b; ${NAME}=${sealed}`;
    expect((await stage.newBrowser().ask(APP, { ...XHR, cookie })).status).toBe(401);
    expect((await stage.newBrowser().ask(APP, { ...XHR, cookie: `a=b; ${NAME}=${sealed}` })).status).toBe(
      200,
    );
    expect(stage.seen.at(-1)!.headers.get("cookie")).toBe("a=b");
  });

  it("is opened with old secrets, and not with other ones, of another provider or another client", async () => {
    await stage.browser.open(APP);
    const other = "another secret of 32 characters and more";
    const tries: [object, number][] = [
      [{ secret: [other, SECRET] }, 200],
      [{ secret: [SECRET, other] }, 200],
      [{ secret: other }, 401],
      [{ clientId: "other" }, 401],
      [{ issuer: `${stage.oidc.url}/other` }, 401],
    ];
    for (const [options, status] of tries) {
      await stage.build(options);
      expect([options, await open()]).toEqual([options, status]);
    }
  });

  it("ends when it is not used, and lasts while it is, up to its lifetime", async () => {
    await stage.build({ idleTimeout: "10m", lifetime: "1h" });
    await stage.browser.open(APP);
    const first = stage.browser.of(APP).get(NAME);
    stage.host.clock.advance(59_999);
    expect(await open()).toBe(200);
    expect(stage.browser.of(APP).get(NAME)).toBe(first);
    for (let i = 0; i < 6; i++) {
      stage.host.clock.advance(9 * 60_000);
      const page = await stage.browser.ask(APP, XHR);
      expect([page.status, page.headers.get("cache-control")]).toEqual([200, "no-store"]);
    }
    stage.host.clock.advance(5 * 60_000 + 1);
    expect(await open()).toBe(401);
    stage.host = stage.newHost();
    await stage.build({ idleTimeout: "10m", lifetime: "1h" });
    stage.browser = stage.newBrowser();
    await stage.browser.open(APP);
    stage.host.clock.advance(600_000);
    expect(await open()).toBe(401);
  });

  it("is kept whole on failures of the upstream too", async () => {
    stage.oidc.name = "n".repeat(3000);
    await stage.build({ scopes: ["profile"] });
    await stage.browser.open(APP);
    stage.host.clock.advance(1_000_000);
    const first = stage.browser.of(APP).get(NAME);
    stage.reply = () => {
      throw new GatewayError("UPSTREAM_RESET");
    };
    expect(await open()).toBe(502);
    expect(stage.browser.of(APP).get(NAME)).not.toBe(first);
    stage.reply = () => textReply(200, "");
    expect(await open()).toBe(200);
  });

  it("is in several cookies when it is large, and in none when it is too large", async () => {
    stage.oidc.name = "n".repeat(3000);
    await stage.build({ scopes: ["profile"] });
    await stage.browser.open(APP);
    expect([...stage.browser.of(APP).keys()]).toEqual([NAME, `${NAME}.1`]);
    expect(await open()).toBe(200);
    expect(stage.seen.at(-1)!.headers.get("cookie")).toBeUndefined();
    const [, part = ""] = [...stage.browser.of(APP).values()];
    stage.browser.of(APP).delete(`${NAME}.1`);
    expect(await open()).toBe(401);
    stage.browser.of(APP).set(`${NAME}.1`, part);
    // A smaller one takes their place.
    stage.oidc.name = "n";
    await stage.browser.open((await reachLogin()).href);
    expect([...stage.browser.of(APP).keys()]).toEqual([NAME]);
    stage.oidc.name = "n".repeat(8000);
    const page = await stage.browser.open((await reachLogin()).href);
    expect(code(page)).toBe("400 LOGIN_FAILED");
    expect(stage.host.log.lines.at(-1)?.fields).toEqual({ reason: "size" });
  });

  /** Begins a login beside the session that there is. */
  const reachLogin = async (): Promise<URL> => {
    const cookies = stage.browser.of(APP);
    const kept = new Map(cookies);
    cookies.clear();
    const url = await stage.reachCallback();
    for (const [name, value] of kept) cookies.set(name, value);
    return url;
  };

  it("is for consumers of the configuration only where that is said", async () => {
    await stage.build({ knownConsumers: true });
    expect(code(await stage.browser.open(APP))).toBe("403 FORBIDDEN");
    expect(stage.seen).toEqual([]);
    expect(stage.host.audit.events.at(-1)).toMatchObject({
      event: "auth",
      outcome: "refused",
      reason: "forbidden",
    });
  });

  it("ends by logging out, here and at the provider", async () => {
    await stage.browser.open(APP);
    const page = await stage.browser.open(`${APP}/oauth2/logout`);
    expect(stage.browser.of(APP).size).toBe(0);
    expect(page.url).toContain(`${stage.oidc.url}/session/end?id_token_hint=`);
    const xsrf = /name="xsrf" value="(\w+)"/.exec(page.body)![1]!;
    const done = await stage.browser.ask(
      `${stage.oidc.url}/session/end/confirm`,
      {},
      { xsrf, logout: "yes" },
    );
    expect(done.headers.get("location")).toBe(`${APP}/`);
    expect(await open()).toBe(401);
    // Without a session, or a provider that could be asked, it ends here.
    for (const state of ["up", "broken"] as const) {
      stage.oidc.state = state;
      const there = await stage.browser.ask(`${APP}/oauth2/logout`);
      expect([there.status, there.headers.get("location")]).toEqual([303, `${APP}/`]);
    }
  });

  it("does not end because a page of another site says so", async () => {
    await stage.browser.open(APP);
    const page = await stage.browser.ask(`${APP}/oauth2/logout`, { "sec-fetch-site": "cross-site" });
    expect(code(page)).toBe("403 CSRF_FAILED");
    expect(await open()).toBe(200);
  });
});
