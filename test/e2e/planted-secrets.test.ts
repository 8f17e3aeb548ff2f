/**
 * Secrets in every place of a configuration and of requests that can hold one, through the real command line: none is in
 * a log line, an error, a metric, a page of the admin listener or what commands print.
 */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { stringify } from "yaml";
import { readSecret } from "../../core/http-signatures/algorithms.ts";
import { PATHS } from "../../core/admin/pages.ts";
import { TempFolder } from "../core/config/temp-folder.ts";
import { runCli, startCli } from "../support/cli.ts";
import { startOAuthServer } from "../support/oauth-server.ts";
import { Planted, plantedConfig } from "../support/planted.ts";
import { startRedis } from "../support/redis.ts";
import { signed } from "../support/signed.ts";
import { makeToken } from "../support/tokens.ts";
import { startUpstream } from "../support/upstream.ts";

/** Pages that have the memory of the process in them, by what they are for. */
const OF_MEMORY = ["/admin/heap", "/admin/profile"];

const base64 = (text: string): string => Buffer.from(text).toString("base64");

it("shows no secret of the configuration or of requests to anybody", async () => {
  const folder = new TempFolder();
  const planted = new Planted();
  const oauth = await startOAuthServer();
  const token = planted.make("token of the gateway");
  oauth.answer = ({ form }) =>
    form["grant_type"] === undefined
      ? { active: form["token"] === opaque, sub: "bob", scope: planted.make("scope") }
      : { access_token: token, token_type: "bearer", expires_in: 3600 };
  const opaque = planted.make("opaque token");
  const cookie = planted.make("cookie of the upstream");
  await using upstream = await startUpstream((request, response) => {
    request.resume();
    response.writeHead(200, { "set-cookie": `session=${cookie}` }).end("in");
  });
  await using redis = await startRedis("--requirepass", "another");
  const { config, shown, hmac } = await plantedConfig(planted, {
    upstream: upstream.url,
    oauth: oauth.url,
    redis: `127.0.0.1:${redis.port}`,
  });
  const file = folder.write("sluice.yaml", stringify(config));
  await using cli = await startCli(["--config", file]);
  const seen: string[] = [];
  const look = async (url: string, init: RequestInit = {}): Promise<number> => {
    const reply = await fetch(url, init);
    const text = await reply.text();
    // What an upstream says is for the client.
    if (reply.status !== 200 || !url.startsWith(cli.url)) seen.push([...reply.headers].join("\n"), text);
    return reply.status;
  };
  const ask = (path: string, headers: Record<string, string> = {}, method = "GET"): Promise<number> =>
    look(cli.url + path, { headers, method });

  // Right ones, so that all that is done with them is done.
  const wrong = (what: string): string => planted.make(`wrong ${what}`);
  expect(await ask("/key", { "x-api-key": shown.apiKey })).toBe(200);
  expect(await ask(`/key?key=${shown.scryptKey}`)).toBe(200);
  expect(await ask("/key", { cookie: `a=1; key=${shown.apiKey}` })).toBe(200);
  expect(await ask("/basic", { authorization: `Basic ${base64(`known:${shown.password}`)}` })).toBe(200);
  expect(await ask("/basic", { authorization: `Basic ${base64(`listed:${shown.listed}`)}` })).toBe(200);
  const exp = Math.floor(Date.now() / 1000) + 600;
  const claims = { iss: "https://secret.example", aud: "a", sub: "carol", exp, email: planted.make("claim") };
  const jwt = makeToken({ alg: "HS256" }, claims, shown.jwt);
  planted.add("jwt", jwt.split(".")[2]!);
  expect(await ask("/jwt", { authorization: `Bearer ${jwt}` })).toBe(200);
  expect(await ask("/introspection", { authorization: `Bearer ${opaque}` })).toBe(200);
  const parameters = { created: exp - 600, keyid: "hmac", nonce: planted.make("nonce") };
  const request = signed(
    { target: "/signature" },
    { key: readSecret(hmac), parameters, authority: new URL(cli.url).host },
  );
  const pairs = request.headers.flatMap((name, i, all) =>
    i % 2 === 0 ? [[name, all[i + 1]!] as const] : [],
  );
  expect(await ask("/signature", Object.fromEntries(pairs))).toBe(200);
  for (const path of ["/client", "/sign", "/sticky", "/split", "/csrf"]) expect(await ask(path)).toBe(200);

  const login = (password: string): Promise<number> =>
    look(`${cli.url}/issuer/login`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ username: "known", password }),
    });
  expect(await login(shown.password)).toBe(200);

  // Wrong ones, and servers that are not there.
  expect(await ask("/key", { "x-api-key": wrong("key") })).toBe(401);
  expect(await ask(`/key?key=${wrong("key in the query")}`)).toBe(401);
  expect(await ask("/key", { cookie: `key=${wrong("key in a cookie")}` })).toBe(401);
  expect(await ask("/basic", { authorization: `Basic ${base64(`known:${wrong("password")}`)}` })).toBe(401);
  expect(
    await ask("/jwt", { authorization: `Bearer ${jwt.replace(/\.[^.]*$/, `.${wrong("signature")}`)}` }),
  ).toBe(401);
  expect(await ask("/introspection", { authorization: `Bearer ${wrong("token")}` })).toBe(401);
  const [input, signature] = [/nonce="[^"]*"/, /:.*:/];
  const forged = pairs.map(([name, text]) => [
    name,
    text.replace(input, `nonce="${wrong("nonce")}"`).replace(signature, `:${base64(wrong("signature"))}:`),
  ]);
  expect(await ask("/signature", Object.fromEntries(forged))).toBe(401);
  expect(await ask("/forward", { authorization: `Bearer ${wrong("session")}` })).toBe(503);
  expect(
    await ask("/csrf", { cookie: `sid=${wrong("sid")}`, "x-csrf-token": wrong("csrf token") }, "POST"),
  ).toBe(403);
  expect(await ask("/script", { authorization: `Bearer ${wrong("bearer of a script")}` })).toBe(500);
  for (const path of ["/tls", "/consul", "/kubernetes"]) expect(await ask(path)).toBeGreaterThan(500);
  expect(await ask(`/${wrong("path")}`.slice(0, 2), { authorization: wrong("scheme") })).toBe(404);
  expect(await login(wrong("login"))).toBe(400);
  expect(await ask("/login", { cookie: `__Host-sluice-session=${wrong("session")}` })).toBe(401);
  await redis.kill();
  expect(await ask("/key", { "x-api-key": shown.apiKey })).toBe(200);

  // Operators: every page that there is, and what members there are of those that list something.
  const admin = { authorization: `Bearer ${config.admin.token}` };
  expect(
    await look(cli.adminUrl + PATHS[2]!, { headers: { authorization: `Bearer ${wrong("admin token")}` } }),
  ).toBe(401);
  for (const path of PATHS.filter((each) => !OF_MEMORY.includes(each) && !each.includes(":"))) {
    await look(cli.adminUrl + path, { headers: admin });
    if (!PATHS.includes(`${path}/:id`) && !PATHS.includes(`${path}/:name`)) continue;
    const list = (await (await fetch(cli.adminUrl + path, { headers: admin })).json()) as {
      id?: string;
      name?: string;
    }[];
    for (const { id, name } of list)
      await look(`${cli.adminUrl}${path}/${encodeURIComponent(id ?? name!)}`, { headers: admin });
  }

  // A change that is refused.
  const missing = wrong("key that nobody knows");
  folder.write("sluice.yaml", readFileSync(file, "utf8").replace("admin:\n", `admin:\n  tokn: ${missing}\n`));
  await cli.logged((line) => line["code"] === "CONFIG_UNKNOWN_KEY");
  await look(`${cli.adminUrl}/admin/config`, { headers: admin });
  expect(await look(`${cli.adminUrl}/admin/config/reload`, { headers: admin, method: "POST" })).toBe(422);

  const printed = await runCli(["check", "--format", "json", "--config", file]);
  expect(printed.status).toBe(1);
  const lines = cli.lines.map((line) => JSON.stringify(line));
  await cli.stop();
  const all = [...seen, ...lines, printed.stdout, printed.stderr, cli.complaint];
  for (const expected of [
    "sluice_auth_requests_total",
    '"consumer":"secret:carol"',
    "CONFIG_UNKNOWN_KEY",
    '"level":"debug"',
  ]) {
    expect(
      all.some((text) => text.includes(expected)),
      expected,
    ).toBe(true);
  }
  expect(all.flatMap((text) => planted.in(text).map((what) => `${what}: ${text.slice(0, 300)}`))).toEqual([]);
  folder.remove();
  await oauth.close();
});
