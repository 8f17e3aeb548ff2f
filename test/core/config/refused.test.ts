/**
 * Every file (or folder with a gateway.yaml) in test/fixtures/config/refused must be refused with exactly the
 * text in the .txt beside it. UPDATE_FIXTURES=1 writes the texts; read them before you commit.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { check } from "../../../core/cli/check.ts";
import { CONFIG_CODES } from "../../../core/config/codes.ts";
import { ENV, fakeCatalogue } from "./fake-plugins.ts";

const FOLDER = resolve(import.meta.dirname, "../../fixtures/config/refused");
const cases = readdirSync(FOLDER).filter((name) => !name.endsWith(".txt"));

describe("refused configurations", () => {
  for (const name of cases) {
    it(`explains ${name}`, async () => {
      const inFolder = existsSync(join(FOLDER, name, "gateway.yaml"));
      const golden = join(FOLDER, `${name.replace(/\.(ya?ml|json)$/, "")}.txt`);
      let text = "";
      const io = {
        cwd: inFolder ? join(FOLDER, name) : FOLDER,
        env: ENV,
        isTty: false,
        write: (part: string) => void (text += part),
        writeError: () => {},
      };
      const tools = { catalogue: fakeCatalogue, compile: async () => [] };
      const file = inFolder ? "gateway.yaml" : name;
      const status = await check({ file, format: "text" }, io, tools);
      expect(status, text).toBe(1);
      expect(text).not.toContain("hunter2");
      expect(text).not.toContain("do-not-show-this");
      if (process.env["UPDATE_FIXTURES"] === "1") writeFileSync(golden, text);
      expect(text).toBe(readFileSync(golden, "utf8"));
    });
  }

  it("has a golden text for each case and no other", () => {
    const goldens = readdirSync(FOLDER).filter((name) => name.endsWith(".txt"));
    expect(goldens.map((name) => name.replace(/\.txt$/, "")).sort()).toEqual(
      cases.map((name) => name.replace(/\.(ya?ml|json)$/, "")).sort(),
    );
    expect(cases.length).toBeGreaterThanOrEqual(60);
  });

  it("shows every code that loading can raise", () => {
    const texts = readdirSync(FOLDER)
      .filter((name) => name.endsWith(".txt"))
      .map((name) => readFileSync(join(FOLDER, name), "utf8"))
      .join("\n");
    const elsewhere = [
      "CONFIG_CERTIFICATE",
      "CONFIG_LISTEN",
      "CONFIG_NOT_FOUND",
      "CONFIG_OPTION_INVALID",
      "CONFIG_ROUTE_CONFLICT",
      "CONFIG_SCRIPT_TYPES",
      "CONFIG_UNRESOLVED",
    ];
    const missing = Object.keys(CONFIG_CODES).filter((code) => !texts.includes(` ${code} `));
    expect(missing.sort()).toEqual(elsewhere);
  });
});
