/** Requests that are checked through the real command line: against a document that is a file, and changes. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, expect, it } from "vitest";
import { TempFolder } from "../core/config/temp-folder.ts";
import { runCli, startCli } from "../support/cli.ts";

const SECRET = "planted-secret-that-signs-the-tokens";

let folder: TempFolder;
let seen: string[];
const upstream = createServer((request, response) => {
  void text(request).then((body) => {
    seen.push(`${request.method} ${request.url} ${body}`);
    response.end("in");
  });
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

const api = (maximum: number): string => `openapi: 3.1.0
paths:
  /orders:
    post:
      requestBody:
        required: true
        content:
          application/json:
            schema: { type: object, properties: { count: { type: integer, maximum: ${maximum} } } }
`;

function writeConfig(): string {
  folder.write("api/orders.yml", api(10));
  return folder.write(
    "sluice.yaml",
    `apiVersion: sluice/v1
listeners: [{ address: 127.0.0.1:0 }]
admin: { address: 127.0.0.1:0 }
threads: 2
upstreams: { api: { targets: ["http://127.0.0.1:${(upstream.address() as AddressInfo).port}"] } }
routes:
  - name: orders
    match: { path: /* }
    pipeline:
      - { plugin: csrf, token: { secret: ${SECRET}, session: sid }, when: { header: { cookie: true } } }
      - { plugin: validate, openapi: "\${file:api/orders.yml}" }
    upstream: api
`,
  );
}

it("lets requests pass that fit the document as it is now", async () => {
  const config = writeConfig();
  await using cli = await startCli(["--config", config]);
  const ask = async (body: string, headers: Record<string, string> = {}, path = "/orders") => {
    const sent = { "content-type": "application/json", ...headers };
    const reply = await fetch(cli.url + path, { method: "POST", headers: sent, body });
    return [reply.status, await reply.text()] as const;
  };
  const activated = (generation: number) =>
    cli.logged((line) => line["msg"] === "configuration activated" && line["generation"] === generation);

  expect(await ask('{"count":7}')).toEqual([200, "in"]);
  const [status, problem] = await ask('{"count":17}');
  expect(status).toBe(400);
  expect(JSON.parse(problem)).toMatchObject({
    code: "VALIDATION_FAILED",
    errors: [{ in: "body", pointer: "/count", message: "must be <= 10" }],
  });
  expect((await ask("{}", {}, "/other"))[0]).toBe(404);
  expect((await ask("{}", { "content-type": "text/plain" }))[0]).toBe(415);
  expect((await ask("{}", { cookie: "sid=abc" }))[0]).toBe(403);

  folder.write("api/orders.yml", api(20));
  await activated(2);
  expect(await ask('{"count":17}')).toEqual([200, "in"]);

  folder.write("api/orders.yml", api(20).replace("integer", "intedger"));
  await cli.logged((line) => line["code"] === "CONFIG_OPTION_INVALID");
  expect((await ask('{"count":21}'))[0]).toBe(400);
  expect(seen).toEqual(['POST /orders {"count":7}', 'POST /orders {"count":17}']);

  const metrics = await (await fetch(`${cli.adminUrl}/metrics`)).text();
  expect(metrics).toMatch(/sluice_validate_requests_total\{[^}]*outcome="valid"[^}]*\} 2/);
  expect(metrics).toMatch(/sluice_csrf_requests_total\{[^}]*outcome="origin"[^}]*\} 1/);
  const checked = await runCli(["check", "--config", config]);
  expect(checked.status).toBe(1);
  const shown = [metrics, checked, await runCli(["dump", "--config", config])];
  await cli.stop();
  expect(JSON.stringify([shown, cli.lines, cli.complaint])).not.toContain(SECRET);
});
