/** Header edits: remove, rename, set, add, in this order. Constants are checked here and cost no check later. */
import { compileHeaderName, compileHeaderValues, type Text } from "../../core/option-text.ts";
import type { Exchange, FromSchema, HeaderList, JsonSchema, Reply } from "../../core/plugin.ts";
import { childPointer } from "../../core/pointer.ts";
import type { Template } from "../../core/template.ts";

const texts = (description: string) =>
  ({
    type: "object",
    description,
    default: {},
    additionalProperties: {
      anyOf: [{ type: "string" }, { type: "array", items: { type: "string" }, minItems: 1 }],
    },
  }) as const;

/** Options of edits to a list of names with values: headers, query parameters. */
export const fieldsSchema = <const D extends string>(description: D) =>
  ({
    type: "object",
    description,
    properties: {
      remove: { type: "array", items: { type: "string" }, default: [], description: "Names to remove." },
      rename: {
        type: "object",
        default: {},
        additionalProperties: { type: "string", minLength: 1 },
        description:
          "New names by old ones. What had the new name before is removed, if the old one is there.",
      },
      set: texts("Values by name, templates or lists of them: replace what is there."),
      add: texts("Values by name, templates or lists of them: join what is there."),
    },
    additionalProperties: false,
  }) as const satisfies JsonSchema;

export type FieldEdits = FromSchema<ReturnType<typeof fieldsSchema>>;

export type HeaderEdit = (headers: HeaderList, x: Exchange, reply?: Reply) => void;

/**
 * Compiles header edits.
 * @param pointer where the options stand
 * @throws ConfigError for names and values that no header can have, and for headers that frame the message
 */
export function compileHeaderEdits(options: FieldEdits | undefined, pointer: string): HeaderEdit[] {
  if (options === undefined) return [];
  const nameAt = (part: string, name: string | number, text = name): string =>
    compileHeaderName(String(text), childPointer(`${pointer}/${part}`, name));
  const valuesAt = (part: string, name: string, values: string | readonly string[]): Text[] =>
    compileHeaderValues(values, childPointer(`${pointer}/${part}`, name));
  return [
    ...options.remove.map((text, i) => remove(nameAt("remove", i, text))),
    ...Object.entries(options.rename).map(([from, to]) =>
      rename(nameAt("rename", from), nameAt("rename", from, to)),
    ),
    ...Object.entries(options.set).map(([name, values]) =>
      set(nameAt("set", name), valuesAt("set", name, values)),
    ),
    ...Object.entries(options.add).map(([name, values]) =>
      add(nameAt("add", name), valuesAt("add", name, values)),
    ),
  ];
}

function remove(name: string): HeaderEdit {
  return (headers) => {
    headers.delete(name);
  };
}

function rename(from: string, to: string): HeaderEdit {
  return (headers) => headers.rename(from, to);
}

function set(name: string, values: Text[]): HeaderEdit {
  const [first] = values;
  if (values.length > 1) return setLines(name, values);
  if (typeof first === "string") return (headers) => headers.setChecked(name, first);
  return setVarying(name, first!);
}

function setVarying(name: string, template: Template): HeaderEdit {
  return (headers, x, reply) => {
    const value = template(x, reply);
    if (value !== undefined) headers.set(name, value);
  };
}

function setLines(name: string, texts: Text[]): HeaderEdit {
  return (headers, x, reply) => {
    const [first, ...rest] = renderAll(texts, x, reply);
    if (first === undefined) return;
    headers.set(name, first);
    for (const value of rest) headers.append(name, value);
  };
}

function add(name: string, texts: Text[]): HeaderEdit {
  return (headers, x, reply) => {
    for (const value of renderAll(texts, x, reply)) headers.append(name, value);
  };
}

/** What the texts say, without those whose only variable is absent. */
export function renderAll(texts: readonly Text[], x: Exchange, reply?: Reply): string[] {
  const values: string[] = [];
  for (const text of texts) {
    const value = typeof text === "string" ? text : text(x, reply);
    if (value !== undefined) values.push(value);
  }
  return values;
}
