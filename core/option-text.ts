/** Texts and header fields that operators write in options: checked and compiled once, in a plugin's build. */
import { ConfigError } from "./errors.ts";
import { isFraming, isHeaderName, isHeaderValue } from "./headers.ts";
import { childPointer } from "./pointer.ts";
import { compileTemplate, encodeHeader, type Template } from "./template.ts";

/** A constant, or a template when it has variables. */
export type Text = string | Template;

/**
 * Compiles a text, so that one without variables costs nothing per request.
 * @param pointer where the text stands in the options
 * @throws ConfigError as {@link compileTemplate}, at `pointer`
 */
export function compileText(source: string, pointer: string, encode?: (value: string) => string): Text {
  let template: Template;
  try {
    template = compileTemplate(source, encode);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError(error.problems.map((p) => ({ ...p, pointer })));
  }
  if (source.replaceAll("{{", "").includes("{")) return template;
  return source.replaceAll("{{", "{").replaceAll("}}", "}");
}

/**
 * Lower-cases a header name.
 * @throws ConfigError when it is not a token or frames the message
 */
export function compileHeaderName(name: string, pointer: string): string {
  const lower = name.toLowerCase();
  if (!isHeaderName(lower)) throw new ConfigError(`"${name}" is not a header name`, pointer);
  if (isFraming(lower)) {
    throw new ConfigError(`The gateway itself writes the header ${lower}; it cannot be changed`, pointer);
  }
  return lower;
}

/** Compiles the value of a header; what variables hold is percent-encoded where a header cannot carry it. */
export function compileHeaderValue(source: string, pointer: string): Text {
  if (!isHeaderValue(source)) {
    throw new ConfigError("A header value cannot have control or non-Latin-1 characters", pointer);
  }
  return compileText(source, pointer, encodeHeader);
}

/** Compiles a value or a list of values of one header. */
export function compileHeaderValues(source: string | readonly string[], pointer: string): Text[] {
  if (typeof source === "string") return [compileHeaderValue(source, pointer)];
  return source.map((value, i) => compileHeaderValue(value, childPointer(pointer, i)));
}

/** How values put into a body of a media type are escaped, so that they stay values. */
export function escapeFor(contentType: string | undefined): (value: string) => string {
  const [type = ""] = (contentType ?? "").toLowerCase().split(";");
  if (/[/+]json\s*$/.test(type)) return escapeJson;
  if (/[/+](html|xml)\s*$/.test(type)) return escapeMarkup;
  return String;
}

function escapeJson(value: string): string {
  return JSON.stringify(value).slice(1, -1);
}

const ENTITIES: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escapeMarkup(value: string): string {
  return value.replace(/[&<>"']/g, (c) => ENTITIES[c]!);
}
