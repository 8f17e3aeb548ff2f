/** `sluice test`, as an author of plugins meets it: in a folder where nothing is installed. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { MAIN, runCli } from "../support/cli.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluice-test-cli-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const sluice = (...args: string[]): ReturnType<typeof runCli> => runCli(args, { cwd: folder });

async function write(name: string, text: string): Promise<void> {
  await mkdir(dirname(join(folder, name)), { recursive: true });
  await writeFile(join(folder, name), text);
}

describe("sluice test", () => {
  it("runs what `sluice plugin new` has written, in the folder that the configuration names", async () => {
    await write(
      "gateways/gateway.yaml",
      `apiVersion: sluice/v1
pluginsDir: ../scripts
listeners: [{ address: 127.0.0.1:0 }]
routes: [{ name: all, match: {}, pipeline: [{ plugin: respond }] }]
`,
    );
    const config = join(folder, "gateways/gateway.yaml");
    expect((await sluice("plugin", "new", "greet", "-c", config)).status).toBe(0);
    const { status, stdout, stderr } = await sluice("test", "-c", config);
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toContain("greet greets the upstream and marks the reply");
    expect(stdout).toMatch(/pass 1\n/);
  });

  it("ends with 1 when a test fails, and shows what differs; unit tests may import the plugin", async () => {
    await sluice("plugin", "new", "greet");
    await write(
      "plugins/deep/more.test.ts",
      `import assert from "node:assert/strict";
import { test } from "node:test";
import greet from "../greet.ts";
import { createTestGateway } from "sluice/test";
test("has a hook", () => assert.equal(typeof greet.request, "function"));
test("gets JSON", async () => {
  const gw = await createTestGateway({
    routes: [{ name: "all", match: {}, pipeline: [{ plugin: "greet" }], upstream: "app" }],
  });
  gw.upstream("app").reply({ body: { items: [1, 2] } });
  assert.deepEqual(await (await gw.fetch("/")).json(), { items: [1, 3] });
});
`,
    );
    const { status, stdout } = await sluice("test");
    expect(status).toBe(1);
    expect(stdout).toMatch(/pass 2\n.*fail 1\n/);
    expect(stdout).toMatch(/\+ {5}2\n *- {5}3\n/);
    const one = await sluice("test", "plugins/greet.test.ts");
    expect([one.status, one.stdout]).toEqual([0, expect.stringMatching(/tests 1\n/)]);
  });

  it("takes TypeScript for modules in a package of CommonJS, which `npm init` makes", async () => {
    await write("package.json", '{ "type": "commonjs" }');
    await sluice("plugin", "new", "greet");
    await write(
      "plugins/unit.test.ts",
      'import { test } from "node:test"; import "./greet.ts"; test("runs");\n',
    );
    const { status, stdout } = await sluice("test");
    expect(stdout).toMatch(/pass 2\n/);
    expect(status).toBe(0);
  });

  it("prefers what is installed beside the tests", async () => {
    await write(
      "node_modules/sluice/package.json",
      '{ "type": "module", "exports": { "./plugin": "./plugin.js" } }',
    );
    await write("node_modules/sluice/plugin.js", "export const definePlugin = () => 'installed';");
    await write(
      "plugins/a.test.js",
      `import assert from "node:assert/strict";
import { test } from "node:test";
import { definePlugin } from "sluice/plugin";
test("is the one that is installed", () => assert.equal(definePlugin({}), "installed"));
`,
    );
    expect((await sluice("test")).status).toBe(0);
  });

  it("says so with status 1 when there is nothing to run", async () => {
    expect(await sluice("test")).toEqual({
      status: 1,
      stdout: "",
      stderr:
        "No tests found in plugins. A test is a file such as greet.test.ts; `sluice plugin new NAME` begins a plugin with one.\n",
    });
    expect(await sluice("test", "nowhere")).toEqual({
      status: 1,
      stdout: "",
      stderr: "There is no nowhere\n",
    });
    expect((await sluice("test", "-c", "nowhere.yaml")).stderr).toBe("There is no nowhere.yaml\n");
  });

  it("runs tests again when a plugin has changed, until it is told to end", async () => {
    await sluice("plugin", "new", "greet");
    const child = spawn(process.execPath, [MAIN, "test", "--watch"], { cwd: folder, stdio: "pipe" });
    onTestFinished(() => void child.kill("SIGKILL"));
    const exited = once(child, "exit");
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
    });
    const saw = async (pattern: RegExp): Promise<void> => {
      while (!pattern.test(text)) await once(child.stdout, "data");
    };
    await saw(/pass 1\n[\s\S]*Waiting for a change…\n/);
    const source = await readFile(join(folder, "plugins/greet.ts"), "utf8");
    await write("plugins/greet.ts", source.replace('"x-greeted-by"', '"x-greeted"'));
    await saw(/fail 1\n[\s\S]*Waiting for a change…\n/);
    child.kill("SIGTERM");
    expect(await exited).toEqual([1, null]);
  });
});
