/** Turns ajv's errors into problems that people can act on: one for each mistake. */
import type { JsonSchema } from "../plugin.ts";
import type { ConfigCode } from "./codes.ts";
import { completion, nearest } from "./nearest.ts";
import { either, expected, found, isUnit, repair } from "./phrases.ts";
import { childPointer } from "../pointer.ts";
import type { Finding } from "./tree.ts";
import { createBranchValidator, type ErrorObject } from "./validate.ts";

/** What explaining needs to know of the configuration around. */
export interface Context {
  /** The schema that was checked against. */
  readonly root: JsonSchema;
  /** Pointer to the value that was checked. */
  readonly base: string;
  /** Keys of the value that was checked that the schema does not know but others do. */
  readonly alsoKnown?: readonly string[];
  /** True when the value at a pointer must not be repeated: a secret, or from the environment. */
  isHidden(pointer: string): boolean;
  /** Told of unknown keys that are probably a misspelt secret. */
  onSecret(pointer: string): void;
}

export function explainErrors(errors: readonly ErrorObject[], context: Context): Finding[] {
  const findings = errorsToFindings(errors, context);
  const id = (parent: string, key: string): string => JSON.stringify([parent, key]);
  const meant = new Set(
    findings.flatMap((f) =>
      f.suggestion !== undefined && f.atKey === true ? id(parentOf(f.pointer), f.suggestion) : [],
    ),
  );
  // A missing key that is there, misspelt, is one mistake.
  return findings.filter(({ missing, pointer }) => missing === undefined || !meant.has(id(pointer, missing)));
}

const parentOf = (pointer: string): string => pointer.slice(0, pointer.lastIndexOf("/"));

function errorsToFindings(errors: readonly ErrorObject[], context: Context): Finding[] {
  const left = [...errors];
  const findings: Finding[][] = [];
  // ajv lists the errors of branches before the error of the `anyOf` itself: from the end, the outermost comes first.
  for (let error = left.pop(); error !== undefined; error = left.pop()) {
    if (error.keyword === "anyOf" || error.keyword === "oneOf") {
      findings.push(explainBranches(error, left, context));
    } else if (error.propertyName === undefined && error.keyword !== "if") {
      findings.push([explainOne(error, context)]);
    }
  }
  return findings.reverse().flat();
}

interface Attempt {
  readonly schema: JsonSchema;
  readonly errors: readonly ErrorObject[];
}

/** Explains a failed `anyOf` by the branch that was probably meant. Takes the branches' errors out of `left`. */
function explainBranches(error: ErrorObject, left: ErrorObject[], context: Context): Finding[] {
  const data = error.data as unknown;
  const attempts: Attempt[] = (error.schema as JsonSchema[]).map((schema) => {
    const errors = createBranchValidator(schema, context.root)(structuredClone(data));
    return {
      schema,
      errors: errors.map((e) => ({ ...e, instancePath: error.instancePath + e.instancePath })),
    };
  });
  for (const { errors } of attempts) for (const branchError of errors) removeSame(left, branchError);
  const pointer = context.base + error.instancePath;
  const own = (e: ErrorObject): boolean => e.instancePath === error.instancePath;

  const passing = attempts.filter(({ errors }) => errors.length === 0);
  if (passing.length > 1) return [{ code: "CONFIG_VALUE", message: exclusive(passing), pointer }];
  const bare = bareKey(attempts, data);
  if (bare !== undefined) {
    const message = `"${bare}" has options that must be given: write { ${bare}: { … } }`;
    return [{ code: "CONFIG_VALUE", message, pointer }];
  }
  const typed = attempts.filter(({ errors }) => !errors.some((e) => e.keyword === "type" && own(e)));
  if (typed.length === 0)
    return [
      mismatch(
        attempts.map(({ schema }) => schema),
        error,
        context,
      ),
    ];
  if (typed.every(({ errors }) => errors.every((e) => e.keyword === "required" && own(e)))) {
    if (typed.length === 1) return errorsToFindings(typed[0]!.errors, context);
    const keys = typed.flatMap(({ errors }) => errors.map((e) => `"${e.params["missingProperty"]}"`));
    return [{ code: "CONFIG_MISSING_KEY", message: `One of ${either(keys)} must be there`, pointer }];
  }
  const word = notOneOf(
    typed.flatMap(({ schema }) => wordsOf(schema)),
    data,
    pointer,
    context,
  );
  const onlyWords = typed.every(({ errors }) =>
    errors.every((e) => (e.keyword === "enum" || e.keyword === "const") && own(e)),
  );
  if (onlyWords || word.suggestion !== undefined) return [word];
  const kind = wrongKind(typed, data, pointer, context);
  if (kind !== undefined) return [kind];
  const marked = typed.filter(
    ({ schema, errors }) => hasRequired(schema, data) && !errors.some((e) => e.keyword === "const"),
  );
  if (marked.length === 0 && typed.length > 1) {
    const unknown = unknownToAll(typed, error, context);
    if (unknown.length > 0) return unknown;
  }
  const [likely] = (marked.length > 0 ? marked : typed).sort((a, b) => misfit(a) - misfit(b));
  return errorsToFindings(likely!.errors, context);
}

