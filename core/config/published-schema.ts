/**
 * The schemas as editors read them. They differ from those that check: a stage knows the options of every
 * plugin, and wherever a value is checked, text with a reference such as `${env:NAME}` is taken as well.
 */
import type { Catalogue, JsonSchema } from "../plugin.ts";
import { limitSchemas, rateLimitSchema, routeRateLimitSchema } from "./rate-limits-schema.ts";
import { gatewaySchema, SCRIPT_KEYS, STAGE_KEYS } from "./schema.ts";

const REFERENCE = "\\$\\{(env|file):";

/** The schema of a whole configuration. */
export function publishGatewaySchema(catalogue: Catalogue): JsonSchema {
  const { definitions, ...root } = gatewaySchema as JsonSchema & { definitions: Record<string, JsonSchema> };
  const plugins = [...catalogue.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  const shared: Record<string, JsonSchema> = {};
  const branches = plugins.map(({ name, schema }) => {
    const { definitions: own, description: _, type: __, ...rest } = schema;
    for (const [key, definition] of Object.entries((own as Record<string, JsonSchema> | undefined) ?? {})) {
      shared[`${name}.${key}`] = relax(rename(definition, name));
    }
    const { properties, ...others } = relax(rename(rest, name));
    const foreign: readonly string[] = name === "script" ? ["use"] : ["use", ...SCRIPT_KEYS];
    const core = Object.fromEntries(
      STAGE_KEYS.filter((key) => !foreign.includes(key)).map((key) => [key, true]),
    );
    return {
      if: { properties: { plugin: { const: name } }, required: ["plugin"] },
      // biome-ignore lint/suspicious/noThenProperty: it is a keyword of JSON Schema
      then: { ...others, properties: { ...properties, ...core } },
    };
  });
  const { properties: core = {}, ...stage } = definitions["stage"]!;
  const use = {
    if: { required: ["use"] },
    // biome-ignore lint/suspicious/noThenProperty: it is a keyword of JSON Schema
    then: { properties: { use: true, when: true }, additionalProperties: false },
  };
  const plugin = {
    description: "Name of the plugin.",
    anyOf: [
      {
        enum: plugins.map(({ name }) => name),
        enumDescriptions: plugins.map(({ schema }) => schema.description ?? ""),
      },
      { type: "string", minLength: 1 },
    ],
  };
  const published: Record<string, JsonSchema> = {};
  for (const [name, definition] of Object.entries(definitions)) published[name] = relax(definition);
  published["stage"] = {
    ...stage,
    properties: { ...(relax({ properties: core }).properties ?? {}), plugin },
    anyOf: [{ required: ["plugin"] }, { required: ["use"] }],
    allOf: [use, ...branches],
  };
  const limit = catalogue.get("limit");
  if (limit !== undefined) Object.assign(published, publishLimits(limit.schema));
  return { ...relax(root), definitions: { ...published, ...shared } };
}

/** Limits that hold for all routes have the options of the plugin. */
function publishLimits(schema: JsonSchema): Record<string, JsonSchema> {
  const { whole, change } = limitSchemas(schema);
  const { description, anyOf } = routeRateLimitSchema;
  return {
    rateLimit: relax({ ...whole, description: rateLimitSchema.description }),
    routeRateLimit: { description, anyOf: [anyOf[0], relax(change)] },
  };
}

/** The schema of one plugin's options. */
export function publishPluginSchema(schema: JsonSchema): JsonSchema {
  return { $schema: "http://json-schema.org/draft-07/schema#", ...relax(schema) };
}

/** Moves references to a plugin's own definitions to where they are in the whole. */
function rename<T>(schema: T, plugin: string): T {
  const text = JSON.stringify(schema);
  return JSON.parse(text.replaceAll('"$ref":"#/definitions/', `"$ref":"#/definitions/${plugin}.`)) as T;
}

/** Lets references through, at any depth, and renames our own keywords to those of editors. */
function relax(schema: JsonSchema): JsonSchema {
  const { "x-expected": expected, "x-reference": _, ...rest } = schema;
  const relaxed: Record<string, unknown> = {};
  for (const [keyword, value] of Object.entries(rest)) relaxed[keyword] = relaxKeyword(keyword, value);
  if (typeof expected === "string") relaxed["patternErrorMessage"] = `Expected ${expected}`;
  return letReferences(relaxed);
}

/** Keywords that hold one schema, a list of schemas, or schemas by name. */
const ONE = new Set([
  "items",
  "additionalProperties",
  "not",
  "if",
  "then",
  "else",
  "contains",
  "propertyNames",
]);
const LISTS = new Set(["anyOf", "oneOf", "allOf"]);
const MAPS = new Set(["properties", "patternProperties", "definitions"]);

function relaxKeyword(keyword: string, value: unknown): unknown {
  const one = (sub: unknown): unknown => (isSchema(sub) ? relax(sub) : sub);
  if (LISTS.has(keyword) || (keyword === "items" && Array.isArray(value)))
    return (value as unknown[]).map(one);
  if (ONE.has(keyword))
    return keyword === "not" || keyword === "if" || keyword === "propertyNames" ? value : one(value);
  if (!MAPS.has(keyword)) return value;
  return Object.fromEntries(Object.entries(value as object).map(([name, sub]) => [name, one(sub)]));
}

const isSchema = (value: unknown): value is JsonSchema =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function letReferences(schema: Record<string, unknown>): JsonSchema {
  const { type, pattern, enum: values } = schema;
  const types = [type ?? []].flat() as string[];
  if (typeof pattern === "string" && types.includes("string")) {
    return { ...schema, pattern: `${pattern}|${REFERENCE}` };
  }
  if (Array.isArray(values) && (types.length === 0 || types.includes("string"))) {
    const { type: _, enum: __, ...others } = schema;
    return { ...others, anyOf: [{ enum: values }, { type: "string", pattern: REFERENCE }] };
  }
  if (types.some((name) => ["integer", "number", "boolean"].includes(name)) && !types.includes("string")) {
    return { ...schema, type: [...types, "string"], pattern: REFERENCE };
  }
  return schema;
}
