/** Tokens for an upstream through the real command line: over reloads and outages, and that none is ever shown. */
import { readFileSync } from "node:fs";
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

it("gives an upstream a token of the gateway's own, over reloads and outages, and shows no secret", async () => {
  const config = folder.write(
    "sluice.yaml",
    `apiVersion: sluice/v1
listeners: [{ address: 127.0.0.1:0 }]
admin: { address: 127.0.0.1:0 }
threads: 1
log: { level: debug }
upstreams: { api: { targets: ["${upstream.url}"] } }
routes:
  - name: api
    match: { path: /* }
    pipeline:
      - { plugin: oauth2-client, issuer: "${oauth.url}", clientId: gateway, clientSecret: "\${env:SECRET}", scope: read }
    upstream: api
`,
  );
  const env = { SECRET };
  await using cli = await startCli(["--config", config], env);
  const shown: unknown[] = [];
  const ask = async (): Promise<string> => {
    const reply = await fetch(cli.url, { headers: { authorization: "Bearer planted-by-the-client" } });
    const body = reply.status === 200 ? await reply.arrayBuffer() : await reply.text();
    shown.push([[...reply.headers], body]);
    return reply.status === 200
      ? String(upstream.seen.at(-1)?.headers["authorization"])
      : String(reply.status);
  };
  let generation = 1;
  const change = async (from: string, to: string): Promise<void> => {
    folder.write("sluice.yaml", readFileSync(config, "utf8").replace(from, to));
    generation++;
    await cli.logged(
      (line) => line["msg"] === "configuration activated" && line["generation"] === generation,
    );
  };

  // Its server gives none, then one.
  oauth.answer = (_, response) => void response.writeHead(401).end('{"error":"invalid_client"}');
  expect(await ask()).toBe("503");
  expect(upstream.seen).toHaveLength(0);
  oauth.answer = () => ({ access_token: "planted-token", token_type: "bearer", expires_in: 3600 });
  await expect.poll(ask).toBe("Bearer planted-token");
  const asked = oauth.asked.length;

  // The token is there after a reload, and while its server is away.
  await oauth.close();
  await change("name: api", "name: other");
  expect(await ask()).toBe("Bearer planted-token");
  expect(oauth.asked).toHaveLength(asked);
  // Another stage has none.
  await change("scope: read", "scope: write");
  expect(await ask()).toBe("503");

  shown.push(...(await stopAndShow(cli, config, env)));
  const text = JSON.stringify(shown);
  expect(text).toContain("sluice_oauth2_client_token_requests_total");
  expect(text).toContain("the answer has status 401: invalid_client");
  expect(text).not.toContain("planted");
  expect(text).not.toContain(Buffer.from(`gateway:${SECRET}`).toString("base64"));
});