/** The text, when it is the one key of a form that is a map: `jwt` where `{ jwt: … }` is meant. */
function bareKey(forms: readonly Attempt[], data: unknown): string | undefined {
  return forms
    .map(({ schema }) => (schema["required"] as string[] | undefined) ?? [])
    .find((keys) => keys.length === 1 && keys[0] === data)?.[0];
}

/** The values that a form lists. */
function wordsOf(schema: JsonSchema): readonly unknown[] {
  if (Array.isArray(schema["enum"])) return schema["enum"];
  return "const" in schema ? [schema["const"]] : [];
}

/** Says which kinds there are, when forms are told apart by the value of a key and it has another. */
function wrongKind(
  forms: readonly Attempt[],
  data: unknown,
  pointer: string,
  context: Context,
): Finding | undefined {
  const constOf = ({ schema }: Attempt, key: string): unknown => {
    const property = schema.properties?.[key];
    return typeof property === "object" ? property["const"] : undefined;
  };
  for (const [key, value] of Object.entries(data ?? {})) {
    const kinds = forms.map((form) => constOf(form, key));
    if (kinds.includes(undefined) || kinds.includes(value)) continue;
    return notOneOf(kinds, value, childPointer(pointer, key), context);
  }
  return undefined;
}

/** True when the value has the keys that a form must have: that form is meant. */
function hasRequired({ required }: JsonSchema, data: unknown): boolean {
  if (typeof data !== "object" || data === null || !Array.isArray(required)) return false;
  return required.every((key) => Object.hasOwn(data, String(key)));
}

/** Keys that none of several forms has, explained with the keys of all of them. */
function unknownToAll(forms: readonly Attempt[], error: ErrorObject, context: Context): Finding[] {
  if (forms.some(({ schema }) => schema["additionalProperties"] !== false)) return [];
  const properties = Object.assign({}, ...forms.map(({ schema }) => schema.properties)) as object;
  return Object.keys(error.data as object)
    .filter((key) => !Object.hasOwn(properties, key))
    .map((additionalProperty) =>
      unknownKey({ ...error, params: { additionalProperty }, parentSchema: { properties } }, context),
    );
}

/** How badly a branch fits: a wrong discriminator says more than a missing key. */
function misfit({ errors }: Attempt): number {
  const weights: Record<string, number> = { const: 10, enum: 3, additionalProperties: 3, required: 2 };
  return errors.reduce((sum, { keyword }) => sum + (weights[keyword] ?? 1), 0);
}

