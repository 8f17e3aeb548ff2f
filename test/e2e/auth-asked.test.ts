/** Who asks, as other servers say, through the real command line: their outages, and that no secret is ever shown. */
import type { RequestListener } from "node:http";
import { afterEach, beforeEach, expect, it } from "vitest";
import { TempFolder } from "../core/config/temp-folder.ts";
import { startCli } from "../support/cli.ts";
import { type FakeOAuthServer, startOAuthServer } from "../support/oauth-server.ts";
import { stopAndShow } from "../support/shown.ts";
import { startUpstream, type TestUpstream } from "../support/upstream.ts";

const SECRET = "planted-secret-of-the-gateway";

let folder: TempFolder;
let upstream: TestUpstream;
let oauth: FakeOAuthServer;

beforeEach(async () => {
  folder = new TempFolder();
  upstream = await startUpstream();
  oauth = await startOAuthServer();
});
afterEach(async () => {
  folder.remove();
  await oauth.close();
  await upstream.close();
});

it("lets in whom other servers know, nobody while they are away, and shows no secret", async () => {
  let check: RequestListener = (request, response) => {
    const isAlice = request.headers.authorization === "Bearer planted-of-alice";
    if (!isAlice) return void response.writeHead(401).end();
    response.writeHead(200, { "x-consumer-name": "alice", "x-user-id": "17" }).end();
  };
  const checker = await startUpstream((request, response) => check(request, response));
  oauth.answer = ({ form }) =>
    form["token"] === "planted-of-bob" ? { active: true, sub: "bob", roles: "user beta" } : { active: false };
  const config = folder.write(
    "sluice.yaml",
    `apiVersion: sluice/v1
listeners: [{ address: 127.0.0.1:0 }]
admin: { address: 127.0.0.1:0 }
threads: 1
log: { level: debug }
upstreams: { api: { targets: ["${upstream.url}"] } }
routes:
  - name: forward
    match: { path: /forward/* }
    pipeline:
      - plugin: auth
        identityHeaders: true
        methods: [{ forward: { url: "${checker.url}", copyHeaders: [x-user-id], timeout: 2s } }]
    upstream: api
  - name: introspection
    match: { path: /introspection/* }
    pipeline:
      - plugin: auth
        identityHeaders: true
        methods:
          - introspection: { issuer: "${oauth.url}", clientId: gateway, clientSecret: "\${env:SECRET}", cacheFor: 0s }
    upstream: api
`,
  );
  const env = { SECRET };
  await using cli = await startCli(["--config", config], env);
  const shown: unknown[] = [];
  const ask = async (path: string, token: string): Promise<number> => {
    const headers = { authorization: `Bearer ${token}`, "x-user-id": "forged", "x-consumer-name": "forged" };
    const reply = await fetch(cli.url + path, { headers });
    shown.push([[...reply.headers], reply.status === 200 ? await reply.arrayBuffer() : await reply.text()]);
    return reply.status;
  };
  const told = (): object => {
    const { headers } = upstream.seen.at(-1)!;
    const {
      authorization,
      "x-user-id": userId,
      "x-consumer-name": name,
      "x-consumer-roles": roles,
    } = headers;
    return { authorization, userId, name, roles };
  };

  expect(await ask("/forward/", "planted-of-alice")).toBe(200);
  expect(told()).toEqual({ name: "alice", userId: "17" });
  expect(await ask("/forward/", "planted-of-bob")).toBe(401);
  expect(await ask("/introspection/", "planted-of-bob")).toBe(200);
  expect(told()).toEqual({ name: "bob", roles: "user,beta", userId: "forged" });
  expect(await ask("/introspection/", "planted-of-alice")).toBe(401);
  const letIn = upstream.seen.length;

  // Slow, large, garbage, elsewhere, closed.
  const wrong: RequestListener[] = [
    () => {},
    (_, response) => void response.writeHead(200, { "x-consumer-name": "eve" }).end("x".repeat(300_000)),
    (_, response) => void response.end("planted-garbage"),
    (_, response) => void response.writeHead(302, { location: upstream.url }).end(),
    (request) => void request.socket.end("planted-garbage\r\n\r\n"),
    (request) => void request.socket.destroy(),
  ];
  for (const each of wrong) {
    check = each;
    expect(await ask("/forward/", "planted-of-alice")).toBe(503);
    oauth.answer = (_, response) => void each(response.req, response);
    expect(await ask("/introspection/", "planted-of-bob")).toBe(503);
  }
  await Promise.all([checker.close(), oauth.close()]);
  expect(await ask("/forward/", "planted-of-alice")).toBe(503);
  expect(await ask("/introspection/", "planted-of-bob")).toBe(503);
  expect(upstream.seen).toHaveLength(letIn);

  expect(cli.lines.map((line) => line["consumer"])).toContain("bob");
  shown.push(...(await stopAndShow(cli, config, env)));
  const text = JSON.stringify(shown);
  expect(text).toContain("sluice_auth_introspections_total");
  expect(text).toContain("the server that auth forwards to cannot be asked");
  expect(text).not.toContain("planted");
  expect(text).not.toContain(Buffer.from(`gateway:${SECRET}`).toString("base64"));
});
