/** Goes through a value and its schema side by side: for annotations such as `writeOnly` and `x-reference`. */
import type { JsonSchema } from "../plugin.ts";
import { childPointer } from "../pointer.ts";

/** Called for each value with every schema that could apply to it. */
export type Visit = (pointer: string, schema: JsonSchema, value: unknown) => void;

type Sub = JsonSchema | boolean | undefined;

/** Visits `value` and all in it that the schema knows. All branches of `anyOf` and the like are tried. */
export function walkSchema(schema: JsonSchema, value: unknown, visit: Visit, pointer = ""): void {
  walk(schema, value, visit, pointer, schema, 0);
}

function walk(
  schema: Sub,
  value: unknown,
  visit: Visit,
  pointer: string,
  root: JsonSchema,
  depth: number,
): void {
  if (typeof schema !== "object" || depth > 200) return;
  visit(pointer, schema, value);
  const go = (sub: Sub, inner: unknown = value, at = pointer): void =>
    walk(sub, inner, visit, at, root, depth + 1);
  for (const branch of branches(schema, root)) go(branch);
  if (Array.isArray(value)) {
    const { items } = schema;
    for (const [i, item] of value.entries()) {
      go((Array.isArray(items) ? items[i] : items) as Sub, item, childPointer(pointer, i));
    }
  } else if (typeof value === "object" && value !== null) {
    const properties = schema.properties ?? {};
    for (const [key, item] of Object.entries(value)) {
      const own = Object.hasOwn(properties, key) ? properties[key] : (schema["additionalProperties"] as Sub);
      go(own, item, childPointer(pointer, key));
    }
  }
}

/**
 * The texts in a value that stand for something of a kind, by `x-reference`, with pointers to them.
 * @param pointer to the value
 */
export function findReferences(
  kind: "upstream" | "store" | "consumer" | "key" | "own-path",
  schema: JsonSchema,
  value: unknown,
  pointer: string,
): [pointer: string, text: string][] {
  const found: [string, string][] = [];
  const visit: Visit = (at, annotated, text) => {
    if (annotated["x-reference"] === kind && typeof text === "string") found.push([at, text]);
  };
  walkSchema(schema, value, visit, pointer);
  return found;
}

/** Schemas that apply, or may apply, to the same value. */
function* branches(schema: JsonSchema, root: JsonSchema): Generator<Sub> {
  const { $ref } = schema;
  if (typeof $ref === "string") yield resolveRef($ref, root);
  for (const keyword of ["anyOf", "oneOf", "allOf"]) {
    const list = schema[keyword];
    if (Array.isArray(list)) yield* list as Sub[];
  }
  for (const keyword of ["then", "else"]) yield schema[keyword] as Sub;
}

/** The schema that a reference means: the root, or one of its definitions. */
export function resolveRef($ref: string, root: JsonSchema): Sub {
  if ($ref === "#") return root;
  const name = /^#\/definitions\/([^/]+)$/.exec($ref)?.[1];
  return name === undefined ? undefined : (root["definitions"] as Record<string, JsonSchema>)?.[name];
}

/** Names of all properties, at any depth, that carry `writeOnly: true`. */
export function secretNames(schema: JsonSchema): Set<string> {
  const names = new Set<string>();
  const look = (part: unknown): void => {
    if (typeof part !== "object" || part === null) return;
    if (!Array.isArray(part)) {
      for (const [name, property] of Object.entries((part as JsonSchema).properties ?? {})) {
        if (typeof property === "object" && property["writeOnly"] === true) names.add(name);
      }
    }
    for (const inner of Object.values(part)) look(inner);
  };
  look(schema);
  return names;
}
