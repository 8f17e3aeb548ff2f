/**
 * Defaults inside `anyOf` and `oneOf`: ajv ignores them, because it cannot know which branch will hold. Here they
 * are left out of what ajv checks, and filled in afterwards by the first branch that the value is valid for.
 */
import type { JsonSchema } from "../plugin.ts";
import { resolveRef } from "./walk-schema.ts";

const BRANCHES = ["anyOf", "oneOf"] as const;
/** Keywords that hold one schema, and schemas by name. */
const ONE = ["items", "additionalProperties"] as const;
const MAPS = ["properties", "definitions"] as const;

const isSchema = (value: unknown): value is JsonSchema =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** True when a branch somewhere in the schema has defaults. */
export function findBranchDefaults(schema: JsonSchema, inBranch = false): boolean {
  if (inBranch && "default" in schema) return true;
  const branches = BRANCHES.flatMap((keyword) => (schema[keyword] as unknown[] | undefined) ?? []);
  return (
    branches.some((branch) => isSchema(branch) && findBranchDefaults(branch, true)) ||
    ONE.some((keyword) => isSchema(schema[keyword]) && findBranchDefaults(schema[keyword], inBranch)) ||
    MAPS.some((keyword) =>
      Object.values((schema[keyword] as object | undefined) ?? {}).some(
        (inner) => isSchema(inner) && findBranchDefaults(inner, inBranch),
      ),
    )
  );
}

/** The same schema without the defaults that ajv would not let pass. */
export function withoutBranchDefaults(schema: JsonSchema, inBranch = false): JsonSchema {
  const copy: Record<string, unknown> = { ...schema };
  if (inBranch) delete copy["default"];
  const strip = (inner: unknown, isBranch: boolean): unknown =>
    isSchema(inner) ? withoutBranchDefaults(inner, isBranch) : inner;
  for (const keyword of BRANCHES) {
    const list = copy[keyword];
    if (Array.isArray(list)) copy[keyword] = list.map((branch) => strip(branch, true));
  }
  for (const keyword of ONE) if (keyword in copy) copy[keyword] = strip(copy[keyword], inBranch);
  for (const keyword of MAPS) {
    const map = copy[keyword];
    if (!isSchema(map)) continue;
    copy[keyword] = Object.fromEntries(
      Object.entries(map).map(([name, inner]) => [name, strip(inner, inBranch)]),
    );
  }
  return copy;
}

/** Compiles a branch whose references point into `root`; what it gives fills in defaults and lists errors. */
export type CompileBranch = (branch: JsonSchema, root: JsonSchema) => (value: unknown) => readonly unknown[];

/** Fills in the defaults of the branches that the value, or what is in it, is valid for. */
export function fillDefaults(
  schema: JsonSchema,
  value: unknown,
  root: JsonSchema,
  compileBranch: CompileBranch,
): void {
  if (typeof value !== "object" || value === null) return;
  if (typeof schema["$ref"] === "string") {
    const target = resolveRef(schema["$ref"], root);
    if (isSchema(target)) fillDefaults(target, value, root, compileBranch);
  }
  for (const keyword of BRANCHES) {
    for (const branch of (schema[keyword] as JsonSchema[] | undefined) ?? []) {
      const validate = compileBranch(branch, root);
      if (validate(structuredClone(value)).length > 0) continue;
      validate(value);
      break;
    }
  }
  const { properties = {}, items, additionalProperties } = schema;
  if (Array.isArray(value)) {
    if (isSchema(items)) for (const item of value) fillDefaults(items, item, root, compileBranch);
    return;
  }
  for (const [key, inner] of Object.entries(value)) {
    const own = Object.hasOwn(properties, key) ? properties[key] : additionalProperties;
    if (isSchema(own)) fillDefaults(own, inner, root, compileBranch);
  }
}
