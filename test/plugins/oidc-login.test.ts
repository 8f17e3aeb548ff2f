import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { GatewayError, type Handler, type HeaderList, type Reply } from "../../core/plugin.ts";
import { problemReply, textReply } from "../../core/reply.ts";
import { createSharedMemory, SharedMemory } from "../../core/threads/shared-memory.ts";
import { oidcLogin } from "../../plugins/oidc-login.ts";
import { Browser, type Page } from "../support/browser.ts";
import { bodyText, buildStage, exchange, FakeHost } from "../support/harness.ts";
import { CLIENT, type OidcServer, RESOURCE, startOidcServer } from "../support/oidc.ts";

const APP = "https://app.example";
const NAME = "__Host-sluice-session";
const SECRET = "a secret of at least 32 characters";
const XHR = { accept: "application/json", "sec-fetch-mode": "cors" };

let oidc: OidcServer;
let host: FakeHost;
/** All hosts of a test. */
let made: FakeHost[];
let browser: Browser;
let handler: Handler;
/** What came to the upstream. */
let seen: { path: string; headers: HeaderList; consumer: unknown }[];
let reply: () => Reply;

beforeEach(async () => {
  made = [];
  oidc = await startOidcServer([`${APP}/oauth2/callback`], [`${APP}/`]);
  seen = [];
  reply = () => textReply(200, "the page");
  host = newHost();
  browser = newBrowser();
  await build();
});
afterEach(async () => {
  for (const { kept } of made) for (const value of kept.values()) (value as { close?: () => void }).close?.();
  await oidc.close();
});

function newHost(): FakeHost {
  const one = new FakeHost();
  one.clock.time = Date.now(); // the provider's
  made.push(one);
  return one;
}

const build = async (options: object = {}): Promise<void> => {
  handler = await buildStage(
    oidcLogin,
    {
      issuer: oidc.url,
      clientId: CLIENT.id,
      clientSecret: CLIENT.secret,
      secret: SECRET,
      identityHeaders: true,
      ...options,
    },
    (x) => {
      seen.push({ path: x.path + x.search, headers: x.headers.clone(), consumer: x.consumer });
      return reply();
    },
    host,
  );
};

/** Asks the stage as a server would. */
const send = async (url: URL, init: { method: string; headers: Headers }): Promise<Response> => {
  const x = exchange({
    method: init.method,
    target: url.pathname + url.search,
    headers: [...init.headers].flat(),
    init: { scheme: "https", authority: url.host },
  });
  const made = await (async () => handler(x))().catch((error: unknown) => {
    if (error instanceof GatewayError) return problemReply(error, undefined, x.failureHeaders);
    throw error;
  });
  const headers = new Headers();
  const { raw } = made.headers;
  for (let i = 0; i < raw.length; i += 2) headers.append(raw[i]!, raw[i + 1]!);
  return new Response(await bodyText(made), { status: made.status, headers });
};

const newBrowser = (): Browser =>
  new Browser((url, init) =>
    url.origin === APP ? send(url, init) : fetch(url, { ...init, redirect: "manual" }),
  );

const code = ({ status, body }: Page): string =>
  `${status} ${(JSON.parse(body) as Record<string, unknown>)["code"]}`;

/** Follows a login up to where the provider sends the browser back. */
const reachCallback = async (path = "/"): Promise<URL> => {
  const page = await browser.open(APP + path, "/oauth2/callback");
  return new URL(page.headers.get("location")!);
};

