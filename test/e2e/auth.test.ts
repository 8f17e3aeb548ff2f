/** Consumers and their keys, through the real command line: who gets in, and that no key is ever shown. */
import { rmSync } from "node:fs";
import { createServer, type IncomingHttpHeaders } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { TempFolder } from "../core/config/temp-folder.ts";
import { startCli } from "../support/cli.ts";
import { stopAndShow } from "../support/shown.ts";

const SECRET = "planted-key-of-the-mobile-app";
const LATER = "planted-key-that-comes-later";
const WRONG = "planted-key-that-nobody-has";

let folder: TempFolder;
let seen: { url: string; headers: IncomingHttpHeaders }[];
const upstream = createServer((request, response) => {
  seen.push({ url: request.url ?? "", headers: request.headers });
  response.end("in");
});

beforeEach(async () => {
  folder = new TempFolder();
  seen = [];
  upstream.listen(0, "127.0.0.1");
  await once(upstream, "listening");
});
afterEach(async () => {
  folder.remove();
  upstream.closeAllConnections();
  upstream.close();
  await once(upstream, "close");
});

const consumer = (name: string, key: string): string =>
  `consumers: [{ name: ${name}, roles: [user], credentials: [{ apiKey: "${key}" }] }]\n`;

function writeConfig(): string {
  folder.write("consumers/mobile.yaml", consumer("mobile", "${env:MOBILE_KEY}"));
  return folder.write(
    "sluice.yaml",
    `apiVersion: sluice/v1
include: ["consumers/*.yaml"]
listeners: [{ address: 127.0.0.1:0 }]
admin: { address: 127.0.0.1:0 }
threads: 2
log: { level: debug }
upstreams: { api: { targets: ["http://127.0.0.1:${(upstream.address() as AddressInfo).port}"] } }
routes:
  - name: api
    match: { path: /* }
    pipeline:
      - plugin: auth
        methods: [{ apiKey: { header: x-api-key, query: key } }]
        identityHeaders: true
      - { plugin: authorize, allow: [{ method: GET, roles: [user] }] }
    upstream: api
`,
  );
}

it("lets in whom it knows, tells the upstream who it is, and shows no key to anybody", async () => {
  const config = writeConfig();
  const env = { MOBILE_KEY: SECRET };
  await using cli = await startCli(["--config", config], env);
  const ask = async (path: string, headers: Record<string, string> = {}, method = "GET") => {
    const reply = await fetch(cli.url + path, { method, headers });
    return [reply.status, await reply.text(), [...reply.headers].join("\n")] as const;
  };
  const shown: unknown[] = [];
  const status = async (...args: Parameters<typeof ask>): Promise<number> => {
    const reply = await ask(...args);
    shown.push(reply);
    return reply[0];
  };
  const claimed = { "x-consumer-name": "root", "x-consumer-roles": "admin", X_Consumer_Name: "root" };
  expect(await status("/a", { "x-api-key": SECRET, ...claimed })).toBe(200);
  expect(await status(`/b?key=${SECRET}&x=1`)).toBe(200);
  expect(await status("/c", { "x-api-key": WRONG })).toBe(401);
  expect(await status(`/d?key=${WRONG}`)).toBe(401);
  expect(await status("/e", { authorization: `Bearer ${SECRET}`, ...claimed })).toBe(401);
  expect(await status("/f", { "x-api-key": SECRET }, "DELETE")).toBe(403);
  expect(seen.map(({ url }) => url)).toEqual(["/a", "/b?x=1"]);
  for (const { headers } of seen) {
    expect(headers).toMatchObject({ "x-consumer-name": "mobile", "x-consumer-roles": "user" });
    expect(headers["x-api-key"]).toBeUndefined();
  }

  // A file of consumers comes: its key is valid at once. It goes again, and so does the key.
  const activated = (generation: number) =>
    cli.logged((line) => line["msg"] === "configuration activated" && line["generation"] === generation);
  expect(await status("/g", { "x-api-key": LATER })).toBe(401);
  folder.write("consumers/later.yaml", consumer("later", LATER));
  await activated(2);
  expect(await status("/g", { "x-api-key": LATER })).toBe(200);
  rmSync(join(folder.path, "consumers/later.yaml"));
  await activated(3);
  expect(await status("/g", { "x-api-key": LATER })).toBe(401);

  // Refused: the message must not have the key either.
  folder.write("consumers/later.yaml", consumer("twin", SECRET));
  await cli.logged((line) => line["code"] === "CONFIG_DUPLICATE_NAME");
  expect(await status("/h", { "x-api-key": SECRET })).toBe(200);

  const access = cli.lines.filter((line) => typeof line["status"] === "number");
  expect(access.map((line) => line["consumer"])).toContain("mobile");
  shown.push(...(await stopAndShow(cli, config, env)));
  const text = JSON.stringify(shown);
  expect(text).toContain("sluice_auth_requests_total");
  for (const key of [SECRET, LATER, WRONG]) expect(text).not.toContain(key);
});

it("keeps away who tries one key after the other, with a limit that only failures cost anything", async () => {
  const config = folder.write(
    "guesses.yaml",
    `apiVersion: sluice/v1
listeners: [{ address: 127.0.0.1:0, trustedProxies: [127.0.0.1] }]
threads: 2
consumers: [{ name: mobile, credentials: [{ apiKey: ${SECRET} }] }]
routes:
  - name: api
    match: { path: /* }
    pipeline:
      - plugin: limit
        name: guesses
        by: ip
        rate: 10/1h
        cost: 0
        charge: { statuses: [401], cost: 1 }
        ban: { after: 3, for: 10m }
      - { plugin: auth, methods: [apiKey] }
      - { plugin: respond, body: in }
`,
  );
  await using cli = await startCli(["--config", config]);
  const ask = async (key: string, ip: string): Promise<number> =>
    (await fetch(cli.url, { headers: { "x-api-key": key, "x-forwarded-for": ip } })).status;
  for (let i = 0; i < 20; i++) expect(await ask(SECRET, "192.0.2.1")).toBe(200);
  // Ten are used up by then; the eleventh is owed.
  for (let i = 0; i < 11; i++) expect(await ask(`${WRONG}${i}`, "192.0.2.2")).toBe(401);
  for (let i = 0; i < 3; i++) expect(await ask(SECRET, "192.0.2.2")).toBe(429);
  const banned = await fetch(cli.url, { headers: { "x-api-key": SECRET, "x-forwarded-for": "192.0.2.2" } });
  expect(await banned.json()).toMatchObject({ code: "CLIENT_BANNED" });
  expect(await ask(SECRET, "192.0.2.1")).toBe(200);
});
