/** `sluice plugin` and the checking of types, as an author of plugins meets them. */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { runCli } from "../support/cli.ts";
import { ROOT, run } from "../support/pack.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluice-plugin-cli-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const sluice = (...args: string[]): ReturnType<typeof runCli> => runCli(args, { cwd: folder });

describe("sluice plugin", () => {
  it("begins a plugin in a fresh folder, in which an editor finds no errors", async () => {
    const { status, stdout, stderr } = await sluice("plugin", "new", "greet");
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toContain("      - plugin: greet\n");
    const tsc = join(ROOT, "node_modules/.bin/tsc");
    expect(await run(tsc, ["-p", "plugins"], folder)).toEqual({ status: 0, stdout: "", stderr: "" });
  });

  it("does not overwrite what is there, and says so with status 1", async () => {
    await sluice("plugin", "new", "greet");
    const before = await readFile(join(folder, "plugins/greet.ts"), "utf8");
    expect(await sluice("plugin", "new", "greet")).toEqual({
      status: 1,
      stdout: "",
      stderr: "plugins/greet.ts is there already\n",
    });
    expect(await readFile(join(folder, "plugins/greet.ts"), "utf8")).toBe(before);
    expect((await sluice("plugin", "new", "cors")).status).toBe(1);
  });

  it("writes the types into the folder that is named", async () => {
    const { status, stdout } = await sluice("plugin", "types", "mine");
    expect(status).toBe(0);
    expect(stdout).toBe("wrote  mine/tsconfig.json\nwrote  mine/sluice-plugin.d.ts\n");
    expect((await readdir(join(folder, "mine"))).sort()).toEqual(["sluice-plugin.d.ts", "tsconfig.json"]);
  });

  it("says with status 2 what it does not understand", async () => {
    for (const [args, message] of [
      [[], "`sluice plugin` is followed by `new NAME` or `types`"],
      [["nwe", "a"], "`sluice plugin` is followed by `new NAME` or `types`"],
      [["new"], "`sluice plugin new` needs a name"],
      [["new", "a", "b"], "Unexpected argument 'b'"],
    ] as const) {
      const { status, stderr } = await sluice("plugin", ...args);
      expect(stderr).toBe(`${message}. \`sluice help\` lists commands and options.\n`);
      expect(status).toBe(2);
    }
  });
});