describe("a browser without a session", () => {
  it("logs in at the provider and comes back to the page that it wanted", async () => {
    const page = await browser.open(`${APP}//evil.example/a?b=c%20d`);
    expect([page.status, page.url, page.body]).toEqual([200, `${APP}//evil.example/a?b=c%20d`, "the page"]);
    const [request] = seen;
    expect(seen).toHaveLength(1);
    expect(request!.consumer).toMatchObject({ name: "alice", claims: { sub: "alice" } });
    expect(request!.headers.get("x-consumer-name")).toBe("alice");
    expect(request!.headers.get("cookie")).toBeUndefined();
    expect(browser.of(APP).size).toBe(1);
    expect(await browser.ask(APP)).toMatchObject({ status: 200 });
  });

  it("is asked to log in with PKCE, a state and a nonce, and keeps them sealed and for itself", async () => {
    const page = await browser.ask(`${APP}/a`);
    const url = new URL(page.headers.get("location")!);
    const { state, nonce, ...others } = Object.fromEntries(url.searchParams);
    expect(page.status).toBe(303);
    expect(others).toEqual({
      response_type: "code",
      client_id: CLIENT.id,
      redirect_uri: `${APP}/oauth2/callback`,
      scope: "openid",
      code_challenge: expect.stringMatching(/^[\w-]{43}$/) as string,
      code_challenge_method: "S256",
    });
    expect([state?.length, nonce?.length]).toEqual([22, 22]);
    const [cookie, ...more] = page.headers.getSetCookie();
    expect(more).toEqual([]);
    expect(cookie).toMatch(
      new RegExp(`^${NAME}.login-${state}=[\\w-]+; Max-Age=600; Path=/; Secure; HttpOnly; SameSite=Lax$`),
    );
    expect(page.headers.get("cache-control")).toBe("no-store");
    const again = await browser.ask(`${APP}/a`);
    expect(new URL(again.headers.get("location")!).searchParams.get("nonce")).not.toBe(nonce);
  });

  it.each([
    ["a page that fetches something", { headers: XHR }],
    [
      "what fetches for a page that wants HTML",
      { headers: { accept: "text/html", "sec-fetch-mode": "cors" } },
    ],
    ["an old page", { headers: { accept: "text/html", "x-requested-with": "XMLHttpRequest" } }],
    ["a program", { headers: {} }],
    ["a form", { headers: { accept: "text/html" }, form: { a: "b" } }],
  ])("is refused when it is %s", async (_, { headers, form }: { headers: object; form?: { a: string } }) => {
    const page = await browser.ask(`${APP}/a`, headers as Record<string, string>, form);
    expect(code(page)).toBe("401 UNAUTHENTICATED");
    expect(page.headers.get("www-authenticate")).toBe('Cookie realm="sluice"');
    expect(seen).toEqual([]);
  });

  it("is refused where nobody is to be sent to the provider", async () => {
    await build({ unauthenticated: "deny" });
    expect(code(await browser.ask(APP))).toBe("401 UNAUTHENTICATED");
  });

  it("can log in in several tabs, and gives up the oldest when there are too many", async () => {
    const first = await reachCallback("/first");
    const second = await reachCallback("/second");
    expect((await browser.open(first.href)).url).toBe(`${APP}/first`);
    expect((await browser.open(second.href)).url).toBe(`${APP}/second`);
    browser.of(APP).clear();
    for (let i = 0; i < 9; i++) await browser.ask(APP);
    expect(browser.of(APP).size).toBeLessThanOrEqual(5);
  });

  it("is told of the provider's parameters and scopes that are configured", async () => {
    await build({ scopes: ["profile", "openid"], parameters: { prompt: "login" }, rolesClaim: "roles" });
    const page = await browser.ask(APP);
    const { searchParams } = new URL(page.headers.get("location")!);
    expect([searchParams.get("scope"), searchParams.get("prompt")]).toEqual(["openid profile", "login"]);
    await browser.open(APP);
    expect(seen[0]!.headers.get("x-consumer-roles")).toBe("user");
  });

  it("comes back to the public URL, whatever the gateway is called", async () => {
    await build({ publicUrl: "https://public.example", callbackPath: "/back" });
    const page = await browser.ask(APP);
    const { searchParams } = new URL(page.headers.get("location")!);
    expect(searchParams.get("redirect_uri")).toBe("https://public.example/back");
  });
});

