/** No file, however broken, makes the loader do anything but load it or explain what is wrong. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { CONFIG_CODES } from "../../../core/config/codes.ts";
import { ConfigLoadError, loadConfig } from "../../../core/config/load.ts";
import { renderDiagnostic } from "../../../core/config/render.ts";
import { ENV, fakeCatalogue } from "./fake-plugins.ts";
import { TempFolder } from "./temp-folder.ts";

const FIXTURES = resolve(import.meta.dirname, "../../fixtures/config/accepted");
const VALID = ["everything.yaml", "interpolated.yaml", "pipelines-in-pipelines.yaml", "anchors.yaml"].map(
  (name) => readFileSync(`${FIXTURES}/${name}`, "utf8"),
);
const PIECES = [
  "\n",
  " ",
  "  ",
  "\t",
  ":",
  ": ",
  "- ",
  "-",
  "[",
  "]",
  "{",
  "}",
  ",",
  "#",
  "&a ",
  "*a",
  "!x ",
  "|\n",
  ">-\n",
  "'",
  '"',
  "---\n",
  "...\n",
  "%YAML 1.1\n",
  "? ",
  "<<: *base",
  "${",
  "${env:PORT}",
  "${file:gateway.yaml}",
  "$${",
  "null",
  "~",
  "1e999",
  "0x1f",
  ".nan",
  "true",
  "__proto__: 1",
  "constructor: {}",
  "\0",
  "\ufeff",
  "\u2028",
  "\ud800",
  "日本",
  "\r",
  "plugin",
  "use: public",
  "include: [gateway.yaml]",
  "routes:",
  "upstreams: {}",
  "hunter2-literal",
]; // every piece of syntax that matters here

const folder = new TempFolder();
afterAll(() => folder.remove());

async function loadAny(name: string, content: string | Buffer): Promise<void> {
  const path = folder.write(name, content);
  try {
    const loaded = await loadConfig(path, { catalogue: fakeCatalogue, env: ENV });
    JSON.stringify([loaded.effective(), loaded.written()]);
  } catch (error) {
    if (!(error instanceof ConfigLoadError)) throw error;
    expect(error.diagnostics.length).toBeGreaterThan(0);
    const lines = content.toString().split(/\r\n|\r|\n/);
    for (const diagnostic of error.diagnostics) {
      expect(Object.keys(CONFIG_CODES)).toContain(diagnostic.code);
      expect(renderDiagnostic(diagnostic, { cwd: folder.path, colour: false })).not.toContain(
        "hunter2-from-env",
      );
      const { line, column, endColumn } = diagnostic;
      if (diagnostic.code === "CONFIG_UNREADABLE" && line === undefined) continue;
      expect(line, JSON.stringify(diagnostic)).toBeGreaterThanOrEqual(1);
      expect(line).toBeLessThanOrEqual(lines.length);
      expect(column).toBeGreaterThanOrEqual(1);
      expect(column).toBeLessThanOrEqual(lines[line! - 1]!.length + 1);
      expect(endColumn).toBeGreaterThan(column!);
    }
  }
}

describe("the loader", () => {
  it("explains any bytes", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), (bytes) =>
        loadAny("bytes.yaml", Buffer.from(bytes)),
      ),
      { numRuns: 300 },
    );
  });

  it("explains any text made of pieces of YAML", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(...PIECES), { maxLength: 40 }), (pieces) =>
        loadAny("gateway.yaml", pieces.join("")),
      ),
      { numRuns: 500 },
    );
  });

  it("explains any mutation of a valid configuration", async () => {
    const edit = fc.record({
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      drop: fc.integer({ min: 0, max: 12 }),
      insert: fc.constantFrom("", ...PIECES),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...VALID),
        fc.array(edit, { minLength: 1, maxLength: 4 }),
        async (valid, edits) => {
          let text = valid;
          for (const { at, drop, insert } of edits) {
            const offset = Math.floor(at * text.length);
            text = text.slice(0, offset) + insert + text.slice(offset + drop);
          }
          await loadAny("gateway.yaml", text);
        },
      ),
      { numRuns: 500 },
    );
  });

  it("explains any value in any place", async () => {
    const key = fc.constantFrom(
      "apiVersion",
      "include",
      "listeners",
      "address",
      "admin",
      "token",
      "upstreams",
      "users",
      "targets",
      "url",
      "pipelines",
      "stages",
      "version",
      "routes",
      "name",
      "match",
      "path",
      "regex",
      "pipeline",
      "plugin",
      "use",
      "when",
      "not",
      "onError",
      "status",
      "upstream",
      "count",
      "keys",
      "x",
    );
    const leaf = fc.constantFrom<unknown>(
      "stamp",
      "respond",
      "public@^1",
      "users",
      "/",
      "(",
      "${env:COUNT}",
      1,
      -1,
      true,
      null,
      "",
      "http://x",
    );
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 5 },
        leaf,
        fc.array(tie("value"), { maxLength: 3 }),
        fc.dictionary(key, tie("value"), { maxKeys: 5 }),
      ),
    }));
    await fc.assert(
      fc.asyncProperty(value, (any) => loadAny("value.json", JSON.stringify(any, null, 1))),
      { numRuns: 500 },
    );
  });

  it.each([
    ["brackets", "[".repeat(100_000)],
    ["closed brackets", "[".repeat(5000) + "]".repeat(5000)],
    ["maps", "{a: ".repeat(20_000)],
    ["dashes", "- ".repeat(20_000)],
    ["keys", Array.from({ length: 50_000 }, (_, i) => `k${i % 25_000}: 1`).join("\n")],
    ["quotes", '"'.repeat(50_001)],
    ["references", `a: "${"${env:PORT}".repeat(20_000)}"`],
    ["anchors", Array.from({ length: 5000 }, (_, i) => `a${i}: &a${i} [*a${i - 1}, *a${i - 1}]`).join("\n")],
  ])("does not hang on very many %s", async (_what, text) => {
    await loadAny("gateway.yaml", text);
  });
});
