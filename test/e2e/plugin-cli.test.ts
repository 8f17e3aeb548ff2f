/** `sluice plugin` and the checking of types, as an author of plugins meets them. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { runCli, startCli } from "../support/cli.ts";
import { ROOT, run } from "../support/pack.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluice-plugin-cli-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const sluice = (...args: string[]): ReturnType<typeof runCli> => runCli(args, { cwd: folder });

const read = (name: string): Promise<string> => readFile(join(folder, name), "utf8");
const write = (name: string, text: string): Promise<void> => writeFile(join(folder, name), text);

const CONFIG = `apiVersion: sluice/v1
listeners: [{ address: 127.0.0.1:0 }]
threads: 1
routes:
  - name: all
    match: {}
    pipeline: [{ plugin: greet, greeting: hi }, { plugin: respond, body: hello }]
`;

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

describe("sluice check", () => {
  beforeEach(async () => {
    await sluice("plugin", "new", "greet");
    await write("gateway.yaml", CONFIG);
  });

  it("finds nothing in a plugin as it was begun", async () => {
    expect(await sluice("check")).toEqual({
      status: 0,
      stdout: "gateway.yaml is valid: 1 route, 0 upstreams, 2 stages\n",
      stderr: "",
    });
  });

  it("shows where types do not fit; a start and --no-types do not look at them", async () => {
    const source = await read("plugins/greet.ts");
    await write("plugins/greet.ts", source.replace("ctx.options.greeting", "ctx.options.greting ?? 'none'"));
    const { status, stdout } = await sluice("check");
    expect(status).toBe(1);
    expect(stdout).toMatch(
      /^plugins\/greet\.ts:18:47 error CONFIG_SCRIPT_TYPES {2}Property 'greting' .*\(TS2551\)\n/,
    );
    expect(stdout).toContain(`
   18 |     req.headers.set("x-greeting", ctx.options.greting ?? 'none');
      |                                               ^^^^^^^

1 problem
`);
    expect((await sluice("check", "--no-types")).status).toBe(0);
    await using gateway = await startCli(["-c", join(folder, "gateway.yaml"), "--no-supervise"]);
    expect((await fetch(gateway.url)).headers.get("x-greeted-by")).toBe("greet");
    expect(await gateway.stop()).toBe(0);
  });

  it("tells types of one plugin with the syntax of another and the configuration's own problems", async () => {
    const source = await read("plugins/greet.ts");
    await write("plugins/greet.ts", source.replace("ctx.options.greeting", "7"));
    await write("plugins/broken.ts", `${source}\nconst a = ;\n`);
    await write("gateway.yaml", CONFIG.replace("body: hello", "bodi: hello"));
    await mkdir(join(folder, "plugins/lib"));
    await write("plugins/lib/unused.ts", "const nobody: string = 1;\n");
    const { status, stdout } = await sluice("check", "--format", "json");
    const { ok, problems } = JSON.parse(stdout) as {
      ok: boolean;
      problems: { code: string; file: string }[];
    };
    expect([status, ok]).toEqual([1, false]);
    const found = problems.map(({ code, file }) => [code, file.slice(folder.length + 1)]);
    expect(found.toSorted()).toEqual([
      ["CONFIG_SCRIPT", "plugins/broken.ts"],
      ["CONFIG_SCRIPT_TYPES", "plugins/greet.ts"],
      ["CONFIG_UNKNOWN_KEY", "gateway.yaml"],
    ]);
  });

  it("checks a script that a stage names, and what it imports", async () => {
    await mkdir(join(folder, "own"));
    await write(
      "own/a.ts",
      (await read("plugins/greet.ts"))
        .replace('"hello"', "hello")
        .replace("import", 'import { hello } from "./b.ts";\nimport'),
    );
    await write("own/b.ts", "export const hello = String(1);\nexport const size: number = hello;\n");
    await write(
      "gateway.yaml",
      CONFIG.replace("greeting: hi", "greeting: hi }, { plugin: script, file: own/a.ts"),
    );
    const { stdout } = await sluice("check");
    expect(stdout).toMatch(
      /^own\/b\.ts:2:14 error CONFIG_SCRIPT_TYPES .*\(TS2322\)\n[\s\S]*\n\n1 problem\n$/,
    );
  });
});
