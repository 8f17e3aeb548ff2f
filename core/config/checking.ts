/** What the steps of a check share: the configuration as written, and the problems found so far. */
import type { Catalogue, JsonSchema } from "../plugin.ts";
import { fillDefaults } from "./branch-defaults.ts";
import type { ConfigCode } from "./codes.ts";
import { explainErrors } from "./explain.ts";
import { nearest } from "./nearest.ts";
import { parsePointer } from "../pointer.ts";
import type { ConfigScripts } from "./scripts.ts";
import type { Secrets } from "./secrets.ts";
import { placeText } from "./source.ts";
import { type Finding, findNode, type MapNode } from "./tree.ts";
import { createBranchValidator, createValidator, type ErrorObject } from "./validate.ts";

export class Checking {
  readonly tree: MapNode;
  readonly catalogue: Catalogue;
  readonly secrets: Secrets;
  readonly findings: Finding[];
  readonly scripts: ConfigScripts;
  readonly #baseDir: string;
  /** Stores that stages may name. */
  stores: Record<string, unknown> = {};

  constructor(
    tree: MapNode,
    catalogue: Catalogue,
    scripts: ConfigScripts,
    secrets: Secrets,
    findings: Finding[],
    baseDir: string,
  ) {
    this.scripts = scripts;
    this.#baseDir = baseDir;
    this.tree = tree;
    this.catalogue = catalogue;
    this.secrets = secrets;
    this.findings = findings;
  }

  report(code: ConfigCode, message: string, pointer: string, more: Partial<Finding> = {}): void {
    this.findings.push({ code, message, pointer, ...more });
  }

  /** Reports a name that nothing has, with the nearest one that exists, or all when they are few, and a hint. */
  reportUnknown(
    code: ConfigCode,
    kind: string,
    name: string,
    pointer: string,
    known: Iterable<string>,
    hint = "",
  ): void {
    if (this.isHidden(pointer)) {
      this.report(code, `There is no ${kind} of this name`, pointer);
      return;
    }
    const names = [...known];
    const near = nearest(name, names);
    const message = `There is no ${kind} ${JSON.stringify(name)}`;
    const list = near === undefined && names.length > 0 && names.length <= 15;
    const all = list ? `; there ${names.length === 1 ? "is" : "are"} ${names.sort().join(", ")}` : "";
    this.report(
      code,
      near === undefined ? message + all + hint : message,
      pointer,
      near === undefined ? {} : { suggestion: near },
    );
  }

  /** True when the value at a pointer must not be repeated in a message. */
  isHidden(pointer: string): boolean {
    const { node } = findNode(this.tree, pointer);
    return (node.kind === "scalar" && node.written !== undefined) || this.secrets.isSecret(pointer);
  }

  /** A text for a message, in quotes; empty when it must not be repeated. */
  quote(text: string, pointer: string): string {
    return this.isHidden(pointer) || text.length > 100 ? "" : ` ${JSON.stringify(text)}`;
  }

  /** Where something is, for a message about something else. */
  placeOf(pointer: string): string {
    const { node, key } = findNode(this.tree, pointer);
    const place = key ?? node.place;
    return place === undefined ? pointer : placeText(place, this.#baseDir);
  }

  /**
   * Checks a value against a schema and fills in its defaults. Text that came from outside becomes a number
   * or a boolean where the schema asks for one.
   * @param alsoKnown keys that belong to others, to suggest for unknown ones
   * @returns true when the value is valid
   */
  applySchema(schema: JsonSchema, value: object, base: string, alsoKnown: readonly string[] = []): boolean {
    const validate = createValidator(schema);
    let errors = validate(value);
    for (let i = 0; i < 3 && errors.length > 0 && this.#convert(errors, value, base); i++) {
      errors = validate(value);
    }
    // What is right is built beside what is wrong, to find more.
    if (errors.length > 0) fillDefaults(schema, value, schema, createBranchValidator);
    this.secrets.learn(schema, value, base);
    const findings = explainErrors(errors, {
      root: schema,
      base,
      alsoKnown,
      isHidden: (pointer) => this.isHidden(pointer),
      onSecret: (pointer) => this.secrets.add(pointer),
    });
    this.findings.push(...findings);
    return errors.length === 0;
  }

  /** Converts interpolated texts that are of the wrong type. True when something changed. */
  #convert(errors: readonly ErrorObject[], value: object, base: string): boolean {
    let changed = false;
    for (const { keyword, data, instancePath, params } of errors) {
      if (keyword !== "type" || typeof data !== "string") continue;
      const { node, exact } = findNode(this.tree, base + instancePath);
      if (!exact || node.kind !== "scalar" || node.written === undefined) continue;
      const converted = convertText(data, [params["type"]].flat());
      if (converted === undefined) continue;
      setAt(value, instancePath, converted);
      changed = true;
    }
    return changed;
  }
}

function convertText(text: string, types: readonly string[]): number | boolean | undefined {
  if (types.includes("boolean") && /^(true|false)$/.test(text)) return text === "true";
  const isNumber = types.includes("number") && /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(text);
  return isNumber || (types.includes("integer") && /^-?\d+$/.test(text)) ? Number(text) : undefined;
}

function setAt(root: object, pointer: string, value: unknown): void {
  const keys = parsePointer(pointer);
  const last = keys.pop();
  let at: unknown = root;
  for (const key of keys) at = (at as Record<string, unknown>)[key];
  if (last !== undefined) (at as Record<string, unknown>)[last] = value;
}

/** A plain object, when the value is one; checks go on beside schema errors, so nothing is sure of its type. */
export function asRecord(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
}

/** A list, when the value is one. */
export function asList(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}
