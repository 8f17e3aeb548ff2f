/** `sluice dev`, as an author of plugins sees it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { MAIN, runCli } from "../support/cli.ts";

const CONFIG = `apiVersion: sluice/v1
listeners: [{ address: 127.0.0.1:0 }]
threads: 2
log: { access: false, level: warn }
routes:
  - { name: all, match: {}, pipeline: [{ plugin: greet }, { plugin: respond, body: hello }] }
`;
const GREET = `import { definePlugin } from "sluice/plugin";
export default definePlugin({
  request(req, ctx) {
    ctx.log.debug("greets", { path: req.path });
    if (req.path === "/boom") throw new Error("boom");
  },
});
`;

interface Dev extends AsyncDisposable {
  readonly text: string;
  /** Waits until there is something like it. */
  saw(pattern: RegExp): Promise<RegExpExecArray>;
  /** Gives the exit status and the signal. */
  stop(): Promise<unknown[]>;
}

function openDev(folder: string): Dev {
  const child = spawn(process.execPath, [MAIN, "dev"], { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  const exited = once(child, "exit");
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  child.stderr.resume();
  const stop = (signal: NodeJS.Signals = "SIGTERM"): Promise<unknown[]> => {
    child.kill(signal);
    return exited;
  };
  return {
    get text() {
      return text;
    },
    async saw(pattern) {
      for (;;) {
        const found = pattern.exec(text);
        if (found !== null) return found;
        await once(child.stdout, "data");
      }
    },
    stop,
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null) await stop("SIGKILL");
    },
  };
}

it("shows what scripts do and how they fail, and what is wrong with a saved file until it is right", async () => {
  const folder = await mkdtemp(join(tmpdir(), "sluice-dev-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await mkdir(join(folder, "plugins"));
  await writeFile(join(folder, "gateway.yaml"), CONFIG);
  const save = (text: string): Promise<void> => writeFile(join(folder, "plugins/greet.ts"), text);
  await save(GREET);
  await using dev = openDev(folder);
  const { saw } = dev;

  const [, url] = await saw(/sluice is serving .*listeners=\["([^"]+)"\]/);
  expect(await (await fetch(`${url}/a`)).text()).toBe("hello");
  await saw(/info {2}#\w+ GET \/a 200 .*\n +debug greet: greets {2}path=\/a\n/);

  expect((await fetch(`${url}/boom`)).status).toBe(500);
  await saw(
    /error #\w+ GET \/boom 500 .*\n.*greets.*\n.*SCRIPT_THREW\n +5 \|.*throw new Error.*\n +\| +\^\^\^\n +Error: boom\n +at .*plugins\/greet\.ts:5:\d+/,
  );

  await save(GREET.replace("request(req", "request((req"));
  await saw(/plugins\/greet\.ts:3:\d+ error CONFIG_SCRIPT .*\n +3 \|.*\n +\| +\^\n\n1 problem\nrefused: /);
  expect(await (await fetch(`${url}/b`)).text()).toBe("hello");

  await save(GREET.replace("greets", "welcomes"));
  await saw(/fixed: the configuration is sound again\n/);
  await fetch(`${url}/c`);
  await saw(/debug greet: welcomes {2}path=\/c\n/);
  // As it was before the error is sound too.
  await save(GREET);
  await saw(/generation=3/);
  await save("export default {");
  await saw(/refused: [\s\S]*refused: /);
  await save(GREET);
  await saw(/fixed: [\s\S]*fixed: /);
  expect(dev.text).not.toContain("\u001b");
  expect(await dev.stop()).toEqual([0, null]);
});

it("waits for a configuration that can be used, and ends when it is told to", async () => {
  const folder = await mkdtemp(join(tmpdir(), "sluice-dev-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await mkdir(join(folder, "plugins"));
  await writeFile(join(folder, "gateway.yaml"), CONFIG);
  const open = (): Dev => openDev(folder);

  await using first = open();
  await first.saw(/CONFIG_UNKNOWN_PLUGIN .*\n[\s\S]*not yet: waiting for a change\n/);
  await writeFile(join(folder, "plugins/greet.ts"), "export default {");
  await first.saw(/greet\.ts:1:\d+ error CONFIG_SCRIPT [\s\S]*not yet: /);
  await writeFile(join(folder, "plugins/greet.ts"), GREET);
  await first.saw(/sluice is serving/);
  expect(await first.stop()).toEqual([0, null]);

  await writeFile(join(folder, "plugins/greet.ts"), "export default {");
  await using second = open();
  await second.saw(/not yet: /);
  expect(await second.stop()).toEqual([1, null]);
});

it("ends with what is wrong when there is nothing to begin with", async () => {
  const folder = await mkdtemp(join(tmpdir(), "sluice-dev-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const { status, stderr } = await runCli(["dev"], { cwd: folder });
  expect([status, stderr]).toEqual([1, expect.stringContaining("CONFIG_NOT_FOUND")]);
});
