/** Words for values and what is expected of them. */
import type { JsonSchema } from "../plugin.ts";
import { UNITS } from "../units.ts";
import { maskUserinfo } from "./secrets.ts";

const KINDS: Record<string, string> = {
  string: "text",
  number: "a number",
  integer: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "a map",
  null: "nothing",
};

/** "a list, a map or text" */
export function either(words: readonly string[]): string {
  const unique = [...new Set(words)];
  if (unique.length < 2) return unique[0] ?? "";
  return `${unique.slice(0, -1).join(", ")} or ${unique.at(-1)}`;
}

/** What a schema expects, in words. */
export function expected(schema: JsonSchema): string {
  const { pattern } = schema;
  const words = schema["x-expected"];
  if (typeof words === "string") return words;
  for (const unit of Object.values(UNITS)) if (unit.pattern === pattern) return unit.expected;
  if (Array.isArray(schema["enum"])) return either(schema["enum"].map((value) => JSON.stringify(value)));
  if (schema["const"] !== undefined) return JSON.stringify(schema["const"]);
  const branches = (schema["anyOf"] ?? schema["oneOf"]) as readonly JsonSchema[] | undefined;
  if (branches !== undefined && schema.type === undefined) return either(branches.map(expected));
  return either([schema.type ?? []].flat().map((type) => KINDS[type] ?? type)) || "something else";
}

/** True when the schema is a text with a unit. */
export function isUnit(schema: JsonSchema): boolean {
  return Object.values(UNITS).some(({ pattern }) => pattern === schema["pattern"]);
}

/** What a value is, in words; the value itself only when it is short and may be shown. */
export function found(value: unknown, mayShow: boolean): string {
  if (value === null) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a map";
  const kind = typeof value === "string" ? "text" : typeof value === "number" ? "a number" : "true or false";
  if (!mayShow) return kind;
  const text = maskUserinfo(JSON.stringify(value));
  return text.length > 60
    ? kind
    : `${typeof value === "string" ? "the text" : typeof value === "number" ? "the number" : "the value"} ${text}`;
}

const UNIT_NAMES: Record<string, string> = {
  msec: "ms",
  msecs: "ms",
  millisecond: "ms",
  milliseconds: "ms",
  sec: "s",
  secs: "s",
  second: "s",
  seconds: "s",
  min: "m",
  mins: "m",
  minute: "m",
  minutes: "m",
  hr: "h",
  hrs: "h",
  hour: "h",
  hours: "h",
  day: "d",
  days: "d",
  b: "B",
  byte: "B",
  bytes: "B",
  k: "KB",
  kb: "KB",
  kib: "KB",
  m: "MB",
  mb: "MB",
  mib: "MB",
  g: "GB",
  gb: "GB",
  gib: "GB",
  percent: "%",
};

/** A near text that the pattern takes: a path with its slash, a method in capitals, a unit in its short form. */
export function repair(text: string, pattern: string): string | undefined {
  const unit = /^\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+|%)\s*$/.exec(text);
  const [, amount = "", name = ""] = unit ?? [];
  const candidates = [
    text.trim(),
    ...(unit === null
      ? []
      : [amount + name, amount + name.toLowerCase(), amount + (UNIT_NAMES[name.toLowerCase()] ?? name)]),
    text.toUpperCase(),
    text.toLowerCase(),
    `/${text}`,
    `${text}%`,
    text.trim().replace(/\s+/g, "-"),
  ];
  const regex = new RegExp(pattern, "u");
  return text.length > 100 || text.trim() === ""
    ? undefined
    : candidates.find((candidate) => regex.test(candidate));
}