function exclusive(passing: readonly Attempt[]): string {
  const keys = passing.flatMap(({ schema }) => (schema["required"] as string[] | undefined) ?? []);
  if (keys.length < 2) return "This fits several forms of which only one is allowed";
  return `Only one of ${either(keys.map((key) => `"${key}"`))} can be there`;
}

function removeSame(errors: ErrorObject[], wanted: ErrorObject): void {
  const params = JSON.stringify(wanted.params);
  const at = errors.findLastIndex(
    (e) =>
      e.keyword === wanted.keyword &&
      e.instancePath === wanted.instancePath &&
      JSON.stringify(e.params) === params,
  );
  if (at !== -1) errors.splice(at, 1);
}

function mismatch(schemas: readonly JsonSchema[], error: ErrorObject, context: Context): Finding {
  const pointer = context.base + error.instancePath;
  const words = error.parentSchema?.["x-expected"];
  const wanted = typeof words === "string" ? words : either(schemas.map(expected));
  const code: ConfigCode = schemas.every(isUnit) ? "CONFIG_UNIT" : "CONFIG_TYPE";
  const message = `Expected ${wanted}, found ${describe(error.data, pointer, context)}${quotesHint(schemas, error.data)}`;
  return { code, message, pointer };
}

/** Says when quotes are what is wrong. */
function quotesHint(schemas: readonly JsonSchema[], data: unknown): string {
  const types = schemas.flatMap((schema) => schema.type ?? []);
  const isPlainText = schemas.some(({ type, pattern }) => type === "string" && pattern === undefined);
  if (isPlainText && (typeof data === "number" || typeof data === "boolean")) return "; put it in quotes";
  if (typeof data !== "string") return "";
  const isNumber = types.includes("integer")
    ? /^-?\d+$/
    : types.includes("number")
      ? /^-?\d+(\.\d+)?$/
      : /^\b$/;
  const isBoolean = types.includes("boolean") && /^(true|false)$/.test(data);
  return isNumber.test(data) || isBoolean ? "; write it without quotes" : "";
}

function describe(value: unknown, pointer: string, context: Context): string {
  return found(value, !context.isHidden(pointer));
}

function notOneOf(values: readonly unknown[], data: unknown, pointer: string, context: Context): Finding {
  const wanted = either(values.map((value) => JSON.stringify(value)));
  const message = `Expected ${wanted}, found ${describe(data, pointer, context)}`;
  const texts = values.filter((value) => typeof value === "string");
  const near = typeof data === "string" && !context.isHidden(pointer) ? nearest(data, texts) : undefined;
  return { code: "CONFIG_VALUE", message, pointer, ...(near === undefined ? {} : { suggestion: near }) };
}

function unknownKey(error: ErrorObject, context: Context): Finding {
  const key = String(error.params["additionalProperty"]);
  const pointer = childPointer(context.base + error.instancePath, key);
  const properties = error.parentSchema?.["properties"] ?? {};
  const others = error.instancePath === "" ? (context.alsoKnown ?? []) : [];
  const known = [...Object.keys(properties), ...others];
  const free = known.filter((name) => !Object.hasOwn(error.data as object, name));
  const near = nearest(key, free) ?? nearest(key, known);
  const finding: Finding = {
    code: "CONFIG_UNKNOWN_KEY",
    message: `Unknown key "${key}"`,
    pointer,
    atKey: true,
  };
  if (key === "<<") return { ...finding, message: "YAML's merge key `<<` is not supported" };
  // A key that nobody can guess the meaning of may be a secret where others are.
  const meant = near === undefined ? Object.values(properties) : [properties[near]];
  if (meant.some((each) => each?.writeOnly === true)) context.onSecret(pointer);
  const suggestion = near ?? completion(key, free);
  if (suggestion !== undefined) return { ...finding, suggestion };
  if (known.length === 0 || known.length > 15) return finding;
  return { ...finding, message: `${finding.message}; known here: ${known.join(", ")}` };
}

