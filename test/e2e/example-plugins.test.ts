/** The example plugins: their types, and the tests beside them, through the command line. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { runCli } from "../support/cli.ts";
import { ROOT } from "../support/pack.ts";

const CONFIG = join(ROOT, "examples/plugins.yaml");

it("have types that fit", { timeout: 60_000 }, async () => {
  const { status, stdout, stderr } = await runCli(["check", "-c", CONFIG]);
  expect({ status, stderr, stdout }).toMatchObject({ status: 0, stderr: "" });
});

it("pass the tests beside them", { timeout: 180_000 }, async () => {
  const files = readdirSync(join(ROOT, "examples/plugins")).filter((name) => name.endsWith(".test.ts"));
  const { status, stdout } = await runCli(["test", "-c", CONFIG]);
  expect(stdout).toContain("fail 0");
  expect(status).toBe(0);
  const passed = Number(/^\S pass (\d+)$/m.exec(stdout)?.[1]);
  expect(passed).toBeGreaterThanOrEqual(3 * files.length);
});
