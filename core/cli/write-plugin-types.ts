/**
 * Makes `schemas/plugin.d.ts`: what an editor and `sluice check` need to know of scripts and their tests, in one file
 * that needs no other. It is written by `npm run schemas`.
 */
import { readFileSync } from "node:fs";

const HEAD = `/**
 * Types of Sluice plugins: \`import { definePlugin } from "sluice/plugin"\`, tests of them, and what the sandbox has
 * beside ES2024. Made by Sluice; changes are lost.
 */
`;

/** What the sandbox has beside the language. */
const GLOBALS = `
interface URLSearchParams extends Iterable<[name: string, value: string]> {
  readonly size: number;
  append(name: string, value: string): void;
  delete(name: string, value?: string): void;
  get(name: string): string | null;
  getAll(name: string): string[];
  has(name: string, value?: string): boolean;
  set(name: string, value: string): void;
  sort(): void;
  toString(): string;
  forEach(callback: (value: string, name: string, searchParams: URLSearchParams) => void): void;
  entries(): IterableIterator<[name: string, value: string]>;
  keys(): IterableIterator<string>;
  values(): IterableIterator<string>;
}
declare var URLSearchParams: {
  prototype: URLSearchParams;
  new (init?: string | Iterable<readonly [string, string]> | { readonly [name: string]: string }): URLSearchParams;
};

interface URL {
  href: string;
  readonly origin: string;
  protocol: string;
  username: string;
  password: string;
  host: string;
  hostname: string;
  port: string;
  pathname: string;
  search: string;
  hash: string;
  readonly searchParams: URLSearchParams;
  toString(): string;
  toJSON(): string;
}
declare var URL: {
  prototype: URL;
  new (url: string | URL, base?: string | URL): URL;
  canParse(url: string | URL, base?: string | URL): boolean;
  parse(url: string | URL, base?: string | URL): URL | null;
};

interface TextEncoder {
  readonly encoding: string;
  /** The text as UTF-8. */
  encode(text?: string): Uint8Array;
}
declare var TextEncoder: { prototype: TextEncoder; new (): TextEncoder };

interface TextDecoder {
  readonly encoding: string;
  readonly fatal: boolean;
  readonly ignoreBOM: boolean;
  decode(bytes?: ArrayBuffer | ArrayBufferView): string;
}
declare var TextDecoder: {
  prototype: TextDecoder;
  /** @param label only UTF-8 */
  new (label?: string, options?: { readonly fatal?: boolean; readonly ignoreBOM?: boolean }): TextDecoder;
};

/** Bytes, each as a character, from base64. */
declare function atob(data: string): string;
/** Base64 of bytes, each given as a character. */
declare function btoa(data: string): string;

/** Writes lines into the gateway's log; \`log\` and \`info\` are the same. */
interface Console {
  log(...values: unknown[]): void;
  info(...values: unknown[]): void;
  warn(...values: unknown[]): void;
  error(...values: unknown[]): void;
  debug(...values: unknown[]): void;
}
declare var console: Console;
`;

/** What tests of scripts need of Node. With \`@types/node\` in \`types\` of the tsconfig.json there is more. */
const NODE = `
declare module "node:test" {
  type Run = () => void | Promise<void>;
  interface Test {
    (name: string, run: Run): Promise<void>;
    (name: string, options: { readonly timeout?: number; readonly skip?: boolean | string; readonly only?: boolean }, run: Run): Promise<void>;
  }
  export const test: Test;
  export const it: Test;
  export const describe: Test;
  export function before(run: Run): void;
  export function after(run: Run): void;
  export function beforeEach(run: Run): void;
  export function afterEach(run: Run): void;
  export default test;
}

declare module "node:assert/strict" {
  interface Assert {
    (value: unknown, message?: string): asserts value;
    ok(value: unknown, message?: string): asserts value;
    equal<T>(actual: unknown, expected: T, message?: string): asserts actual is T;
    notEqual(actual: unknown, expected: unknown, message?: string): void;
    deepEqual<T>(actual: unknown, expected: T, message?: string): asserts actual is T;
    notDeepEqual(actual: unknown, expected: unknown, message?: string): void;
    partialDeepStrictEqual(actual: unknown, expected: unknown, message?: string): void;
    match(text: string, pattern: RegExp, message?: string): void;
    doesNotMatch(text: string, pattern: RegExp, message?: string): void;
    throws(run: () => unknown, expected?: RegExp | object, message?: string): void;
    rejects(run: Promise<unknown> | (() => Promise<unknown>), expected?: RegExp | object, message?: string): Promise<void>;
    fail(message?: string): never;
  }
  const assert: Assert;
  export default assert;
}

declare module "node:assert" {
  export { default, default as strict } from "node:assert/strict";
}
`;

/** The file's text. */
export function renderPluginTypes(): string {
  const plugin = asModule("sluice/plugin", "plugin-api.ts", "export const definePlugin: DefinePlugin;");
  const test = asModule("sluice/test", "test-api.ts", "export const createTestGateway: CreateTestGateway;");
  return [HEAD, plugin, test, GLOBALS, NODE].join("");
}

/** A source of nothing but types as an ambient module. */
function asModule(name: string, file: string, value: string): string {
  const source = readFileSync(new URL(`../script/${file}`, import.meta.url), "utf8");
  const [, types = ""] = /^\/\*\*[\s\S]*?\*\/\n([\s\S]*)$/.exec(source) ?? [];
  const lines = types
    .replace(/\/\/ biome-ignore .*\n\s*/g, "")
    .trim()
    .split("\n");
  // With an export of nothing, only what says so is exported.
  return `\ndeclare module "${name}" {\n${indent([...lines, "", value, "export {};"])}}\n`;
}

const indent = (lines: string[]): string =>
  lines.map((line) => (line === "" ? "\n" : `  ${line}\n`)).join("");
