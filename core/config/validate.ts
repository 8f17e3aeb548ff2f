/** The only door to ajv: compiles a JSON Schema into a check that fills in defaults and lists every problem. */
import { Ajv, type ErrorObject, type ValidateFunction } from "ajv";
import type { JsonSchema } from "../plugin.ts";

export type { ErrorObject };

/** A compiled schema. Calling it fills defaults into `value` and gives all errors, none when it is valid. */
export type Validator = (value: unknown) => ErrorObject[];

const ajv = new Ajv({
  allErrors: true,
  useDefaults: true,
  coerceTypes: false,
  strict: true,
  strictTypes: false,
  strictRequired: false,
  allowUnionTypes: true,
  verbose: true,
});

const compiled = new WeakMap<object, ValidateFunction>();

/** Compiles `schema`; the same schema object is compiled once. */
export function createValidator(schema: JsonSchema): Validator {
  let validate = compiled.get(schema);
  if (validate === undefined) {
    validate = ajv.compile(schema);
    compiled.set(schema, validate);
  }
  const check = validate;
  return (value) => (check(value) ? [] : (check.errors ?? []).slice());
}