describe("a login that goes wrong", () => {
  it("has no session when it was begun in another browser", async () => {
    const callback = await reachCallback();
    const other = newBrowser();
    const page = await other.ask(callback.href);
    expect(code(page)).toBe("400 LOGIN_FAILED");
    expect(other.of(APP).size).toBe(0);
  });

  it("has no session when it ends with the state of another login", async () => {
    const first = await reachCallback();
    await reachCallback();
    const [, other = ""] = [...browser.of(APP).keys()];
    first.searchParams.set("state", other.slice(other.indexOf("login-") + 6));
    expect(code(await browser.ask(first.href))).toBe("400 LOGIN_FAILED");
    expect(browser.of(APP).has(NAME)).toBe(false);
    // Nor does it help to give the one the cookie of the other.
    const [[own = "", value = ""] = []] = browser.of(APP);
    browser
      .of(APP)
      .set(`${NAME}.login-${"a".repeat(22)}`, value)
      .delete(own);
    first.searchParams.set("state", "a".repeat(22));
    expect((await browser.ask(first.href)).body).toContain("It was not begun in this browser");
  });

  it("cannot be done twice", async () => {
    const callback = await reachCallback();
    const cookies = new Map(browser.of(APP));
    expect((await browser.ask(callback.href)).status).toBe(303);
    expect(code(await browser.ask(callback.href))).toBe("400 LOGIN_FAILED");
    // The provider does not take a code twice from somebody who has kept the cookie either.
    const other = newBrowser();
    for (const [name, value] of cookies) other.of(APP).set(name, value);
    expect(code(await other.ask(callback.href))).toBe("400 LOGIN_FAILED");
    expect(other.of(APP).size).toBe(0);
  });

  it("is refused with a code that was given to another login", async () => {
    const mine = await reachCallback();
    const other = await reachCallback();
    mine.searchParams.set("code", other.searchParams.get("code")!);
    expect(code(await browser.ask(mine.href))).toBe("400 LOGIN_FAILED");
    expect(browser.of(APP).has(NAME)).toBe(false);
  });

  it("is refused with an ID token that was made for another login", async () => {
    const { headers } = await browser.ask(APP);
    const url = new URL(headers.get("location")!);
    url.searchParams.set("nonce", "another");
    expect(code(await browser.open(url.href))).toBe("400 LOGIN_FAILED");
    expect(host.log.lines.at(-1)?.fields).toEqual({ reason: "token" });
  });

  it("is over after ten minutes", async () => {
    const callback = await reachCallback();
    host.clock.advance(600_000);
    expect(code(await browser.ask(callback.href))).toBe("400 LOGIN_FAILED");
  });

  it.each([
    ["no state", (q: URLSearchParams) => q.delete("state"), "400 LOGIN_FAILED"],
    ["two states", (q: URLSearchParams) => q.append("state", q.get("state")!), "400 LOGIN_FAILED"],
    ["no code", (q: URLSearchParams) => q.delete("code"), "400 LOGIN_FAILED"],
    ["two codes", (q: URLSearchParams) => q.append("code", "b"), "400 LOGIN_FAILED"],
    ["another code", (q: URLSearchParams) => q.set("code", "b"), "400 LOGIN_FAILED"],
    ["no issuer", (q: URLSearchParams) => q.delete("iss"), "400 LOGIN_FAILED"],
    ["another issuer", (q: URLSearchParams) => q.set("iss", "https://evil.example"), "400 LOGIN_FAILED"],
    ["two issuers", (q: URLSearchParams) => q.append("iss", q.get("iss")!), "400 LOGIN_FAILED"],
    ["an error", (q: URLSearchParams) => q.set("error", "server_error"), "400 LOGIN_FAILED"],
    ["a strange error", (q: URLSearchParams) => q.set("error", "<b>\r\n"), "400 LOGIN_FAILED"],
    ["a refusal", (q: URLSearchParams) => q.set("error", "access_denied"), "403 LOGIN_DENIED"],
  ])("comes back with %s and is refused", async (_, change, expected) => {
    const callback = await reachCallback();
    change(callback.searchParams);
    const page = await browser.ask(callback.href);
    expect(code(page)).toBe(expected);
    expect(page.body).not.toContain("<b>");
    expect(page.headers.get("cache-control")).toBe("no-store");
    expect(browser.of(APP).has(NAME)).toBe(false);
    expect(seen).toEqual([]);
  });

  it("is refused with the provider's user", async () => {
    oidc.user = undefined;
    expect(code(await browser.open(APP))).toBe("403 LOGIN_DENIED");
    expect(browser.of(APP).size).toBe(0);
  });

  it.each(["slow", "broken"] as const)(
    "sees 503 while the provider is %s, and can go on after",
    async (state) => {
      await build({ timeout: "100ms" });
      const callback = await reachCallback();
      oidc.state = state;
      const page = await browser.ask(callback.href);
      expect(code(page)).toBe("503 AUTH_UNAVAILABLE");
      expect(page.headers.get("retry-after")).toBe("5");
      // Nothing is known of the provider.
      host = newHost();
      await build({ timeout: "100ms" });
      expect(code(await browser.ask(APP))).toBe("503 AUTH_UNAVAILABLE");
      oidc.state = "up";
      host.clock.advance(5000);
      expect((await browser.open(APP)).status).toBe(200);
    },
  );

  it("is refused when the ID token does not say who the user is", async () => {
    await build({ consumerClaim: "missing" });
    expect(code(await browser.open(APP))).toBe("400 LOGIN_FAILED");
    expect(host.log.lines.at(-1)).toMatchObject({ level: "warn", fields: { reason: "token" } });
  });

  it.each([
    ["another algorithm", { algorithms: ["ES256"] }],
    ["another time", {}],
  ])("is refused with an ID token of %s", async (_, options) => {
    host.clock.advance("algorithms" in options ? 0 : 86_400_000);
    await build(options);
    expect(code(await browser.open(APP))).toBe("400 LOGIN_FAILED");
  });
});

