/** The declarations that editors get. What they say of scripts is told by the test of the type check. */
import { join } from "node:path";
import { expect, it } from "vitest";
import { renderPluginTypes } from "../../../core/cli/write-plugin-types.ts";
import { COMPILER_OPTIONS } from "../../../core/script/type-check.ts";
import { ROOT, run } from "../../support/pack.ts";
import { TempFolder } from "../config/temp-folder.ts";

const types = renderPluginTypes();

it("declares the modules that scripts and their tests import, and nothing that is not ambient", () => {
  const modules = [...types.matchAll(/^declare module "([^"]+)" \{$/gm)].map(([, name]) => name);
  expect(modules).toEqual(["sluice/plugin", "sluice/test", "node:test", "node:assert/strict", "node:assert"]);
  expect(types).not.toMatch(/^(import|export)\b/m);
});

it("keeps what is said of the types, and says nothing of how they are checked here", () => {
  expect(types).toContain(
    "/** The stage's options, checked against the schema, defaults filled in. Frozen. */",
  );
  expect(types).not.toContain("biome");
});

it("has no errors, alone and with nothing but the language", async () => {
  const folder = new TempFolder();
  try {
    folder.write("plugin.d.ts", types);
    const compilerOptions = { ...COMPILER_OPTIONS, skipLibCheck: false, types: [] };
    folder.write("tsconfig.json", JSON.stringify({ compilerOptions, files: ["plugin.d.ts"] }));
    const ended = await run(join(ROOT, "node_modules/.bin/tsc"), ["-p", folder.path], folder.path);
    expect(ended).toEqual({ status: 0, stdout: "", stderr: "" });
  } finally {
    folder.remove();
  }
});
