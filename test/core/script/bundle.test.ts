import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { SourceMap } from "node:module";
import vm from "node:vm";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { BundleError, type Bundled, Bundler, type BundleOptions } from "../../../core/script/bundle.ts";
import { TempFolder } from "../config/temp-folder.ts";

const bundler = new Bundler();
let folder: TempFolder;
beforeEach(() => {
  folder = new TempFolder();
});
afterEach(() => folder.remove());
afterAll(() => bundler.close());

const bundle = (file: string, options: Partial<BundleOptions> = {}): Promise<Bundled> =>
  bundler.bundle({ file }, { baseDir: folder.path, packages: [], ...options });

/** What a script exports by default. */
function run({ code }: Bundled): unknown {
  return (vm.runInNewContext(code) as { default: unknown }).default;
}

/** Problems, each as `file:line:column code message`, the part that is meant, and what is looked for again. */
async function refuse(promise: Promise<unknown>): Promise<{ problems: string[]; inputs: readonly string[] }> {
  const error = await promise.then(
    () => new Error("it was bundled"),
    (reason: unknown) => reason,
  );
  if (!(error instanceof BundleError)) throw error;
  const problems = error.problems.map(({ code, message, hint, place }) => {
    if (place === undefined) return `${code} ${message}`;
    const { line, column } = place.source.position(place.start);
    const name = place.source.path.replace(`${folder.path}/`, "");
    const meant = place.source.text.slice(place.start, place.end);
    return `${name}:${line}:${column} [${meant}] ${code} ${message}${hint === undefined ? "" : `; ${hint}`}`;
  });
  return { problems, inputs: error.inputs };
}

