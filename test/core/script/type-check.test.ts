import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { renderDiagnostic } from "../../../core/config/render.ts";
import { checkTypes } from "../../../core/script/type-check.ts";
import { TempFolder } from "../config/temp-folder.ts";

let folder: TempFolder;
beforeEach(() => {
  folder = new TempFolder();
});
afterEach(() => {
  vi.unstubAllEnvs();
  folder.remove();
});

/** Checks sources by name; gives what would be printed. */
async function check(sources: Record<string, string>, ...entries: string[]): Promise<string[]> {
  const paths = Object.entries(sources).map(([name, text]) => [name, folder.write(name, text)] as const);
  const files = paths.filter(([name]) => entries.length === 0 || entries.includes(name));
  const found = await checkTypes(files.map(([, path]) => path));
  return found.map((diagnostic) => renderDiagnostic(diagnostic, { cwd: folder.path, colour: false }));
}

const plugin = (body: string): string =>
  `import { definePlugin } from "sluice/plugin";\nexport default definePlugin(${body});\n`;

const GREET = plugin(`{
  schema: {
    type: "object",
    properties: { greeting: { type: "string", default: "hello" } },
    additionalProperties: false,
  },
  request(req, ctx) {
    req.headers.set("x-greeting", ctx.options.greeting);
    const url = new URL(req.url, "http://gateway");
    console.log(url.searchParams.get("a"), atob(btoa("b")), new TextEncoder().encode("c").length);
    console.info(new TextDecoder().decode(ctx.crypto.randomBytes(3)), new URLSearchParams("d=e").size);
  },
  response(res, ctx) {
    res.headers.append("x-served-by", ctx.options.greeting.toUpperCase());
  },
}`);

describe("checking types", () => {
  it("finds nothing in a sound script, in a folder with nothing else", async () => {
    expect(await check({ "greet.ts": GREET })).toEqual([]);
  });

  it("says where a type does not fit, in the user's own source", async () => {
    expect(
      await check({ "greet.ts": GREET.replace("ctx.options.greeting);", "ctx.options.greting);") }),
    ).toEqual([
      `greet.ts:9:47 error CONFIG_SCRIPT_TYPES  Property 'greting' does not exist on type '{ readonly greeting: string; }'. Did you mean 'greeting'? (TS2551)
    9 |     req.headers.set("x-greeting", ctx.options.greting);
      |                                               ^^^^^^^`,
    ]);
  });

  it("tells what follows from what in one line", async () => {
    const [text] = await check({ "a.ts": plugin("{ response: async () => ({ status: 1 }) }") });
    expect(text).toMatch(
      /^a\.ts:2:\d+ error CONFIG_SCRIPT_TYPES {2}Type .*not assignable.*\. Type .* \(TS\d+\)\n/,
    );
  });

  it("knows nothing of Node and of browsers, whatever is installed", async () => {
    folder.write("node_modules/@types/node/index.d.ts", "declare var process: { exit(): void };");
    folder.write("node_modules/@types/node/package.json", '{ "name": "@types/node", "types": "index.d.ts" }');
    const found = await check({
      "a.ts": plugin(`{ request() { process.exit(); fetch("/"); setTimeout(() => {}, 1); document; } }`),
    });
    expect(found.map((text) => /Cannot find name '(\w+)'/.exec(text)?.[1])).toEqual([
      "process",
      "fetch",
      "setTimeout",
      "document",
    ]);
  });

  it("follows imports of files, of JSON and of packages, and tells nothing of what is in packages", async () => {
    const pack = "node_modules/pack";
    folder.write(`${pack}/package.json`, '{ "name": "pack", "exports": "./index.ts" }');
    folder.write(`${pack}/index.ts`, 'export const size: number = "wrong here";\n');
    const sources = {
      "a.ts": `import { size } from "pack";
import { twice } from "./lib/twice.ts";
import data from "./data.json";
${plugin("{ request(req) { req.url = twice(data.path) + size; } }")}`,
      "data.json": '{ "path": 7 }',
      "lib/twice.ts": "export const twice = (text: string): string => text + texd;\n",
    };
    const [first, second, ...others] = await check(sources, "a.ts");
    expect(first).toMatch(/^a\.ts:5:\d+ .*'number' is not assignable to .*'string'/);
    expect(second).toMatch(/^lib\/twice\.ts:1:55 .*Cannot find name 'texd'/);
    expect(others).toEqual([]);
  });

  it("takes JavaScript as it is, and declarations beside the scripts", async () => {
    folder.write("node_modules/untyped/index.js", "export const size = 1;");
    folder.write("node_modules/untyped/package.json", '{ "name": "untyped", "exports": "./index.js" }');
    const sources = {
      "a.js": "export default { request(req) { req.nope(); } };\n",
      "b.ts": `import { size } from "untyped";\n${plugin("{ request() { size.toFixed(); } }")}`,
    };
    expect(await check(sources)).toEqual([expect.stringContaining("TS7016")]);
    const declared = {
      ...sources,
      "untyped.d.ts": 'declare module "untyped" { export const size: number; }\n',
    };
    expect(await check(declared)).toEqual([]);
  });

  it("does not care for the folder's own tsconfig.json and copy of the declarations", async () => {
    folder.write("tsconfig.json", '{ "compilerOptions": { "strict": false, "types": ["nothing"] } }');
    const stale = 'declare module "sluice/plugin" { export const definePlugin: number; }\n';
    folder.write(
      "node_modules/sluice/package.json",
      '{ "name": "sluice", "exports": { "./plugin": "./p.ts" } }',
    );
    folder.write("node_modules/sluice/p.ts", "export const definePlugin = 1;\n");
    folder.write("sluice-plugin.d.ts", stale);
    const [text, ...others] = await check({ "a.ts": `${GREET}export const f = (a) => a;\n` });
    expect(text).toContain("'a' implicitly has an 'any' type");
    expect(others).toEqual([]);
  });

  it("keeps scripts apart that have the same names in them", async () => {
    const text = 'const name: "a" = "a";\nexport default { request() { return name; } };\n';
    expect(await check({ "a.ts": text, "b.ts": text.replaceAll('"a"', '"b"') })).toEqual([]);
  });

  it("names a file that is not text", async () => {
    const path = folder.write("a.ts", Buffer.from("const a: string = 1; // \xff", "latin1"));
    const found = await checkTypes([path]);
    expect(found.map(({ code, file }) => [code, file])).toContainEqual(["CONFIG_SCRIPT_TYPES", path]);
  });

  it("says that the time was too short, and leaves nothing behind", async () => {
    vi.stubEnv("TMPDIR", folder.path);
    const found = await checkTypes([folder.write("a.ts", GREET)], { timeoutMs: 1 });
    expect(found).toEqual([
      {
        code: "CONFIG_SCRIPT_TYPES",
        message: "The types were not checked, for the compiler took longer than 0.001 s",
        pointer: "",
      },
    ]);
    expect(readdirSync(folder.path)).toEqual(["a.ts"]);
  });

  it("passes over what is no script or is not there, and does not start the compiler for nothing", async () => {
    const files = [
      folder.write("gateway.yaml", ""),
      folder.write("node_modules/a/a.ts", "?"),
      join(folder.path, "gone.ts"),
    ];
    expect(await checkTypes(files, { timeoutMs: 1 })).toEqual([]);
  });
});