describe("a session", () => {
  const open = async (): Promise<number> => (await browser.ask(APP, XHR)).status;

  it("is sealed: no change, part, or text of another kind opens it", async () => {
    await browser.open(APP);
    const cookies = browser.of(APP);
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
    const other = newBrowser();
    await other.ask(APP);
    for (const [name, value] of other.of(APP)) browser.of(APP).set(name, value);
  };

  it("does not count when there are two", async () => {
    await browser.open(APP);
    const sealed = browser.of(APP).get(NAME)!;
    const cookie = `${NAME}=${sealed}; a=b; ${NAME}=${sealed}`;
    expect((await newBrowser().ask(APP, { ...XHR, cookie })).status).toBe(401);
    expect((await newBrowser().ask(APP, { ...XHR, cookie: `a=b; ${NAME}=${sealed}` })).status).toBe(200);
    expect(seen.at(-1)!.headers.get("cookie")).toBe("a=b");
  });

  it("is opened with old secrets, and not with other ones, of another provider or another client", async () => {
    await browser.open(APP);
    const other = "another secret of 32 characters and more";
    const tries: [object, number][] = [
      [{ secret: [other, SECRET] }, 200],
      [{ secret: [SECRET, other] }, 200],
      [{ secret: other }, 401],
      [{ clientId: "other" }, 401],
      [{ issuer: `${oidc.url}/other` }, 401],
    ];
    for (const [options, status] of tries) {
      await build(options);
      expect([options, await open()]).toEqual([options, status]);
    }
  });

  it("ends when it is not used, and lasts while it is, up to its lifetime", async () => {
    await build({ idleTimeout: "10m", lifetime: "1h" });
    await browser.open(APP);
    const first = browser.of(APP).get(NAME);
    host.clock.advance(59_999);
    expect(await open()).toBe(200);
    expect(browser.of(APP).get(NAME)).toBe(first);
    for (let i = 0; i < 6; i++) {
      host.clock.advance(9 * 60_000);
      const page = await browser.ask(APP, XHR);
      expect([page.status, page.headers.get("cache-control")]).toEqual([200, "no-store"]);
    }
    host.clock.advance(5 * 60_000 + 1);
    expect(await open()).toBe(401);
    host = newHost();
    await build({ idleTimeout: "10m", lifetime: "1h" });
    browser = newBrowser();
    await browser.open(APP);
    host.clock.advance(600_000);
    expect(await open()).toBe(401);
  });

  it("is kept whole on failures of the upstream too", async () => {
    oidc.name = "n".repeat(3000);
    await build({ scopes: ["profile"] });
    await browser.open(APP);
    host.clock.advance(1_000_000);
    const first = browser.of(APP).get(NAME);
    reply = () => {
      throw new GatewayError("UPSTREAM_RESET");
    };
    expect(await open()).toBe(502);
    expect(browser.of(APP).get(NAME)).not.toBe(first);
    reply = () => textReply(200, "");
    expect(await open()).toBe(200);
  });

  it("is in several cookies when it is large, and in none when it is too large", async () => {
    oidc.name = "n".repeat(3000);
    await build({ scopes: ["profile"] });
    await browser.open(APP);
    expect([...browser.of(APP).keys()]).toEqual([NAME, `${NAME}.1`]);
    expect(await open()).toBe(200);
    expect(seen.at(-1)!.headers.get("cookie")).toBeUndefined();
    const [, part = ""] = [...browser.of(APP).values()];
    browser.of(APP).delete(`${NAME}.1`);
    expect(await open()).toBe(401);
    browser.of(APP).set(`${NAME}.1`, part);
    // A smaller one takes their place.
    oidc.name = "n";
    await browser.open((await reachLogin()).href);
    expect([...browser.of(APP).keys()]).toEqual([NAME]);
    oidc.name = "n".repeat(8000);
    const page = await browser.open((await reachLogin()).href);
    expect(code(page)).toBe("400 LOGIN_FAILED");
    expect(host.log.lines.at(-1)?.fields).toEqual({ reason: "size" });
  });

  /** Begins a login beside the session that there is. */
  const reachLogin = async (): Promise<URL> => {
    const cookies = browser.of(APP);
    const kept = new Map(cookies);
    cookies.clear();
    const url = await reachCallback();
    for (const [name, value] of kept) cookies.set(name, value);
    return url;
  };

  it("is for consumers of the configuration only where that is said", async () => {
    await build({ knownConsumers: true });
    expect(code(await browser.open(APP))).toBe("403 FORBIDDEN");
    expect(seen).toEqual([]);
    expect(host.audit.events.at(-1)).toMatchObject({
      event: "auth",
      outcome: "refused",
      reason: "forbidden",
    });
  });

  it("ends by logging out, here and at the provider", async () => {
    await browser.open(APP);
    const page = await browser.open(`${APP}/oauth2/logout`);
    expect(browser.of(APP).size).toBe(0);
    expect(page.url).toContain(`${oidc.url}/session/end?id_token_hint=`);
    const xsrf = /name="xsrf" value="(\w+)"/.exec(page.body)![1]!;
    const done = await browser.ask(`${oidc.url}/session/end/confirm`, {}, { xsrf, logout: "yes" });
    expect(done.headers.get("location")).toBe(`${APP}/`);
    expect(await open()).toBe(401);
    // Without a session, or a provider that could be asked, it ends here.
    for (const state of ["up", "broken"] as const) {
      oidc.state = state;
      const there = await browser.ask(`${APP}/oauth2/logout`);
      expect([there.status, there.headers.get("location")]).toEqual([303, `${APP}/`]);
    }
  });

  it("does not end because a page of another site says so", async () => {
    await browser.open(APP);
    const page = await browser.ask(`${APP}/oauth2/logout`, { "sec-fetch-site": "cross-site" });
    expect(code(page)).toBe("403 CSRF_FAILED");
    expect(await open()).toBe(200);
  });
});

describe("an access token", () => {
  const open = async (from = browser): Promise<number> => (await from.ask(APP, XHR)).status;
  const token = (): string | undefined => seen.at(-1)!.headers.get("authorization");
  const OFFLINE = { scopes: ["offline_access"], parameters: { prompt: "consent" } };

  it("is for the upstream where that is said, instead of what the client has sent", async () => {
    await build({ accessTokenToUpstream: true });
    await browser.open(APP);
    await browser.ask(APP, { ...XHR, authorization: "Bearer forged" });
    expect(token()).toMatch(/^Bearer [\w-]{43}$/);
    await build({
      accessTokenToUpstream: true,
      scopes: ["orders"],
      parameters: { resource: RESOURCE },
    });
    browser = newBrowser();
    await browser.open(APP);
    expect(token()).toMatch(/^Bearer ey[\w-]+\.[\w-]+\.[\w-]+$/);
  });

  it("that has ended has the browser log in once more, unless nobody needs it", async () => {
    await build({ accessTokenToUpstream: true });
    await browser.open(APP);
    host.clock.advance(600_000);
    expect(await open()).toBe(401);
    await browser.open(APP);
    await build();
    host.clock.advance(700_000);
    expect(await open()).toBe(200);
    // A session that was made without it is none where it is needed.
    browser = newBrowser();
    await browser.open(APP);
    await build({ accessTokenToUpstream: true });
    expect(await open()).toBe(401);
  });

  it("is renewed once for all requests that come, and for those that were on their way", async () => {
    await build({ accessTokenToUpstream: true, ...OFFLINE });
    await browser.open(APP);
    const before = token();
    const old = newBrowser();
    old.of(APP).set(NAME, browser.of(APP).get(NAME)!);
    const asked = oidc.count("POST /token");
    host.clock.advance(541_000);
    const all = await Promise.all(Array.from({ length: 10 }, () => open()));
    expect(new Set(all)).toEqual(new Set([200]));
    expect(oidc.count("POST /token")).toBe(asked + 1);
    const after = token();
    expect(after).not.toBe(before);
    expect(new Set(seen.slice(-10).map(({ headers }) => headers.get("authorization")))).toEqual(
      new Set([after]),
    );
    // A request with the old session, which the provider would not renew twice, gets the same.
    expect(await open(old)).toBe(200);
    expect(token()).toBe(after);
    expect(old.of(APP).get(NAME)).not.toBe(browser.of(APP).get(NAME)); // sealed by itself
    // The new one is renewed in its turn.
    host.clock.advance(541_000);
    expect(await open()).toBe(200);
    expect(oidc.count("POST /token")).toBe(asked + 2);
  });

  it("is renewed by one thread for all", async () => {
    const memory = createSharedMemory(2, host.clock.monotonic(), host.clock.now());
    const hosts = [host, newHost()];
    const handlers: Handler[] = [];
    for (const [thread, each] of hosts.entries()) {
      each.shared = new SharedMemory(memory, thread);
      each.clock = host.clock;
    }
    const options = { accessTokenToUpstream: true, ...OFFLINE };
    for (host of hosts) {
      await build(options);
      handlers.push(handler);
    }
    const openAt = (thread: number, who = browser): Promise<number> => {
      handler = handlers[thread]!;
      return open(who);
    };
    await browser.open(APP);
    const before = token();
    const copy = newBrowser();
    const restore = (): void => void copy.of(APP).set(NAME, browser.of(APP).get(NAME)!);
    restore();
    const asked = oidc.count("POST /token");
    host.clock.advance(700_000);
    expect(await Promise.all([openAt(0), openAt(1, copy)])).toEqual([200, 200]);
    expect(oidc.count("POST /token")).toBe(asked + 1);
    expect(new Set(seen.slice(-2).map(({ headers }) => headers.get("authorization"))).size).toBe(1);
    expect(token()).not.toBe(before);

    // The other one says that the provider is away, and then that it lets nobody go on.
    restore();
    host.clock.advance(700_000);
    oidc.state = "broken";
    expect(await Promise.all([openAt(0), openAt(1, copy)])).toEqual([503, 503]);
    oidc.state = "up";
    oidc.forget("RefreshToken");
    host.clock.advance(5000);
    const last = oidc.count("POST /token");
    expect(await Promise.all([openAt(0), openAt(1, copy)])).toEqual([401, 401]);
    expect(oidc.count("POST /token")).toBe(last + 1);

    // Where a thread is not told, requests wait for as long as the provider may take, and are refused.
    browser.of(APP).clear();
    handler = handlers[0]!;
    await browser.open(APP);
    restore();
    host.clock.advance(700_000);
    expect(await openAt(0)).toBe(200);
    host = newHost();
    host.shared = new SharedMemory(memory, 1);
    host.clock = hosts[0]!.clock;
    await build({ ...options, timeout: "300ms" });
    for (let i = 0; i < 2; i++) expect(await open(copy)).toBe(503);
  });

  it("that cannot be renewed now is used until it ends, and the provider is not asked each time", async () => {
    await build({ ...OFFLINE });
    await browser.open(APP);
    host.clock.advance(541_000);
    oidc.state = "broken";
    const asked = oidc.count("POST /token");
    for (let i = 0; i < 5; i++) expect(await open()).toBe(200);
    expect(oidc.count("POST /token")).toBeLessThanOrEqual(asked + 2);
    host.clock.advance(60_000);
    expect(code(await browser.ask(APP, XHR))).toBe("503 AUTH_UNAVAILABLE");
    oidc.state = "up";
    host.clock.advance(5000);
    expect(await open()).toBe(200);
    expect(host.collected("sluice_oidc_login_events_total")).toMatchObject({
      '{"route":"test","stage":"stage","event":"renewed"}': 1,
      '{"route":"test","stage":"stage","event":"loggedIn"}': 1,
    });
  });

  it("that the provider does not renew any more ends the session", async () => {
    await build({ ...OFFLINE });
    await browser.open(APP);
    oidc.forget("RefreshToken");
    host.clock.advance(541_000);
    expect(code(await browser.ask(APP, XHR))).toBe("401 UNAUTHENTICATED");
    expect((await browser.open(APP)).status).toBe(200);
  });
});

describe("options", () => {
  it.each([
    [{ issuer: "http://elsewhere.example" }, "in between can log in as anybody"],
    [{ issuer: "https://login.example/?a" }, "no query"],
    [{ publicUrl: "https://app.example/path" }, "not an origin"],
    [{ publicUrl: "app.example" }, "not an origin"],
    [{ logoutPath: "/oauth2/callback" }, "`callbackPath` already"],
    [{ idleTimeout: "2h", lifetime: "1h" }, "cannot be more than `lifetime`"],
    [{ parameters: { state: "x" } }, "given by the gateway"],
    [{ cookie: { domain: "example.com" } }, "has no domain"],
    [{ cookie: { secure: false } }, "not secure"],
    [{ secret: "short" }, "fewer than 32"],
    [{ callbackPath: "callback" }, "pattern"],
  ])("refuses %j", async (options, why) => {
    await expect(build(options)).rejects.toThrow(why);
  });

  it("name the cookie, which need not be secure on a machine of one's own", async () => {
    await build({ cookie: { name: "app" } });
    const x = exchange({ headers: { accept: "text/html", cookie: "app=a; app.login-x=b; application=c" } });
    const { headers } = await handler(x);
    expect(headers.getAll("set-cookie")).toHaveLength(1);
    expect(headers.get("set-cookie")).not.toContain("Secure");
    expect(x.headers.get("cookie")).toBe("application=c");
  });
});