describe("a bundle", () => {
  it("is one script that evaluates to what the file exports", async () => {
    const file = folder.write(
      "a.ts",
      "export const named: number = 1;\nexport default { hook: (x: number) => x + named };",
    );
    const { code } = await bundle(file);
    const exported = vm.runInNewContext(code) as { named: number; default: { hook(x: number): number } };
    expect(exported.named).toBe(1);
    expect(exported.default.hook(2)).toBe(3);
  });

  it("is strict, as modules are", async () => {
    const file = folder.write("a.ts", "export default (function (this: unknown) { return this; })();");
    expect(run(await bundle(file))).toBeUndefined();
  });

  it("leaves nothing in the global scope", async () => {
    const context = vm.createContext({});
    vm.runInContext(
      (await bundle(folder.write("a.ts", "const secret = 1; export default secret;"))).code,
      context,
    );
    expect(Object.getOwnPropertyNames(context)).toEqual([]);
  });

  it("has what the file imports: TypeScript, JavaScript, JSON, with and without extension", async () => {
    folder.write("lib/ts.ts", "export const a: string = 'ts';");
    folder.write("lib/as-js.ts", "export const b = 'as-js' as const;");
    folder.write("lib/js.mjs", "export const c = 'mjs';");
    folder.write("lib/index.ts", "export const d = 'index';");
    folder.write("data.json", '{ "e": "json" }');
    folder.write("common.cjs", "exports.f = 'cjs';");
    const file = folder.write(
      "plugins/a.ts",
      `import { a } from "../lib/ts";
       import { b } from "../lib/as-js.js";
       import { c } from "../lib/js.mjs";
       import { d } from "../lib";
       import data from "../data.json";
       import { f } from "../common.cjs";
       import { definePlugin, type Request } from "sluice/plugin";
       export default definePlugin([a, b, c, d, data.e, f] as never);`,
    );
    const bundled = await bundle(file);
    expect(run(bundled)).toEqual(["ts", "as-js", "mjs", "index", "json", "cjs"]);
    const read = [
      "plugins/a.ts",
      "lib/ts.ts",
      "lib/as-js.ts",
      "lib/js.mjs",
      "lib/index.ts",
      "data.json",
      "common.cjs",
    ];
    expect(bundled.inputs).toEqual(expect.arrayContaining(read.map((name) => `${folder.path}/${name}`)));
    // What would come before a file that was found is looked for again.
    expect(bundled.inputs).toContain(`${folder.path}/lib/as-js.js`);
    expect(bundled.inputs).toContain(`${folder.path}/lib.ts`);
  });

  it("refuses files that are not below the folder of the configuration, or of a script beside it", async () => {
    folder.write("secret.json", '{ "a": 1 }');
    const inside = folder.write("conf/plugins/a.ts", 'import a from "../../secret.json";\nexport default a;');
    const { problems } = await refuse(bundle(inside, { baseDir: `${folder.path}/conf` }));
    expect(problems).toEqual([
      'conf/plugins/a.ts:1:15 ["../../secret.json"] CONFIG_SCRIPT_IMPORT A script cannot import files that are not below the folder of the configuration',
    ]);
    const beside = folder.write("other/a.ts", 'import a from "./lib/../../secret.json";\nexport default a;');
    expect((await refuse(bundle(beside, { baseDir: `${folder.path}/conf` }))).problems[0]).toContain(
      "A script cannot import files that are not below its own folder",
    );
  });

  it("refuses what is no file, without waiting for it", async () => {
    execFileSync("mkfifo", [`${folder.path}/a.ts`]);
    const { problems } = await refuse(bundle(`${folder.path}/a.ts`));
    expect(problems).toEqual(["CONFIG_SCRIPT_IMPORT It is not a file"]);
  });

  it("takes files with a byte order mark and Windows line ends", async () => {
    const file = folder.write("a.ts", "\ufeffconst a = 1;\r\nexport default a;\r\n");
    expect(run(await bundle(file))).toBe(1);
  });

  it("allows imports in a circle", async () => {
    folder.write("b.ts", 'import { a } from "./a.ts";\nexport const b = () => a;');
    const file = folder.write(
      "a.ts",
      'import { b } from "./b.ts";\nexport const a = 5;\nexport default b();',
    );
    expect(run(await bundle(file))).toBe(5);
  });

  it("has a map to the lines of the author's files, named from the base folder", async () => {
    folder.write(
      "with space/helper.ts",
      "type T = 1;\n\nexport function fail(): never {\n  throw new Error('x');\n}",
    );
    const file = folder.write(
      "a.ts",
      'import { fail } from "./with space/helper.ts";\nexport default () => fail();',
    );
    const { code, map } = await bundle(file);
    const parsed = JSON.parse(map) as ConstructorParameters<typeof SourceMap>[0];
    expect(parsed.sources).toEqual(["a.ts", "with space/helper.ts"]);
    expect(parsed.sourcesContent[0]).toContain("export default () => fail();");
    const lines = code.split("\n");
    const row = lines.findIndex((line) => line.includes("throw new"));
    const found = new SourceMap(parsed).findEntry(row, lines[row]!.indexOf("throw"));
    expect(found).toMatchObject({
      originalSource: "with space/helper.ts",
      originalLine: 3,
      originalColumn: 2,
    });
  });

  it("does not read a tsconfig", async () => {
    folder.write("tsconfig.json", "this is not JSON");
    expect(run(await bundle(folder.write("a.ts", "export default 1;")))).toBe(1);
  });

  it("can be of a text, which imports from the base folder", async () => {
    folder.write("lib.ts", "export const a: number = 7;");
    const entry = {
      source: 'import { a } from "./lib";\nexport default a as number;',
      name: "greet.inline",
    };
    const bundled = await bundler.bundle(entry, { baseDir: folder.path, packages: [] });
    expect(run(bundled)).toBe(7);
    expect(JSON.parse(bundled.map).sources).toEqual(["greet.inline", "lib.ts"]);
    expect(bundled.inputs).not.toContain(`${folder.path}/greet.inline`);
  });
});

