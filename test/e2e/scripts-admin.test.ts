/** What operators see of scripts, and do, while two threads run them. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { startCli } from "../support/cli.ts";

const CONFIG = `apiVersion: sluice/v1
listeners: [{ address: 127.0.0.1:0 }]
admin: { address: 127.0.0.1:0 }
threads: 2
routes:
  - { name: a, match: { path: /a/* }, pipeline: [{ plugin: greet }, { plugin: respond }] }
  - { name: b, match: { path: /b/* }, pipeline: [{ plugin: greet }, { plugin: respond }] }
`;
const GREET = `import { definePlugin } from "sluice/plugin";
export default definePlugin({
  request(req) {
    if (req.path === "/a/throw") throw new Error("boom");
    if (req.path === "/a/loop") for (;;);
  },
});
`;

/** Asks on a connection of its own, so that either thread may get it. */
function ask(url: string): Promise<number> {
  return new Promise((resolve, reject) => {
    http
      .get(url, { agent: false }, (reply) => {
        reply.resume();
        resolve(reply.statusCode!);
      })
      .on("error", reject);
  });
}

it("counts what all threads did with a script, and sets it back on all of them", async () => {
  const folder = await mkdtemp(join(tmpdir(), "sluice-scripts-admin-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await mkdir(join(folder, "plugins"));
  await writeFile(join(folder, "plugins/greet.ts"), GREET);
  await writeFile(join(folder, "gateway.yaml"), CONFIG);
  await using cli = await startCli(["-c", join(folder, "gateway.yaml"), "--no-supervise"]);
  const page = `${cli.adminUrl}/admin/scripts`;
  const show = async (): Promise<Record<string, unknown>> =>
    (await (await fetch(`${page}/greet`)).json()) as never;

  const paths = [...Array<string>(20).fill("/a/x"), ...Array<string>(19).fill("/b/x"), "/a/throw"];
  const statuses = await Promise.all(paths.map((path) => ask(cli.url + path)));
  expect(statuses.filter((status) => status === 200)).toHaveLength(39);
  expect(await show()).toMatchObject({
    id: "greet",
    name: "greet",
    file: "plugins/greet.ts",
    version: expect.stringMatching(/^[0-9a-f]{12}$/),
    state: "running",
    quarantine: null,
    routes: ["a", "b"],
    calls: 40,
    p50Ms: expect.any(Number),
    errors: { SCRIPT_THREW: 1 },
    lastError: { code: "SCRIPT_THREW", message: "script greet: Error: boom" },
  });
  const metrics = await (await fetch(`${cli.adminUrl}/metrics`)).text();
  expect(metrics).toContain('sluice_script_calls_total{script="greet"} 40\n');
  expect(metrics).toMatch(/sluice_script_errors_total\{.*reason="SCRIPT_THREW".*\} 1\n/);
  expect(metrics).toContain('sluice_script_state{script="greet"} 0\n');

  while ((await show())["state"] !== "quarantined") await ask(`${cli.url}/a/loop`);
  for (let i = 0; i < 8; i++) expect(await ask(`${cli.url}/b/x`)).toBe(500);
  expect(await (await fetch(`${cli.adminUrl}/metrics`)).text()).toContain(
    'sluice_script_state{script="greet"} 2\n',
  );
  const refused = await fetch(`${page}/greet`, { method: "PATCH", body: '{"state":"demoted"}' });
  expect([refused.status, await refused.json()]).toEqual([
    422,
    { problems: [expect.objectContaining({ pointer: "/state" })] },
  ]);
  const patched = await fetch(`${page}/greet`, { method: "PATCH", body: '{"state":"running"}' });
  expect([patched.status, await patched.json()]).toEqual([
    200,
    expect.objectContaining({ state: "running", quarantine: null, calls: expect.any(Number) }),
  ]);
  for (let i = 0; i < 8; i++) expect(await ask(`${cli.url}/b/x`)).toBe(200);

  // Another version begins anew; what was counted goes on.
  await writeFile(join(folder, "plugins/greet.ts"), GREET.replace("boom", "bang"));
  await cli.logged((line) => line["msg"] === "configuration activated" && line["generation"] === 2);
  expect(await show()).toMatchObject({ calls: 0, errors: {}, lastError: null });
  const counted = await (await fetch(`${cli.adminUrl}/metrics`)).text();
  expect(Number(/sluice_script_calls_total\{script="greet"\} (\d+)/.exec(counted)?.[1])).toBeGreaterThan(50);
  expect((await fetch(`${page}/other`)).status).toBe(404);
  expect(await (await fetch(page)).json()).toHaveLength(1);
});
