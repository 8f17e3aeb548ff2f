/** What stages grant to scripts, from the configuration to the network, as an operator writes it. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { runCli, startCli } from "../support/cli.ts";
import { startUpstream, type TestUpstream } from "../support/upstream.ts";

const SECRET = "s3cret-of-the-flag-server";
const SCRIPT = `
import { definePlugin } from "sluice/plugin";
export default definePlugin({
  schema: { type: "object", properties: { flags: { type: "string" } }, required: ["flags"], additionalProperties: false },
  async request(req, ctx) {
    const { FLAGS_TOKEN } = ctx.secrets;
    const visits = await ctx.kv.incr(\`visits \${req.headers.get("x-user")}\`);
    const flags = await ctx.fetch(ctx.options.flags, { headers: { authorization: FLAGS_TOKEN!.withPrefix("Bearer ") } });
    ctx.metrics.counter("visits").inc({ beta: String(flags.json().beta) });
    ctx.log.info("visit", { visits, token: FLAGS_TOKEN });
    const sum = ctx.crypto.hmac("sha256", FLAGS_TOKEN!, "data");
    return ctx.reply({ body: { visits, beta: flags.json().beta, sum, token: String(FLAGS_TOKEN) } });
  },
});
`;

let folder: string;
let flags: TestUpstream;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluice-grants-"));
  await mkdir(join(folder, "plugins"));
  await writeFile(join(folder, "plugins/visit.ts"), SCRIPT);
  flags = await startUpstream((request, response) => {
    const isKnown = request.headers.authorization === `Bearer ${SECRET}`;
    response.writeHead(isKnown ? 200 : 401).end(JSON.stringify({ beta: isKnown }));
  });
});
afterEach(async () => {
  await flags.close();
  await rm(folder, { recursive: true, force: true });
});

async function writeConfig(grants: string): Promise<string> {
  const file = join(folder, "sluice.yaml");
  await writeFile(
    file,
    `apiVersion: sluice/v1
listeners: [{ address: 127.0.0.1:0 }]
admin: { address: 127.0.0.1:0 }
threads: 2
routes:
  - name: visit
    match: {}
    pipeline:
      - { plugin: visit, flags: "${flags.url}/v1", limits: { cpu: 500ms }, grants: ${grants} }
      - { plugin: respond, body: none }
`,
  );
  return file;
}

const env = { FLAGS_TOKEN: SECRET };
const secrets = '{ FLAGS_TOKEN: "${env:FLAGS_TOKEN}" }';

it("a script uses what it is granted, and its secrets are seen nowhere", async () => {
  const fetchGrant = `{ hosts: ["127.0.0.1:${flags.port}"], privateAddresses: [127.0.0.0/8] }`;
  const file = await writeConfig(`{ fetch: ${fetchGrant}, kv: true, secrets: ${secrets} }`);
  await using gateway = await startCli(["-c", file], env);
  const seen: { visits: number; beta: boolean; token: string }[] = [];
  const ask = async (): Promise<void> => {
    const answer = await fetch(gateway.url, { headers: { "x-user": "ada", connection: "close" } });
    seen.push((await answer.json()) as (typeof seen)[number]);
  };
  for (let i = 0; i < 6; i++) await ask();
  expect(seen.map(({ visits }) => visits)).toEqual([1, 2, 3, 4, 5, 6]);
  expect(seen.every(({ beta, token }) => beta && token === "[secret FLAGS_TOKEN]")).toBe(true);

  const metrics = await (await fetch(`${gateway.adminUrl}/metrics`)).text();
  expect(metrics).toContain('sluice_script_visit_visits{beta="true"} 6\n');
  const admin = await (await fetch(`${gateway.adminUrl}/admin/config`)).text();
  const { stdout } = await runCli(["dump", "-c", file, "--effective"], { env });
  expect(stdout).toContain("FLAGS_TOKEN");
  await gateway.logged((line) => line["msg"] === "visit");
  expect([admin, stdout, JSON.stringify(gateway.lines), gateway.complaint].join("\n")).not.toContain(SECRET);
});

it("a script that asks for more fails, and the log says what to grant", async () => {
  const file = await writeConfig(`{ kv: true, secrets: ${secrets} }`);
  await using gateway = await startCli(["-c", file], env);
  expect((await fetch(gateway.url)).status).toBe(500);
  const { err } = await gateway.logged((line) => line["code"] === "SCRIPT_THREW");
  const { message, stack } = err as { message: string; stack: string };
  const host = `127.0.0.1:${flags.port}`;
  expect(message).toContain(`fetch is not granted: add grants: { fetch: ["${host}"] } to the stage`);
  expect(stack).toMatch(/at .*request \(plugins\/visit\.ts:8:\d+\)/);
  expect(flags.seen).toEqual([]);
});
