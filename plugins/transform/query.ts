/**
 * Query edits: remove, rename, set, add, in this order. Parameters that no edit names stay byte for byte and in
 * their places. Names are compared decoded (`+` is a space); what is written is percent-encoded.
 */
import { compileText, type Text } from "../../core/option-text.ts";
import type { Exchange } from "../../core/plugin.ts";
import { childPointer } from "../../core/pointer.ts";
import { type FieldEdits, renderAll } from "./headers.ts";

/** One `name=value` of a query. */
interface Parameter {
  /** Decoded. */
  readonly name: string;
  /** As it stands in the query. */
  readonly text: string;
}

type ParameterEdit = (parameters: Parameter[], x: Exchange) => Parameter[];

/** Gives the query, `?` included or empty, that a query becomes. */
export type QueryEdit = (search: string, x: Exchange) => string;

/** Compiles query edits; undefined when there are none. */
export function compileQueryEdit(options: FieldEdits | undefined, pointer: string): QueryEdit | undefined {
  if (options === undefined) return undefined;
  const edits: ParameterEdit[] = [];
  if (options.remove.length > 0) {
    const names = new Set(options.remove);
    edits.push((parameters) => {
      const kept = parameters.filter(({ name }) => !names.has(name));
      return kept.length === parameters.length ? parameters : kept;
    });
  }
  for (const [from, to] of Object.entries(options.rename)) edits.push(rename(from, to));
  for (const part of ["set", "add"] as const) {
    for (const [name, source] of Object.entries(options[part])) {
      const at = childPointer(`${pointer}/${part}`, name);
      const texts =
        typeof source === "string"
          ? [compileText(source, at)]
          : source.map((text, i) => compileText(text, childPointer(at, i)));
      edits.push(part === "set" ? set(name, texts) : add(name, texts));
    }
  }
  if (edits.length === 0) return undefined;
  return (search, x) => {
    const before = parseParameters(search);
    let parameters = before;
    for (const edit of edits) parameters = edit(parameters, x);
    if (parameters === before) return search;
    return parameters.length === 0 ? "" : `?${parameters.map(({ text }) => text).join("&")}`;
  };
}

function parseParameters(search: string): Parameter[] {
  if (search.length < 2) return [];
  return search
    .slice(1)
    .split("&")
    .map((text) => ({ name: decodeName(text), text }));
}

function decodeName(text: string): string {
  const end = text.indexOf("=");
  const name = end === -1 ? text : text.slice(0, end);
  if (!/[%+]/.test(name)) return name;
  return new URLSearchParams(`?${name}`).keys().next().value ?? "";
}

function create(name: string, value: string): Parameter {
  return { name, text: `${encodeURIComponent(name)}=${encodeURIComponent(value)}` };
}

function rename(from: string, to: string): ParameterEdit {
  const written = encodeURIComponent(to);
  return (parameters) => {
    if (from === to || !parameters.some(({ name }) => name === from)) return parameters;
    return parameters.flatMap((parameter) => {
      if (parameter.name === to) return [];
      if (parameter.name !== from) return [parameter];
      const end = parameter.text.indexOf("=");
      return [{ name: to, text: end === -1 ? written : written + parameter.text.slice(end) }];
    });
  };
}

function set(name: string, texts: readonly Text[]): ParameterEdit {
  return (parameters, x) => {
    const created = renderAll(texts, x).map((value) => create(name, value));
    if (created.length === 0) return parameters;
    const at = parameters.findIndex((parameter) => parameter.name === name);
    if (at === -1) return [...parameters, ...created];
    const rest = parameters.slice(at).filter((parameter) => parameter.name !== name);
    return [...parameters.slice(0, at), ...created, ...rest];
  };
}

function add(name: string, texts: readonly Text[]): ParameterEdit {
  return (parameters, x) => {
    const created = renderAll(texts, x).map((value) => create(name, value));
    return created.length === 0 ? parameters : [...parameters, ...created];
  };
}
