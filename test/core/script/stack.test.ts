import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runInThisContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { Bundler } from "../../../core/script/bundle.ts";
import { StackTeller } from "../../../core/script/stack.ts";

const bundle = async (files: Record<string, string>) => {
  const baseDir = await mkdtemp(join(tmpdir(), "sluice-"));
  const bundler = new Bundler();
  try {
    for (const [name, text] of Object.entries(files)) await writeFile(join(baseDir, name), text);
    return await bundler.bundle({ file: join(baseDir, "main.ts") }, { baseDir, packages: [] });
  } finally {
    bundler.close();
    await rm(baseDir, { recursive: true });
  }
};

describe("a stack", () => {
  it("is told in lines of the author's own files", async () => {
    const { code, map } = await bundle({
      "main.ts": `import { fail } from "./helper.ts";\n\nexport default { request(): void {\n  fail("x" as string);\n} };\n`,
      "helper.ts": `interface Unused { a: string }\nexport function fail(text: string): never {\n  throw new Error(text);\n}\n`,
    });
    const definition = runInThisContext(code, { filename: "main.ts" }) as { default: { request(): void } };
    let stack = "";
    try {
      definition.default.request();
    } catch (error) {
      stack = (error as Error).stack!;
    }
    const mapped = new StackTeller({ file: "main.ts", map }).tell(stack);
    expect(mapped.place).toEqual({ file: "helper.ts", line: 3, column: 9 });
    expect(mapped.text).toMatch(
      /^Error: x\n {4}at fail \(helper\.ts:3:9\)\n {4}at Object\.request \(main\.ts:4:3\)$/,
    );
  });

  it("keeps its message when there is no frame of the script in it", () => {
    const mapped = new StackTeller({ file: "main.ts", map: "{}" }).tell(
      "Error: a\n  b\n    at x (sluice:guest:1:2)",
    );
    expect(mapped).toEqual({ text: "Error: a\n  b", place: undefined });
    expect(new StackTeller({ file: "main.ts", map: "{}" }).tell("")).toEqual({ text: "", place: undefined });
  });

  it("is read as quickly when a script has made it up", () => {
    const teller = new StackTeller({ file: "main.ts", map: "{}" });
    const began = process.threadCpuUsage();
    for (const part of ["a (:1:1", " (", ":1", ":1:1", "(", "main.ts:1 ("]) {
      teller.tell(`    at ${part.repeat(8000 / part.length)}x`);
    }
    expect(process.threadCpuUsage(began).user).toBeLessThan(20_000);
  });
});
