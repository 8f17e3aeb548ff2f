/**
 * Logins at a real OpenID Provider through the real command line, behind a proxy that ends TLS: two gateways with one
 * secret and one Redis, renewals over threads and gateways, reloads, outages, logouts, and that no secret is ever shown.
 */
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { afterEach, beforeEach, expect, it } from "vitest";
import { TempFolder } from "../core/config/temp-folder.ts";
import { Browser, type Send } from "../support/browser.ts";
import { runCli, startCli } from "../support/cli.ts";
import { CLIENT, type OidcServer, startOidcServer } from "../support/oidc.ts";
import { useRedis } from "../support/use-redis.ts";
import { startUpstream, type TestUpstream } from "../support/upstream.ts";

const APP = "https://app.example";
const NAME = "__Host-sluice-session";
const XHR = { accept: "application/json", "sec-fetch-mode": "cors" };
const env = { SECRET: CLIENT.secret, COOKIES: "planted-secret-of-the-cookies-32-chars" };

let folder: TempFolder;
let upstream: TestUpstream;
let oidc: OidcServer;
/** The gateways that the proxy sends requests to, in turn. */
let gateways: readonly string[];
let turn = 0;
const redis = useRedis();

beforeEach(async () => {
  folder = new TempFolder();
  upstream = await startUpstream();
  oidc = await startOidcServer([`${APP}/oauth2/callback`], [`${APP}/`]);
});
afterEach(async () => {
  folder.remove();
  await upstream.close();
  await oidc.close();
});

/** Sends what is for the application to the gateway, as a proxy does that ends TLS. */
const send: Send = (url, { method, headers, body }) => {
  if (url.origin !== APP) return fetch(url, { method, headers, body: body ?? null, redirect: "manual" });
  const sent = { ...Object.fromEntries(headers), host: url.host, "x-forwarded-proto": "https" };
  return new Promise((resolve, reject) => {
    const asked = request(gateways[turn++ % gateways.length] + url.pathname + url.search, {
      method,
      headers: sent,
      agent: false,
    });
    asked.on("error", reject);
    asked.on("response", (response) => {
      const { rawHeaders: raw, statusCode: status = 0 } = response;
      const received = new Headers();
      for (let i = 0; i < raw.length; i += 2) received.append(raw[i]!, raw[i + 1]!);
      response.toArray().then((chunks) => {
        resolve(new Response(Buffer.concat(chunks as Buffer[]), { status, headers: received }));
      }, reject);
    });
    asked.end(body);
  });
};

