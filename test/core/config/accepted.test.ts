/**
 * Every file (or folder with a gateway.yaml) in test/fixtures/config/accepted must load. Where there is a
 * NAME.checked.json it is what the configuration comes to; UPDATE_FIXTURES=1 writes those that exist.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { loadConfig } from "../../../core/config/load.ts";
import { ENV, fakeCatalogue } from "./fake-plugins.ts";

const FOLDER = resolve(import.meta.dirname, "../../fixtures/config/accepted");
const cases = readdirSync(FOLDER).filter((name) => !name.endsWith(".checked.json"));

describe("accepted configurations", () => {
  for (const name of cases) {
    it(`loads ${name}`, async () => {
      const inFolder = existsSync(join(FOLDER, name, "gateway.yaml"));
      const path = inFolder ? join(FOLDER, name, "gateway.yaml") : join(FOLDER, name);
      const { config, effective, written } = await loadConfig(path, { catalogue: fakeCatalogue, env: ENV });
      expect(config.hash).toMatch(/^[0-9a-f]{64}$/);
      expect(config.baseDir).toBe(inFolder ? join(FOLDER, name) : FOLDER);
      expect(JSON.stringify([effective(), written()])).not.toMatch(/topsecret|hunter2|from-file/);

      const golden = join(FOLDER, `${name.replace(/\.yaml$/, "").replace(".json", "-json")}.checked.json`);
      if (!existsSync(golden)) return;
      const { baseDir: _, hash: __, ...content } = config;
      const text = `${JSON.stringify(content, null, 2)}\n`;
      if (process.env["UPDATE_FIXTURES"] === "1") writeFileSync(golden, text);
      expect(text).toBe(readFileSync(golden, "utf8"));
    });
  }

  it("are many", () => {
    expect(cases.length).toBeGreaterThanOrEqual(12);
  });
});
