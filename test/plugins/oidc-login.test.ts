import { describe, expect, it } from "vitest";
import { exchange } from "../support/harness.ts";
import { APP, code, eachLoginStage, type LoginStage, NAME, XHR } from "../support/login-stage.ts";
import { CLIENT } from "../support/oidc.ts";

let stage: LoginStage;
eachLoginStage((each) => void (stage = each));

describe("a browser without a session", () => {
  it("logs in at the provider and comes back to the page that it wanted", async () => {
    const page = await stage.browser.open(`${APP}//evil.example/a?b=c%20d`);
    expect([page.status, page.url, page.body]).toEqual([200, `${APP}//evil.example/a?b=c%20d`, "the page"]);
    const [request] = stage.seen;
    expect(stage.seen).toHaveLength(1);
    expect(request!.consumer).toMatchObject({ name: "alice", claims: { sub: "alice" } });
    expect(request!.headers.get("x-consumer-name")).toBe("alice");
    expect(request!.headers.get("cookie")).toBeUndefined();
    expect(stage.browser.of(APP).size).toBe(1);
    expect(await stage.browser.ask(APP)).toMatchObject({ status: 200 });
  });

  it("is asked to log in with PKCE, a state and a nonce, and keeps them sealed and for itself", async () => {
    const page = await stage.browser.ask(`${APP}/a`);
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
    const again = await stage.browser.ask(`${APP}/a`);
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
    const page = await stage.browser.ask(`${APP}/a`, headers as Record<string, string>, form);
    expect(code(page)).toBe("401 UNAUTHENTICATED");
    expect(page.headers.get("www-authenticate")).toBe('Cookie realm="sluice"');
    expect(stage.seen).toEqual([]);
  });

  it("is refused where nobody is to be sent to the provider", async () => {
    await stage.build({ unauthenticated: "deny" });
    expect(code(await stage.browser.ask(APP))).toBe("401 UNAUTHENTICATED");
  });

  it("can log in in several tabs, and gives up the oldest when there are too many", async () => {
    const first = await stage.reachCallback("/first");
    const second = await stage.reachCallback("/second");
    expect((await stage.browser.open(first.href)).url).toBe(`${APP}/first`);
    expect((await stage.browser.open(second.href)).url).toBe(`${APP}/second`);
    stage.browser.of(APP).clear();
    for (let i = 0; i < 9; i++) await stage.browser.ask(APP);
    expect(stage.browser.of(APP).size).toBeLessThanOrEqual(5);
  });

  it("is told of the provider's parameters and scopes that are configured", async () => {
    await stage.build({
      scopes: ["profile", "openid"],
      parameters: { prompt: "login" },
      rolesClaim: "roles",
    });
    const page = await stage.browser.ask(APP);
    const { searchParams } = new URL(page.headers.get("location")!);
    expect([searchParams.get("scope"), searchParams.get("prompt")]).toEqual(["openid profile", "login"]);
    await stage.browser.open(APP);
    expect(stage.seen[0]!.headers.get("x-consumer-roles")).toBe("user");
  });

  it("comes back to the public URL, whatever the gateway is called", async () => {
    await stage.build({ publicUrl: "https://public.example", callbackPath: "/back" });
    const page = await stage.browser.ask(APP);
    const { searchParams } = new URL(page.headers.get("location")!);
    expect(searchParams.get("redirect_uri")).toBe("https://public.example/back");
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
    [{ store: "main" }, "in memory, which gateways do not share"],
  ])("refuses %j", async (options, why) => {
    await expect(stage.build(options)).rejects.toThrow(why);
  });

  it("name the cookie, which need not be secure on a machine of one's own", async () => {
    await stage.build({ cookie: { name: "app" } });
    const x = exchange({ headers: { accept: "text/html", cookie: "app=a; app.login-x=b; application=c" } });
    const { headers } = await stage.handler(x);
    expect(headers.getAll("set-cookie")).toHaveLength(1);
    expect(headers.get("set-cookie")).not.toContain("Secure");
    expect(x.headers.get("cookie")).toBe("application=c");
  });
});
