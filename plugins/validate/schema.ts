/**
 * The door to ajv for what clients send; it is loaded by stages that check requests and by nothing else. Schemas are
 * of draft 2020-12, or draft-07 where `$schema` says so. Checking takes bounded time whatever clients send: patterns
 * are matched in linear time, `uniqueItems` too, and all that is wrong is looked for in small values only.
 */
import { Ajv, type ErrorObject, type Options, type ValidateFunction } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import { ConfigError } from "../../core/plugin.ts";
import { childPointer } from "../../core/pointer.ts";
import { createFailure, type Failure, MAX_FAILURES } from "./failure.ts";
import { FORMATS } from "./formats.ts";
import { compileLinearRegex, OutOfSteps, type Steps } from "./linear-regex.ts";

/** Most steps that patterns may take for one value: a tenth of a second or two. */
const MAX_STEPS = 10_000_000;

/** Largest value, counted in values, of which all failures are looked for and not only the first. */
const MAX_SIZE_FOR_ALL = 1000;

/**
 * Checks a value; gives what is wrong with it, nothing when all is well.
 * @param size how many values there are in it, with those within
 */
export type Check = (value: unknown, size: number) => readonly Failure[];

/** Schemas that may refer to each other. */
export class Schemas {
  readonly #steps: Steps = { left: 0 };
  readonly #first: Ajv;
  readonly #all: Ajv;

  /**
   * @param document what schemas may refer to, as `#/…`; the schema itself when it is one
   * @param isLenient let keywords and formats pass that nobody knows, as OpenAPI has them
   */
  constructor(document: object, isLenient: boolean) {
    const { $schema = "https://json-schema.org/draft/2020-12/schema" } = document as { $schema?: unknown };
    const draft = /json-schema\.org\/(draft-07|draft\/2020-12)\/schema#?$/.exec(String($schema))?.[1];
    if (draft === undefined) throw new ConfigError("Schemas are of draft 2020-12 or draft-07", "/$schema");
    const create = draft === "draft-07" ? Ajv : Ajv2020;
    const options: Options = {
      strict: !isLenient,
      strictNumbers: true, // 1e999 is none
      strictTypes: false,
      strictRequired: false,
      strictTuples: false,
      allowUnionTypes: true,
      ownProperties: true,
      logger: false,
      validateSchema: !isLenient,
      formats: { ...FORMATS },
      code: { regExp: this.#regex(), optimize: false },
    };
    this.#first = new create(options) as Ajv;
    this.#all = new create({ ...options, allErrors: true }) as Ajv;
    for (const ajv of [this.#first, this.#all]) {
      for (const keyword of ["const", "enum", "uniqueItems"]) ajv.removeKeyword(keyword);
      ajv.addKeyword({
        keyword: "const",
        error: { message: "must be equal to constant" },
        compile: (only: unknown) => createEquality([only]),
        errors: false,
      });
      ajv.addKeyword({
        keyword: "enum",
        schemaType: "array",
        error: { message: "must be equal to one of the allowed values" },
        compile: createEquality,
        errors: false,
      });
      ajv.addKeyword({
        keyword: "uniqueItems",
        type: "array",
        schemaType: "boolean",
        error: { message: "must not have the same item twice" },
        validate: (isAsked: boolean, list: unknown[]) => !isAsked || hasUniqueItems(list),
        errors: false,
      });
      if (isLenient) ajv.addSchema(document, "document", undefined, false);
    }
  }

  /**
   * Compiles a schema. In it, `document#/…` refers to the document.
   * @throws ConfigError with `pointer`
   */
  compile(schema: object | boolean, part: Failure["in"], pointer: string): Check {
    let first: ValidateFunction;
    let all: ValidateFunction | undefined;
    try {
      first = this.#first.compile(schema);
    } catch (error) {
      throw new ConfigError(`The schema cannot be used: ${(error as Error).message}`, pointer);
    }
    return (value, size) => {
      this.#steps.left = MAX_STEPS;
      try {
        if (first(value)) return NONE;
        if (size > MAX_SIZE_FOR_ALL) return toFailures(first.errors, part);
        all ??= this.#all.compile(schema); // most are never asked for
        return toFailures(all(value) ? first.errors : all.errors, part);
      } catch (error) {
        if (!(error instanceof OutOfSteps)) throw error;
        return [createFailure(part, "", "takes too long to match the patterns of the schema")];
      }
    };
  }

  /** What ajv makes of patterns. */
  #regex(): NonNullable<NonNullable<Options["code"]>["regExp"]> {
    const compile = (source: string) => compileLinearRegex(source, this.#steps);
    return Object.assign(compile, { code: "compileLinearRegex" });
  }
}

const NONE: readonly Failure[] = [];

function toFailures(errors: readonly ErrorObject[] | null | undefined, part: Failure["in"]): Failure[] {
  return (errors ?? []).slice(0, MAX_FAILURES).map(({ instancePath, params, propertyName, message }) => {
    const { additionalProperty, unevaluatedProperty } = params as Record<string, unknown>;
    const key = additionalProperty ?? unevaluatedProperty ?? propertyName;
    const pointer = typeof key === "string" ? childPointer(instancePath, key) : instancePath;
    if (additionalProperty !== undefined || unevaluatedProperty !== undefined) {
      return createFailure(part, pointer, "is not known here");
    }
    return createFailure(part, pointer, message ?? "is not valid");
  });
}

/** By a set of what the items are: comparing each with each would take quadratic time. */
function hasUniqueItems(list: readonly unknown[]): boolean {
  const seen = new Set<string>();
  for (const item of list) {
    const text = canonical(item);
    if (seen.has(text)) return false;
    seen.add(text);
  }
  return true;
}

/** Whether a value is one of these. Ajv's own comparison calls `valueOf` of what clients send. */
function createEquality(values: readonly unknown[]): (value: unknown) => boolean {
  const texts = new Set(values.map(canonical));
  return (value) => texts.has(canonical(value));
}

/** The same text for equal values. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