describe("packages", () => {
  const install = (name: string, main: object, files: Record<string, string>): void => {
    folder.write(`node_modules/${name}/package.json`, JSON.stringify({ name, ...main }));
    for (const [file, text] of Object.entries(files)) folder.write(`node_modules/${name}/${file}`, text);
  };

  it("are imported from node_modules when they are listed, with what they import themselves", async () => {
    install("other", { main: "index.js" }, { "index.js": "module.exports = 2;" });
    install(
      "@scope/one",
      { module: "m.js" },
      { "m.js": 'import two from "other"; export const one = two - 1;' },
    );
    const file = folder.write("plugins/a.ts", 'import { one } from "@scope/one";\nexport default one;');
    const bundled = await bundle(file, { packages: ["@scope/one"] });
    expect(run(bundled)).toBe(1);
    expect(bundled.inputs).toContain(`${folder.path}/node_modules/other/index.js`);
  });

  it("are refused when they are not listed, whether they are there or not", async () => {
    install("other", { main: "index.js" }, { "index.js": "" });
    const file = folder.write("a.ts", 'import "other";\nimport "@scope/one/part";\nimport "#sub";');
    expect((await refuse(bundle(file, { packages: ["@scope"] }))).problems).toEqual([
      'a.ts:1:8 ["other"] CONFIG_SCRIPT_IMPORT The package "other" is not one that scripts may import; add it to `pluginPackages`',
      'a.ts:2:8 ["@scope/one/part"] CONFIG_SCRIPT_IMPORT The package "@scope/one" is not one that scripts may import; add it to `pluginPackages`',
      'a.ts:3:8 ["#sub"] CONFIG_SCRIPT_IMPORT The package "#sub" is not one that scripts may import; add it to `pluginPackages`',
    ]);
  });

  it("that are listed and missing are waited for", async () => {
    const { problems, inputs } = await refuse(
      bundle(folder.write("plugins/a.ts", 'import "other";'), { packages: ["other"] }),
    );
    expect(problems).toEqual([
      'plugins/a.ts:1:8 ["other"] CONFIG_SCRIPT_IMPORT The package "other" cannot be found; install it in a `node_modules` folder beside or above the script',
    ]);
    expect(inputs).toContain(`${folder.path}/node_modules/other`);
  });

  it("get no modules of Node, but what they bring for browsers instead", async () => {
    install(
      "both",
      { main: "index.js", browser: { fs: false, "./node.js": "./web.js" } },
      {
        "index.js":
          'const fs = require("fs"); module.exports = [typeof fs.readFileSync, require("./node.js")];',
        "node.js": 'module.exports = require("os").arch();',
        "web.js": 'module.exports = "web";',
      },
    );
    const file = folder.write("a.ts", 'import both from "both";\nexport default both;');
    expect(run(await bundle(file, { packages: ["both"] }))).toEqual(["undefined", "web"]);
    install("node-only", { main: "index.js" }, { "index.js": 'require("node:os");' });
    const other = folder.write("b.ts", 'import "node-only";');
    expect((await refuse(bundle(other, { packages: ["node-only"] }))).problems).toEqual([
      expect.stringMatching(
        /^node_modules\/node-only\/index.js:1:9 \["node:os"\] CONFIG_SCRIPT_IMPORT .*module of Node/,
      ),
    ]);
  });

  it("of the name of a module of Node can be listed", async () => {
    install("punycode", { main: "index.js" }, { "index.js": "module.exports = 'mine';" });
    const file = folder.write("a.ts", 'import p from "punycode";\nexport default p;');
    expect(run(await bundle(file, { packages: ["punycode"] }))).toBe("mine");
  });
});

