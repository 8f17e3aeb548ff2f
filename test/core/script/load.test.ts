import { renameSync, rmSync, utimesSync } from "node:fs";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { Bundler } from "../../../core/script/bundle.ts";
import { type LoadedScript, ScriptLoader, type ScriptRequest } from "../../../core/script/load.ts";
import { readManifest } from "../../../core/script/manifest.ts";
import { TempFolder } from "../config/temp-folder.ts";

/** Counts what is made. */
class CountingBundler extends Bundler {
  count = 0;

  override bundle(...args: Parameters<Bundler["bundle"]>): ReturnType<Bundler["bundle"]> {
    this.count++;
    return super.bundle(...args);
  }
}

let folder: TempFolder;
let bundler: CountingBundler;
let described: string[];
let loader: ScriptLoader;
beforeEach(() => {
  folder = new TempFolder();
  bundler = new CountingBundler();
  described = [];
  loader = new ScriptLoader({
    bundler,
    describe(code, where) {
      described.push(where.file);
      return readManifest(code, where);
    },
  });
});
afterEach(() => folder.remove());
afterAll(() => loader.close());

const HOOK = "request() {}";
const OLD = new Date(Date.now() - 60_000);

/** Writes a file and makes it look as if that was long ago: what is young may be half-written. */
function write(name: string, text: string): string {
  const path = folder.write(name, text);
  utimesSync(path, OLD, OLD);
  return path;
}

/** Waits until what was written is old enough to be trusted. */
async function settle(): Promise<void> {
  const until = Date.now() + 30;
  await expect.poll(() => Date.now() > until, { interval: 5 }).toBe(true);
}

const plugin = (name: string): ScriptRequest => ({ name, entry: { file: `${folder.path}/${name}.ts` } });

function load(...requests: ScriptRequest[]): Promise<LoadedScript[]> {
  return loader.load(requests, { baseDir: folder.path, packages: [] });
}

async function versionOf(name: string): Promise<string> {
  const [{ bundle, problems } = { bundle: undefined, problems: [] }] = await load(plugin(name));
  if (bundle === undefined) throw new Error(problems[0]?.message);
  return bundle.version;
}

describe("a loaded script", () => {
  it("has its code, its map and what it says of itself", async () => {
    write("lib/greet.ts", `export default { schema: { type: "object" }, ${HOOK} };`);
    const [{ bundle, problems, inputs } = {}] = await load({ ...plugin("lib/greet"), name: "greet" });
    expect(problems).toEqual([]);
    expect(inputs).toEqual([`${folder.path}/lib/greet.ts`]);
    expect(bundle).toMatchObject({
      name: "greet",
      version: expect.stringMatching(/^[0-9a-f]{64}$/),
      file: "lib/greet.ts",
      manifest: { hooks: { request: true, response: false }, schema: { additionalProperties: false } },
    });
  });

  it("has another version for other code, another name and other lines, not for another comment", async () => {
    const text = `export default { ${HOOK} };`;
    write("a.ts", text);
    write("b.ts", text);
    const versions = [await versionOf("a"), await versionOf("b")];
    write("a.ts", `// moved\n${text}`);
    versions.push(await versionOf("a"));
    write("a.ts", `${text} // the same`);
    expect(await versionOf("a")).toBe(versions[0]);
    write("a.ts", `${text}\nexport const more = 1;`);
    versions.push(await versionOf("a"));
    expect(new Set(versions).size).toBe(4);
  });

  it("is made once for several stages", async () => {
    const entry = { source: `export default { ${HOOK} };`, name: "script.inline" };
    const [a, b] = await load({ name: "script", entry }, { name: "script", entry }, { name: "other", entry });
    expect(a?.bundle).toBe(b?.bundle);
    expect(bundler.count).toBe(2);
  });

  it("keeps the order of what was wanted, also with many", async () => {
    const names = Array.from({ length: 30 }, (_, i) => `s${i}`);
    for (const name of names) write(`${name}.ts`, `export default { ${HOOK} };`);
    const loaded = await load(...names.map(plugin));
    expect(loaded.map(({ bundle }) => bundle?.name)).toEqual(names);
  });
});