it("keeps users logged in at several gateways and over reloads, renews once, and shows no secret", async () => {
  const write = (name: string, threads: number): string =>
    folder.write(
      `${name}.yaml`,
      `apiVersion: sluice/v1
listeners: [{ address: 127.0.0.1:0, trustedProxies: [127.0.0.1/32] }]
admin: { address: 127.0.0.1:0 }
threads: ${threads}
log: { level: debug }
audit: { events: [login, refresh, logout] }
upstreams: { api: { targets: ["${upstream.url}"] } }
stores: { shared: { type: redis, url: "${redis.server.url}" } }
routes:
  - name: app
    match: { path: /* }
    pipeline:
      - plugin: oidc-login
        issuer: ${oidc.url}
        clientId: ${CLIENT.id}
        clientSecret: "\${env:SECRET}"
        secret: "\${env:COOKIES}"
        scopes: [profile, offline_access]
        parameters: { prompt: consent }
        store: shared
        accessTokenToUpstream: true
        identityHeaders: true
        timeout: 1s
    upstream: api
`,
    );
  const config = write("one", 2);
  await using first = await startCli(["--config", config], env);
  await using second = await startCli(["--config", write("two", 1)], env);
  const shown: unknown[] = [];
  const browser = new Browser(send);
  const last = () => upstream.seen.at(-1)!.headers;
  const ask = async (headers: Record<string, string> = XHR): Promise<number> => {
    const page = await browser.ask(`${APP}/b`, headers);
    shown.push(
      [...page.headers].filter(([name]) => name !== "set-cookie"),
      page.status === 200 || page.body,
    );
    return page.status;
  };

  // A login, by the scheme and the host that the proxy tells of.
  gateways = [first.url];
  expect(await ask()).toBe(401);
  oidc.accessTokenSeconds = 8;
  const page = await browser.open(`${APP}/a?b=c`);
  expect([page.status, page.url]).toEqual([200, `${APP}/a?b=c`]);
  expect(last()).toMatchObject({ "x-consumer-name": "alice", "x-consumer-roles": "user" });
  expect(last()["authorization"]).toMatch(/^Bearer [\w-]{43}$/);
  const cookies = browser.of(APP);
  cookies.set("theme", "dark");
  expect(await ask({ ...XHR, "x-consumer-name": "eve" })).toBe(200);
  expect(last()).toMatchObject({ cookie: "theme=dark", "x-consumer-name": "alice" });

  // The other gateway knows the session; a changed one does not count.
  gateways = [second.url];
  expect(await ask()).toBe(200);
  const sealed = cookies.get(NAME)!;
  cookies.set(
    NAME,
    sealed.replace(/^./, (first) => (first === "A" ? "B" : "A")),
  );
  expect(await ask()).toBe(401);
  cookies.set(NAME, sealed);

  // The session is renewed once, whichever gateway and thread requests come to, and nobody is turned away.
  gateways = [first.url, second.url];
  const token = last()["authorization"];
  const asked = oidc.count("POST /token");
  oidc.accessTokenSeconds = 600;
  const statuses = new Set<number>();
  const renewed = async (): Promise<boolean> => {
    // A browser has its requests answered side by side; the cookie of the last reply stays.
    for (const status of await Promise.all(Array.from({ length: 4 }, () => ask()))) statuses.add(status);
    return last()["authorization"] !== token && cookies.get(NAME) !== sealed;
  };
  await expect.poll(renewed, { timeout: 15_000, interval: 50 }).toBe(true);
  expect([...statuses]).toEqual([200]);
  expect(oidc.count("POST /token")).toBe(asked + 1);
  const key = await redis.server.ask("keys", "*oidc-login*");
  expect(key).toMatch(/^sluice:oidc-login [\w-]{22} \d+$/);
  shown.push(await redis.server.ask("get", key));
  gateways = [first.url];

  // It outlives a reload, and an outage of the provider; who is not logged in waits for it.
  folder.write("one.yaml", readFileSync(config, "utf8").replace("name: app", "name: other"));
  await first.logged((line) => line["msg"] === "configuration activated" && line["generation"] === 2);
  for (const state of ["slow", "broken"] as const) {
    oidc.state = state;
    expect(await ask()).toBe(200);
    const stranger = new Browser(send);
    const { status } = await stranger.ask(`${APP}/`);
    // Where logins are is known already; the provider itself is what fails then.
    expect([303, 503]).toContain(status);
    expect(stranger.of(APP).has(NAME)).toBe(false);
  }
  oidc.state = "up";

  // It ends here and at the provider.
  const out = await browser.open(`${APP}/oauth2/logout`);
  const xsrf = /name="xsrf" value="(\w+)"/.exec(out.body)![1]!;
  const back = await browser.ask(`${oidc.url}/session/end/confirm`, {}, { xsrf, logout: "yes" });
  expect(back.headers.get("location")).toBe(`${APP}/`);
  expect(await ask()).toBe(401);

  for (const { adminUrl } of [first, second]) {
    for (const path of ["/metrics", "/admin/config", "/admin/stats", "/admin/threads"]) {
      shown.push(await (await fetch(adminUrl + path)).text());
    }
  }
  for (const args of [["check"], ["dump"], ["dump", "--effective"]]) {
    shown.push(await runCli([...args, "--config", config], { env }));
  }
  await first.stop();
  shown.push(first.lines, first.complaint);
  const text = JSON.stringify(shown);
  expect(text).toContain("sluice_oidc_login_events_total");
  expect(first.lines.map((line) => line["event"])).toEqual(expect.arrayContaining(["login", "logout"]));
  expect(text).not.toContain("planted");
  expect(text).not.toContain(sealed.slice(0, 50));
  expect(text).not.toContain(token!.slice(7));
});
