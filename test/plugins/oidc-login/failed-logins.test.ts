import { describe, expect, it } from "vitest";
import { APP, code, eachLoginStage, type LoginStage, NAME } from "../../support/login-stage.ts";

let stage: LoginStage;
eachLoginStage((each) => void (stage = each));

describe("a login that goes wrong", () => {
  it("has no session when it was begun in another browser", async () => {
    const callback = await stage.reachCallback();
    const other = stage.newBrowser();
    const page = await other.ask(callback.href);
    expect(code(page)).toBe("400 LOGIN_FAILED");
    expect(other.of(APP).size).toBe(0);
  });

  it("has no session when it ends with the state of another login", async () => {
    const first = await stage.reachCallback();
    await stage.reachCallback();
    const [, other = ""] = [...stage.browser.of(APP).keys()];
    first.searchParams.set("state", other.slice(other.indexOf("login-") + 6));
    expect(code(await stage.browser.ask(first.href))).toBe("400 LOGIN_FAILED");
    expect(stage.browser.of(APP).has(NAME)).toBe(false);
    // Nor does it help to give the one the cookie of the other.
    const [[own = "", value = ""] = []] = stage.browser.of(APP);
    stage.browser
      .of(APP)
      .set(`${NAME}.login-${"a".repeat(22)}`, value)
      .delete(own);
    first.searchParams.set("state", "a".repeat(22));
    expect((await stage.browser.ask(first.href)).body).toContain("It was not begun in this browser");
  });

  it("cannot be done twice", async () => {
    const callback = await stage.reachCallback();
    const cookies = new Map(stage.browser.of(APP));
    expect((await stage.browser.ask(callback.href)).status).toBe(303);
    expect(code(await stage.browser.ask(callback.href))).toBe("400 LOGIN_FAILED");
    // The provider does not take a code twice from somebody who has kept the cookie either.
    const other = stage.newBrowser();
    for (const [name, value] of cookies) other.of(APP).set(name, value);
    expect(code(await other.ask(callback.href))).toBe("400 LOGIN_FAILED");
    expect(other.of(APP).size).toBe(0);
  });

  it("is refused with a code that was given to another login", async () => {
    const mine = await stage.reachCallback();
    const other = await stage.reachCallback();
    mine.searchParams.set("code", other.searchParams.get("code")!);
    expect(code(await stage.browser.ask(mine.href))).toBe("400 LOGIN_FAILED");
    expect(stage.browser.of(APP).has(NAME)).toBe(false);
  });

  it("is refused with an ID token that was made for another login", async () => {
    const { headers } = await stage.browser.ask(APP);
    const url = new URL(headers.get("location")!);
    url.searchParams.set("nonce", "another");
    expect(code(await stage.browser.open(url.href))).toBe("400 LOGIN_FAILED");
    expect(stage.host.log.lines.at(-1)?.fields).toEqual({ reason: "token" });
  });

  it("is over after ten minutes", async () => {
    const callback = await stage.reachCallback();
    stage.host.clock.advance(600_000);
    expect(code(await stage.browser.ask(callback.href))).toBe("400 LOGIN_FAILED");
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
    const callback = await stage.reachCallback();
    change(callback.searchParams);
    const page = await stage.browser.ask(callback.href);
    expect(code(page)).toBe(expected);
    expect(page.body).not.toContain("<b>");
    expect(page.headers.get("cache-control")).toBe("no-store");
    expect(stage.browser.of(APP).has(NAME)).toBe(false);
    expect(stage.seen).toEqual([]);
  });

  it("is refused with the provider's user", async () => {
    stage.oidc.user = undefined;
    expect(code(await stage.browser.open(APP))).toBe("403 LOGIN_DENIED");
    expect(stage.browser.of(APP).size).toBe(0);
  });

  it.each(["slow", "broken"] as const)(
    "sees 503 while the provider is %s, and can go on after",
    async (state) => {
      await stage.build({ timeout: "100ms" });
      const callback = await stage.reachCallback();
      stage.oidc.state = state;
      const page = await stage.browser.ask(callback.href);
      expect(code(page)).toBe("503 AUTH_UNAVAILABLE");
      expect(page.headers.get("retry-after")).toBe("5");
      // Nothing is known of the provider.
      stage.host = stage.newHost();
      await stage.build({ timeout: "100ms" });
      expect(code(await stage.browser.ask(APP))).toBe("503 AUTH_UNAVAILABLE");
      stage.oidc.state = "up";
      stage.host.clock.advance(5000);
      expect((await stage.browser.open(APP)).status).toBe(200);
    },
  );

  it("is refused when the ID token does not say who the user is", async () => {
    await stage.build({ consumerClaim: "missing" });
    expect(code(await stage.browser.open(APP))).toBe("400 LOGIN_FAILED");
    expect(stage.host.log.lines.at(-1)).toMatchObject({ level: "warn", fields: { reason: "token" } });
  });

  it.each([
    ["another algorithm", { algorithms: ["ES256"] }],
    ["another time", {}],
  ])("is refused with an ID token of %s", async (_, options) => {
    stage.host.clock.advance("algorithms" in options ? 0 : 86_400_000);
    await stage.build(options);
    expect(code(await stage.browser.open(APP))).toBe("400 LOGIN_FAILED");
  });
});