describe("what is refused", () => {
  it.each([
    ['import "node:fs";', '1:8 ["node:fs"] CONFIG_SCRIPT_IMPORT "node:fs" is a module of Node'],
    [
      'const é = require("fs/promises");',
      '1:19 ["fs/promises"] CONFIG_SCRIPT_IMPORT "fs/promises" is a module',
    ],
    [
      'export * from "https://example.com/a.js";',
      '1:15 ["https://example.com/a.js"] CONFIG_SCRIPT_IMPORT A script',
    ],
    [
      'import "data:text/javascript,1";',
      '1:8 ["data:text/javascript,1"] CONFIG_SCRIPT_IMPORT A script cannot',
    ],
    [
      'import "//example.com/a.js";',
      '1:8 ["//example.com/a.js"] CONFIG_SCRIPT_IMPORT A script cannot import',
    ],
    ['import "/etc/passwd";', '1:8 ["/etc/passwd"] CONFIG_SCRIPT_IMPORT Imports of files begin'],
    ['import "./addon.node";', '1:8 ["./addon.node"] CONFIG_SCRIPT_IMPORT A script can import TypeScript'],
    [
      'import "./none.ts";',
      '1:8 ["./none.ts"] CONFIG_SCRIPT_IMPORT There is no file "./none.ts"; looked for none.ts',
    ],
    [
      "export const f = () => import('./b.ts');",
      "1:31 ['./b.ts'] CONFIG_SCRIPT_IMPORT A script cannot import while",
    ],
    [
      "export const f = (x) => import(x);",
      "1:25 [import] CONFIG_SCRIPT_IMPORT A script can only import what",
    ],
    [
      "export const f = (x) => require(x);",
      "1:25 [require] CONFIG_SCRIPT_IMPORT A script can only import what",
    ],
    ["await 1;\nexport {};", "1:1 [await] CONFIG_SCRIPT A script cannot `await` at its top level"],
    ["export default {", "1:17 [] CONFIG_SCRIPT Expected identifier but found end"],
    [
      'import { x } from "./b.ts";\nexport default x;',
      '1:10 [x] CONFIG_SCRIPT No matching export in "b.ts" for',
    ],
    ["enum A { B }\nexport default <div/>;", "2:"],
  ])("%j, with its place", async (text, problem) => {
    folder.write("b.ts", "export const y = 1;");
    folder.write("addon.node", "");
    const { problems } = await refuse(bundle(folder.write("a.ts", text)));
    expect(problems).toEqual([expect.stringContaining(`a.ts:${problem}`)]);
  });

  it("is all told at once, in the files where it is", async () => {
    folder.write("b.ts", "import 'os';\nimport './none';");
    const file = folder.write("a.ts", "import './b.ts';\nimport 'crypto';");
    const { problems, inputs } = await refuse(bundle(file));
    expect(problems.map((text) => text.split(" ")[0])).toEqual(["a.ts:2:8", "b.ts:1:8", "b.ts:2:8"]);
    expect(inputs).toContain(`${folder.path}/none.ts`);
  });

  it("is a file that is not there or too large", async () => {
    expect((await refuse(bundle(`${folder.path}/none.ts`))).problems).toEqual([
      "CONFIG_SCRIPT_IMPORT There is no such file",
    ]);
    const large = folder.write("large.json", Buffer.alloc(11 * 1024 * 1024, " "));
    const { problems } = await refuse(bundle(folder.write("a.ts", "import './large.json';")));
    expect(problems).toEqual([expect.stringContaining("The file is larger than 10 MB")]);
    expect(large).toBeTruthy();
  });
});

describe("esbuild's process", () => {
  it("ends when there was nothing to do for a while, and is started again", async () => {
    const file = folder.write("a.ts", "export default 1;");
    const { pid } = process;
    const children = () => readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").length - 1;
    await bundle(file);
    const before = children();
    const short = new Bundler(1);
    for (let i = 0; i < 2; i++) {
      await short.bundle({ file }, { baseDir: folder.path, packages: [] });
      await expect.poll(children).toBe(before - 1);
    }
  });

  it("ends when a bundler is closed, unless another one uses it", async () => {
    const file = folder.write("a.ts", "export default 1;");
    const running = bundle(file);
    await new Bundler().close();
    expect(run(await running)).toBe(1);
  });
});
