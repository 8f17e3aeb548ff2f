import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { CONFIG_CODES } from "../../../core/config/codes.ts";
import { ERRORS } from "../../../core/errors.ts";

const ROOT = resolve(import.meta.dirname, "../../..");
const docs = readFileSync(join(ROOT, "docs/errors.md"), "utf8");

describe("docs/errors.md", () => {
  it("documents every code of the configuration, and no other", () => {
    const documented = [...docs.matchAll(/^\| `(CONFIG_[A-Z_]+)` \| (.+?) \|/gm)].map(([, code, text]) => [
      code,
      text,
    ]);
    expect(Object.fromEntries(documented)).toEqual({ ...CONFIG_CODES });
    expect(documented).toHaveLength(Object.keys(CONFIG_CODES).length);
  });

  it("documents every code of a reply with its status, and no other", () => {
    const documented = [...docs.matchAll(/^\| `((?!CONFIG_)[A-Z_]+)` \| (\d{3}) \|/gm)].map(
      ([, code, status]) => [code, Number(status)],
    );
    const table = Object.entries(ERRORS).map(([code, { status }]) => [code, status]);
    expect(documented.sort()).toEqual(table.sort());
  });
});

describe("CONFIG_CODES", () => {
  it("holds every code that the code names, and each is named", () => {
    const named = new Set<string>();
    for (const folder of ["core", "plugins"]) {
      for (const file of readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })) {
        if (!file.endsWith(".ts") || file.endsWith("codes.ts")) continue;
        const text = readFileSync(join(ROOT, folder, file), "utf8");
        for (const [code] of text.matchAll(/CONFIG_[A-Z]+(_[A-Z]+)*/g)) named.add(code);
      }
    }
    for (const name of ["CONFIG_CODES"]) named.delete(name);
    expect([...named].sort()).toEqual(Object.keys(CONFIG_CODES).sort());
  });
});
