/** The only door to ajv: compiles a JSON Schema into a check that fills in defaults and lists every problem. */
import { Ajv, type ErrorObject, type Options, type ValidateFunction } from "ajv";
import type { JsonSchema } from "../plugin.ts";
import { fillDefaults, findBranchDefaults, withoutBranchDefaults } from "./branch-defaults.ts";

export type { ErrorObject };

/** A compiled schema. Calling it fills defaults into `value` and gives all errors, none when it is valid. */
export type Validator = (value: unknown) => ErrorObject[];

function createAjv(options: Options = {}): Ajv {
  const created = new Ajv({
    allErrors: true,
    useDefaults: true,
    coerceTypes: false,
    strict: true,
    strictTypes: false,
    strictRequired: false,
    allowUnionTypes: true,
    verbose: true,
    // Schemas are checked by `assertSchema`, once and not at each start; shorter code would not pay for making it.
    validateSchema: false,
    code: { optimize: false },
    ...options,
  });
  /** Says what a pattern stands for, for messages: "a path that starts with /". */
  created.addKeyword({ keyword: "x-expected", schemaType: "string" });
  /** What a text stands for, which other parts of the configuration must have. */
  created.addKeyword({
    keyword: "x-reference",
    schemaType: "string",
    metaSchema: { enum: ["upstream", "store", "consumer", "key", "own-path"] },
  });
  return created;
}

const ajv = createAjv();

/**
 * Checks that a schema is one. For those of others: a test does so for those that are built in.
 * @throws Error that says what is wrong with it
 */
export function assertSchema(schema: JsonSchema): void {
  void ajv.validateSchema(schema, true);
}

/** Who compiles schemas that come and go: ajv keeps what it has compiled. */
const owners = new WeakMap<object, Ajv>();

/**
 * Checks the schema of a script, and makes it one that is forgotten with the last reference to it.
 * @throws Error that says what is wrong with it
 */
export function adoptSchema(schema: JsonSchema): void {
  assertSchema(schema);
  owners.set(schema, createAjv({ meta: false }));
  createValidator(schema);
}

const compiled = new WeakMap<object, ValidateFunction>();

/** Compiles `schema`; the same schema object is compiled once. */
export function createValidator(schema: JsonSchema): Validator {
  return compile(schema, schema, schema);
}

/** Compiles one branch of an `anyOf` or `oneOf`, whose references point into `root`. */
export function createBranchValidator(branch: JsonSchema, root: JsonSchema): Validator {
  const { definitions } = root;
  return compile(branch, definitions === undefined ? branch : { ...branch, definitions }, root);
}

function compile(identity: JsonSchema, schema: JsonSchema, root: JsonSchema): Validator {
  const hasBranchDefaults = findBranchDefaults(schema);
  let validate = compiled.get(identity);
  if (validate === undefined) {
    validate = (owners.get(root) ?? ajv).compile(hasBranchDefaults ? withoutBranchDefaults(schema) : schema);
    compiled.set(identity, validate);
  }
  const check = validate;
  return (value) => {
    if (!check(value)) return (check.errors ?? []).slice();
    if (hasBranchDefaults) fillDefaults(schema, value, schema, createBranchValidator);
    return [];
  };
}
