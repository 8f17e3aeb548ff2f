/** The example plugins: their types, and the tests beside them, through the command line. */
import { readdirSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { runCli } from "../support/cli.ts";
import { ROOT } from "../support/pack.ts";

const CONFIG = join(ROOT, "examples/plugins.yaml");

it("have types that fit", async () => {
  const { status, stdout, stderr } = await runCli(["check", "-c", CONFIG]);
  expect({ status, stderr, stdout }).toMatchObject({ status: 0, stderr: "" });
});

it("of the README are sound", async () => {
  const folder = await mkdtemp(join(tmpdir(), "sluice-readme-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const readme = await readFile(join(ROOT, "README.md"), "utf8");
  const [, file, source] = /```ts\n(?:\/\/ (\S+))\n([\s\S]*?)```/.exec(readme)!;
  const pipeline = /```yaml\n(pipeline:\n[\s\S]*?)```/.exec(readme)![1]!.replaceAll("\n", "\n    ");
  const config = `apiVersion: sluice/v1
listeners: [{ address: 127.0.0.1:0 }]
upstreams: { app: { targets: ["http://127.0.0.1:1"] } }
routes:
  - name: all
    match: {}
    upstream: app
    ${pipeline}`;
  await mkdir(join(folder, "plugins"));
  await writeFile(join(folder, file!), source!);
  await writeFile(join(folder, "gateway.yaml"), config);
  expect(await runCli(["check"], { cwd: folder })).toMatchObject({ status: 0, stderr: "" });
});

it("pass the tests beside them", { timeout: 180_000 }, async () => {
  const files = readdirSync(join(ROOT, "examples/plugins")).filter((name) => name.endsWith(".test.ts"));
  const { status, stdout } = await runCli(["test", "-c", CONFIG]);
  expect(stdout).toContain("fail 0");
  expect(status).toBe(0);
  const passed = Number(/^\S pass (\d+)$/m.exec(stdout)?.[1]);
  expect(passed).toBeGreaterThanOrEqual(3 * files.length);
});