/** Explains an error of any keyword but `anyOf` and `oneOf`. */
function explainOne(error: ErrorObject, context: Context): Finding {
  const { keyword, params, parentSchema = {} } = error;
  const data = error.data as unknown;
  const pointer = context.base + error.instancePath;
  const value = (message: string): Finding => ({ code: "CONFIG_VALUE", message, pointer });
  switch (keyword) {
    case "additionalProperties":
      return unknownKey(error, context);
    case "required": {
      const missing = String(params["missingProperty"]);
      return { code: "CONFIG_MISSING_KEY", message: `The key "${missing}" is missing`, pointer, missing };
    }
    case "type":
      return mismatch([parentSchema], error, context);
    case "enum":
      return notOneOf(params["allowedValues"], data, pointer, context);
    case "const":
      return notOneOf([params["allowedValue"]], data, pointer, context);
    case "pattern":
      return explainPattern(error, context);
    case "propertyNames": {
      const key = String(params["propertyName"]);
      const message = `The key "${key}" is not ${expected(error.schema as JsonSchema)}`;
      return { code: "CONFIG_PATTERN", message, pointer: childPointer(pointer, key), atKey: true };
    }
    case "minimum":
      return value(`Must be at least ${params["limit"]}`);
    case "maximum":
      return value(`Must be at most ${params["limit"]}`);
    case "exclusiveMinimum":
      return value(`Must be more than ${params["limit"]}`);
    case "exclusiveMaximum":
      return value(`Must be less than ${params["limit"]}`);
    case "multipleOf":
      return value(`Must be a multiple of ${params["multipleOf"]}`);
    case "minLength":
      return value(
        params["limit"] === 1 ? "Must not be empty" : `Must have at least ${params["limit"]} characters`,
      );
    case "maxLength":
      return value(`Must have at most ${params["limit"]} characters`);
    case "minItems":
      return value(
        params["limit"] === 1 ? "The list must not be empty" : `Must have at least ${params["limit"]} items`,
      );
    case "maxItems":
      return value(`Must have at most ${params["limit"]} items`);
    case "minProperties":
      return value(
        params["limit"] === 1 ? "The map must not be empty" : `Must have at least ${params["limit"]} keys`,
      );
    case "maxProperties":
      return value(`Must have at most ${params["limit"]} keys`);
    case "uniqueItems": {
      const [first, second] = [params["i"], params["j"]].sort((a, b) => a - b);
      const message = `The item is in the list twice, at positions ${first + 1} and ${second + 1}`;
      return { ...value(message), pointer: childPointer(pointer, second) };
    }
    case "dependencies":
    case "dependentRequired":
      return {
        code: "CONFIG_MISSING_KEY",
        message: `"${params["property"]}" needs "${params["missingProperty"]}" beside it`,
        pointer: childPointer(pointer, String(params["property"])),
        atKey: true,
      };
    case "not": {
      const keys = (error.schema as JsonSchema)["required"] as string[] | undefined;
      if (keys === undefined) return value("This value is not allowed here");
      return value(`${keys.map((key) => `"${key}"`).join(" and ")} cannot be there together`);
    }
    default:
      return value(`The value ${error.message ?? "is not allowed here"}`);
  }
}

function explainPattern(error: ErrorObject, context: Context): Finding {
  const pointer = context.base + error.instancePath;
  const schema = error.parentSchema as JsonSchema;
  const text = String(error.data);
  const hidden = context.isHidden(pointer);
  const pattern = String(error.params["pattern"]);
  const known = isUnit(schema) || schema["x-expected"] !== undefined;
  const wanted = known ? expected(schema) : `text that matches ${pattern}`;
  const message = `Expected ${wanted}, found ${found(text, !hidden)}`;
  const code: ConfigCode = isUnit(schema) ? "CONFIG_UNIT" : "CONFIG_PATTERN";
  const suggestion = hidden ? undefined : repair(text, pattern);
  return { code, message, pointer, ...(suggestion === undefined ? {} : { suggestion }) };
}
