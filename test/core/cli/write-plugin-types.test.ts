import { expect, it } from "vitest";
import { renderPluginTypes } from "../../../core/cli/write-plugin-types.ts";

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
