import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { CommandIo } from "../../../core/cli/check.ts";
import { type PluginOptions, writePlugin, writeTypes } from "../../../core/cli/plugin.ts";
import { catalogue } from "../../../plugins/index.ts";
import { ROOT, run } from "../../support/pack.ts";
import { TempFolder } from "../config/temp-folder.ts";

let folder: TempFolder;
let io: CommandIo;
let said: { out: string; err: string };

beforeEach(() => {
  folder = new TempFolder();
  said = { out: "", err: "" };
  io = {
    cwd: folder.path,
    env: {},
    isTty: false,
    write: (text) => void (said.out += text),
    writeError: (text) => void (said.err += text),
  };
});
afterEach(() => folder.remove());

const types = (options: Partial<Parameters<typeof writeTypes>[0]> = {}): Promise<0 | 1> =>
  writeTypes({ file: undefined, ...options }, io);
const create = (name: string, options: Partial<PluginOptions> = {}): Promise<0 | 1> =>
  writePlugin({ file: undefined, ...options, name }, io, catalogue);
const read = (name: string): string => readFileSync(join(folder.path, name), "utf8");
const list = (name: string): string[] => readdirSync(join(folder.path, name)).sort();
/** What an editor would say of a folder. */
const edit = (name: string): ReturnType<typeof run> =>
  run(join(ROOT, "node_modules/.bin/tsc"), ["-p", join(folder.path, name), "--pretty", "false"], folder.path);
/** As `npm install` does. */
const install = (): void => {
  folder.write("node_modules/sluice/schemas/plugin.d.ts", readFileSync(join(ROOT, "schemas/plugin.d.ts")));
  folder.write("node_modules/sluice/package.json", readFileSync(join(ROOT, "package.json")));
};

const SOUND = { status: 0, stdout: "", stderr: "" };

describe("sluice plugin new", () => {
  it("writes a plugin and its test that have no errors in an editor, and says how to use it", async () => {
    expect(await create("greet")).toBe(0);
    expect(said).toEqual({
      err: "",
      out: `wrote  plugins/greet.ts
wrote  plugins/greet.test.ts
wrote  plugins/tsconfig.json
wrote  plugins/sluice-plugin.d.ts

Add it to the pipeline of a route:

    pipeline:
      - plugin: greet
        greeting: hello
`,
    });
    expect(list("plugins")).toEqual(["greet.test.ts", "greet.ts", "sluice-plugin.d.ts", "tsconfig.json"]);
    expect(await edit("plugins")).toEqual(SOUND);
    expect(read("plugins/greet.test.ts")).not.toContain("pluginsDir");
    folder.write("plugins/greet.ts", read("plugins/greet.ts").replace("ctx.options.greeting", "process.pid"));
    folder.write("plugins/greet.test.ts", read("plugins/greet.test.ts").replace("res.status", "res.state"));
    const { stdout } = await edit("plugins");
    expect(stdout).toContain("greet.ts(");
    expect(stdout).toContain("Cannot find name 'process'");
    expect(stdout).toContain("Property 'state' does not exist");
  });

  it("writes into the folder that the configuration says, broken as it may be", async () => {
    folder.write("conf/my.yaml", "pluginsDir: ../own\nnonsense: 1\n");
    expect(await create("greet", { file: "conf/my.yaml" })).toBe(0);
    expect(said.out).toContain("wrote  own/greet.ts\n");
    expect(read("own/greet.test.ts")).toContain('    pluginsDir: "../own",\n');
    folder.write("gateway.yaml", "include: [more.yaml]\n");
    folder.write("more.yaml", "pluginsDir: scripts\n");
    expect(await create("greet")).toBe(0);
    expect(existsSync(join(folder.path, "scripts/greet.ts"))).toBe(true);
  });

  it.each(["", ".", "a/b", "../up", "a b", "-x", "_x", "a.test", "x".repeat(101)])(
    "refuses the name %j and writes nothing",
    async (name) => {
      expect(await create(name)).toBe(1);
      expect(said.err).toMatch(
        /^A plugin cannot be called ".*": its name is made of letters, digits, `-` and `_`\n$/,
      );
      expect(readdirSync(folder.path)).toEqual([]);
    },
  );

  it("refuses the name of a built-in plugin", async () => {
    expect(await create("retry")).toBe(1);
    expect(said.err).toBe('There is a built-in plugin "retry"; choose another name\n');
  });

  it.each(["greet.ts", "greet.mjs", "greet.test.ts"])("does not touch %s that is there", async (name) => {
    folder.write(`plugins/${name}`, "mine");
    expect(await create("greet")).toBe(1);
    expect(said).toEqual({ out: "", err: `plugins/${name} is there already\n` });
    expect(list("plugins")).toEqual([name]);
    expect(read(`plugins/${name}`)).toBe("mine");
  });

  it("refuses a configuration that is not there", async () => {
    expect(await create("greet", { file: "nope.yaml" })).toBe(1);
    expect(said).toEqual({ out: "", err: "There is no nope.yaml\n" });
    expect(await types({ file: "nope.yaml" })).toBe(1);
    expect(readdirSync(folder.path)).toEqual([]);
  });
});

describe("sluice plugin types", () => {
  it("writes into the folder that is named, again and again", async () => {
    expect(await types({ folder: "mine" })).toBe(0);
    folder.write("mine/sluice-plugin.d.ts", "old");
    expect(await types({ folder: "mine" })).toBe(0);
    expect(read("mine/sluice-plugin.d.ts")).toBe(readFileSync(join(ROOT, "schemas/plugin.d.ts"), "utf8"));
    expect(said.out).toBe(`wrote  mine/tsconfig.json
wrote  mine/sluice-plugin.d.ts
kept   mine/tsconfig.json
wrote  mine/sluice-plugin.d.ts
`);
  });

  it("takes the types of the package where it is installed", async () => {
    install();
    expect(await create("greet")).toBe(0);
    expect(list("plugins")).toEqual(["greet.test.ts", "greet.ts", "tsconfig.json"]);
    expect(await edit("plugins")).toEqual(SOUND);
  });

  it("keeps a copy of the types fresh when the package is installed later, and both together have no errors", async () => {
    expect(await create("greet")).toBe(0);
    install();
    folder.write("plugins/sluice-plugin.d.ts", "old");
    expect(await types()).toBe(0);
    expect(await edit("plugins")).toEqual(SOUND);
    const project = JSON.parse(read("plugins/tsconfig.json")) as { compilerOptions: { types: string[] } };
    project.compilerOptions.types = ["sluice/types"];
    folder.write("plugins/tsconfig.json", JSON.stringify(project));
    expect(await edit("plugins")).toEqual(SOUND);
  });

  it("never overwrites a tsconfig.json, and writes the types for one that does not take the package's", async () => {
    install();
    folder.write("plugins/tsconfig.json", '{ "compilerOptions": { "strict": true } }');
    expect(await types()).toBe(0);
    expect(read("plugins/tsconfig.json")).toBe('{ "compilerOptions": { "strict": true } }');
    expect(list("plugins")).toEqual(["sluice-plugin.d.ts", "tsconfig.json"]);
  });

  it("gets along with the types of Node, for tests that want more of it", async () => {
    expect(await create("greet")).toBe(0);
    const project = JSON.parse(read("plugins/tsconfig.json")) as { compilerOptions: Record<string, unknown> };
    Object.assign(project.compilerOptions, {
      types: ["node"],
      typeRoots: [join(ROOT, "node_modules/@types")],
    });
    folder.write("plugins/tsconfig.json", JSON.stringify(project));
    expect(await edit("plugins")).toEqual(SOUND);
  });
});
