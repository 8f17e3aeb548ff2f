import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Ajv } from "ajv";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { findStale, renderSchemas, writeSchemas } from "../../../core/cli/write-schemas.ts";
import type { JsonSchema } from "../../../core/plugin.ts";
import { catalogue } from "../../../plugins/index.ts";
import { fakeCatalogue } from "../config/fake-plugins.ts";

const ROOT = resolve(import.meta.dirname, "../../..");

/** Reads a published schema as an editor would. */
function editor(schemas: ReadonlyMap<string, string>): (value: unknown) => string[] {
  const validate = new Ajv({ strict: false, allErrors: true }).compile(
    JSON.parse(schemas.get("gateway.json")!),
  );
  return (value) =>
    validate(value) ? [] : (validate.errors ?? []).map((e) => `${e.instancePath} ${e.message}`);
}

function configFiles(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory())
      return existsSync(join(path, "gateway.yaml")) ? [join(path, "gateway.yaml")] : [];
    return /\.(yaml|json)$/.test(entry.name) && !entry.name.endsWith(".checked.json") ? [path] : [];
  });
}

const smallest = (stage: object): object => ({
  apiVersion: "sluice/v1",
  listeners: [{ address: "127.0.0.1:8080" }],
  routes: [{ name: "home", match: {}, pipeline: [stage] }],
});

describe("published schemas", () => {
  const check = editor(renderSchemas(fakeCatalogue));

  for (const path of configFiles(join(ROOT, "test/fixtures/config/accepted"))) {
    if (path.includes("include")) continue; // editors see one file of several
    it(`accept ${path.slice(ROOT.length + 1)}`, () => {
      expect(check(parse(readFileSync(path, "utf8")))).toEqual([]);
    });
  }

  for (const path of configFiles(join(ROOT, "examples"))) {
    it(`accept ${path.slice(ROOT.length + 1)}`, () => {
      expect(editor(renderSchemas(catalogue))(parse(readFileSync(path, "utf8")))).toEqual([]);
    });
  }

  it("flag a key that a known plugin does not have", () => {
    expect(check(smallest({ plugin: "stamp", txt: "a" }))).toContain(
      "/routes/0/pipeline/0 must NOT have additional properties",
    );
  });

  it("flag an option of the wrong type and let a reference stand for it", () => {
    expect(check(smallest({ plugin: "stamp", count: "three" }))).not.toEqual([]);
    expect(check(smallest({ plugin: "stamp", mode: "slow" }))).not.toEqual([]);
    expect(check(smallest({ plugin: "stamp", delay: "soon" }))).not.toEqual([]);
    const references = { count: "${env:A}", loud: "${env:B}", mode: "${file:c}", delay: "${env:D}s" };
    expect(check(smallest({ plugin: "stamp", ...references }))).toEqual([]);
  });

  it("accept plugins that they do not know", () => {
    expect(check(smallest({ plugin: "greet", greeting: "hello" }))).toEqual([]);
  });

  it("accept limits and grants on scripts only", () => {
    const keys = { limits: { cpu: "20ms" }, grants: { fetch: ["a.example"], secrets: { A: "${env:A}" } } };
    expect(check(smallest({ plugin: "greet", ...keys }))).toEqual([]);
    expect(check(smallest({ plugin: "script", file: "a.ts", ...keys }))).toEqual([]);
    expect(check(smallest({ plugin: "stamp", ...keys }))).not.toEqual([]);
    expect(check(smallest({ plugin: "greet", limits: { cpu: 20 } }))).not.toEqual([]);
  });

  it("flag a stage that is neither a plugin nor a use, and a use with options", () => {
    expect(check(smallest({ text: "a" }))).not.toEqual([]);
    expect(check(smallest({ use: "public@^1", when: { method: "GET" } }))).toEqual([]);
    expect(check(smallest({ use: "public", text: "a" }))).not.toEqual([]);
  });

  it("offer the name and the description of each plugin", () => {
    const schema = JSON.parse(renderSchemas(fakeCatalogue).get("gateway.json")!) as {
      definitions: {
        stage: { properties: { plugin: { anyOf: [{ enum: string[]; enumDescriptions: string[] }] } } };
      };
    };
    const [{ enum: names, enumDescriptions }] = schema.definitions.stage.properties.plugin.anyOf;
    expect(names).toEqual([...fakeCatalogue.keys()].sort());
    expect(names).toContain("stamp");
    expect(enumDescriptions).toHaveLength(names.length);
  });

  it("keep the definitions of plugins apart", () => {
    const schema: JsonSchema = {
      type: "object",
      properties: { inner: { $ref: "#/definitions/stage", description: "Own." } },
      definitions: { stage: { type: "string" } },
      additionalProperties: false,
    };
    const own = editor(
      renderSchemas(new Map([["own", { name: "own", schema, build: () => (next) => next }]])),
    );
    expect(own(smallest({ plugin: "own", inner: "text" }))).toEqual([]);
    expect(own(smallest({ plugin: "own", inner: {} }))).not.toEqual([]);
  });

  for (const [path, text] of renderSchemas(catalogue)) {
    it(`describe every property in ${path}`, () => {
      expect(undescribed(JSON.parse(text) as JsonSchema)).toEqual([]);
    });
  }

  it("end in a newline and are the same each time", () => {
    expect(renderSchemas(catalogue)).toEqual(renderSchemas(catalogue));
    for (const text of renderSchemas(catalogue).values()) expect(text.endsWith("}\n")).toBe(true);
  });
});

/** Paths of properties without a description, their own or that of what they refer to. */
function undescribed(root: JsonSchema): string[] {
  const definitions = (root["definitions"] ?? {}) as Record<string, JsonSchema>;
  const missing: string[] = [];
  const visit = (schema: unknown, path: string, conditional: boolean): void => {
    if (typeof schema !== "object" || schema === null) return;
    if (Array.isArray(schema)) {
      for (const [i, item] of schema.entries()) visit(item, `${path}/${i}`, conditional);
      return;
    }
    for (const [name, property] of Object.entries((schema as JsonSchema).properties ?? {})) {
      if (typeof property !== "object" || conditional) continue;
      const target = String(property["$ref"] ?? "").replace("#/definitions/", "");
      if (!property.description && !definitions[target]?.description) missing.push(`${path}/${name}`);
    }
    for (const [keyword, value] of Object.entries(schema))
      visit(value, `${path}/${keyword}`, keyword === "if");
  };
  visit(root, "", false);
  return missing;
}

describe("writing schemas", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "sluice-schemas-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it("names files that are missing, stale or should not be there, and mends them", () => {
    const files = renderSchemas(fakeCatalogue);
    expect(findStale(folder, files)).toEqual([...files.keys()].sort());
    writeSchemas(folder, files);
    expect(findStale(folder, files)).toEqual([]);
    writeFileSync(join(folder, "plugins/stamp.json"), "{}\n");
    writeFileSync(join(folder, "plugins/gone.json"), "{}\n");
    expect(findStale(folder, files)).toEqual(["plugins/gone.json", "plugins/stamp.json"]);
    writeSchemas(folder, files);
    expect(findStale(folder, files)).toEqual([]);
  });
});