describe("a script that did not change", () => {
  beforeEach(async () => {
    write("lib.ts", "export const a = 1;");
    write("data.json", "{}");
    write(
      "a.ts",
      `import { a } from "./lib"; import "./data.json"; export const b = a; export default { ${HOOK} };`,
    );
    await settle();
    await versionOf("a");
    expect(bundler.count).toBe(1);
  });

  it("is not made again", async () => {
    const before = await versionOf("a");
    expect(await versionOf("a")).toBe(before);
    expect(bundler.count).toBe(1);
    expect(described).toEqual(["a.ts"]);
  });

  it.each(["a.ts", "lib.ts", "data.json"])("is made again when %s is written", async (name) => {
    folder.write(
      name,
      name === "a.ts" ? `export default { ${HOOK} };` : name === "lib.ts" ? "export const a = 2;" : "[1]",
    );
    await versionOf("a");
    expect(bundler.count).toBe(2);
  });

  it("is made again when a file appears that comes before one it imports", async () => {
    folder.write("lib/index.ts", "");
    await versionOf("a");
    expect(bundler.count).toBe(1);
    folder.write("lib.mts", "export const a = 3;");
    await versionOf("a");
    expect(bundler.count).toBe(1); // lib.ts comes first
    rmSync(`${folder.path}/lib.ts`);
    await versionOf("a");
    expect(bundler.count).toBe(2);
  });

  it("is made again when a file is replaced by another of the same size and time", async () => {
    renameSync(write("other", "export const a = 2;"), `${folder.path}/lib.ts`);
    await versionOf("a");
    expect(bundler.count).toBe(2);
  });

  it("is not asked what it is when it was only touched", async () => {
    write(
      "a.ts",
      `import { a } from "./lib"; import "./data.json"; export const b = a; export default { ${HOOK} };`,
    );
    await versionOf("a");
    expect(bundler.count).toBe(2);
    expect(described).toEqual(["a.ts"]);
  });

  it("is forgotten when a configuration does without it", async () => {
    await load();
    await versionOf("a");
    expect(bundler.count).toBe(2);
    expect(described).toEqual(["a.ts", "a.ts"]);
  });
});

describe("a script that is young", () => {
  it("is made again, because a write within the same tick cannot be seen", async () => {
    folder.write("a.ts", `export default { ${HOOK} };`);
    await versionOf("a");
    await versionOf("a");
    expect(bundler.count).toBe(2);
  });
});

describe("a script at fault", () => {
  /** `file:line:column [what is meant] message` of each problem. */
  async function problemsOf(text: string, name = "a"): Promise<string[]> {
    write(`${name}.ts`, text);
    const [{ bundle, problems } = { bundle: undefined, problems: [] }] = await load(plugin(name));
    expect(bundle).toBeUndefined();
    return problems.map(({ message, place }) => {
      if (place === undefined) return message;
      const { line, column } = place.source.position(place.start);
      const meant = place.source.text.slice(place.start, place.end);
      return `${place.source.path.replace(`${folder.path}/`, "")}:${line}:${column} [${meant}] ${message}`;
    });
  }

  it("is shown in the file that throws at its top level", async () => {
    write("lib.ts", "interface A { b: string }\nexport function f(): A {\n  return missing();\n}");
    expect(await problemsOf('import { f } from "./lib";\nf();\nexport default {};')).toEqual([
      expect.stringMatching(/^lib\.ts:3:3 \[return\] .*missing is not defined/),
    ]);
  });

  it("is told apart by the key that is wrong", async () => {
    expect(await problemsOf(`export default {\n  schema: { type: "array" },\n  ${HOOK} };`)).toEqual([
      expect.stringMatching(/^a\.ts:2:3 \[schema\] /),
    ]);
    expect(await problemsOf(`const body = { request: "xml" };\nexport default { body, ${HOOK} };`)).toEqual([
      expect.stringMatching(/^a\.ts:2:18 \[body\] /),
    ]);
  });

  it("has a schema that is a schema", async () => {
    const withSchema = (rest: string): string =>
      `export default { ${HOOK}, schema: { type: "object", ${rest} } };`;
    const at = "a.ts:1:32 [schema] ";
    expect(await problemsOf(withSchema("properties: { a: { type: 'text' } }"))).toEqual([
      expect.stringContaining(`${at}The schema is not valid: /properties/a/type must be`),
    ]);
    expect(await problemsOf(withSchema("properties: { a: { pattern: '(' } }"))).toEqual([
      expect.stringContaining(`${at}The schema is not valid: Invalid regular expression`),
    ]);
    expect(await problemsOf(withSchema("properties: { a: { $ref: '#/definitions/none' } }"))).toEqual([
      expect.stringContaining(`${at}The schema is not valid: can't resolve reference`),
    ]);
    for (const key of ["plugin", "use", "name", "when", "onError", "limits", "grants"]) {
      expect(await problemsOf(withSchema(`properties: { ${key}: {} }`))).toEqual([
        `${at}An option cannot be named \`${key}\`, which is a key of every stage`,
      ]);
    }
  });

  it("may have the schema of another, with the same $id", async () => {
    const text = `export default { ${HOOK}, schema: { $id: "mine", type: "object" } };`;
    write("a.ts", text);
    write("b.ts", text);
    const loaded = await load(plugin("a"), plugin("b"));
    expect(loaded.flatMap(({ problems }) => problems)).toEqual([]);
  });

  it("is made again each time, and does not touch the others", async () => {
    write("good.ts", `export default { ${HOOK} };`);
    write("bad.ts", "export default {");
    await settle();
    for (let i = 0; i < 2; i++) {
      const [good, bad] = await load(plugin("good"), plugin("bad"));
      expect(good?.bundle?.name).toBe("good");
      expect(bad?.problems).toHaveLength(1);
    }
    expect(bundler.count).toBe(3);
  });
});
