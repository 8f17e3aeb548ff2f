/** `URL` and `URLSearchParams` (WHATWG URL Standard): the parsing of URLs is the host's, the rest is done here. */
import type { Guest } from "./shape.ts";

export function guestUrl(g: Guest): void {
  const { parse, stringify } = JSON;

  const PLAIN = /^[A-Za-z0-9*\-._]*$/;
  /** Of a hexadecimal digit; far below 0 for anything else. */
  const digitOf = (code: number): number => {
    if (code >= 48 && code <= 57) return code - 48;
    const lower = code | 32;
    return lower >= 97 && lower <= 102 ? lower - 87 : -1000;
  };
  const decode = (text: string): string => {
    const plain = text.replaceAll("+", " ");
    if (!plain.includes("%")) return plain;
    const bytes = g.utf8Encode(plain);
    let n = 0;
    for (let i = 0; i < bytes.length; i++) {
      const isEscape = bytes[i] === 37 && i + 2 < bytes.length;
      const value = isEscape ? digitOf(bytes[i + 1]!) * 16 + digitOf(bytes[i + 2]!) : -1;
      if (value >= 0) i += 2;
      bytes[n++] = value >= 0 ? value : bytes[i]!;
    }
    return g.utf8Decode(bytes.subarray(0, n));
  };
  const encode = (text: string): string => (PLAIN.test(text) ? text : escapeAll(text));
  const escapeAll = (text: string): string =>
    g
      .toLatin1(g.utf8Encode(text))
      .replace(
        /[^A-Za-z0-9*\-._ ]/g,
        (c) => `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
      )
      .replaceAll(" ", "+");

  /** As the web takes texts: half a pair of surrogates is no character. */
  const textOf = (value: unknown): string => String(value).toWellFormed();

  const pairOf = (pair: unknown): [string, string] => {
    const both = [...(pair as Iterable<unknown>)];
    if (both.length !== 2) throw new TypeError("URLSearchParams takes pairs of a name and a value");
    return [textOf(both[0]), textOf(both[1])];
  };

  class URLSearchParams {
    #pairs: [string, string][] = [];
    #onChange: (() => void) | undefined;

    constructor(init: unknown = "") {
      if (typeof init !== "object" || init === null) this.#pairs = URLSearchParams.#parse(textOf(init));
      else if (Symbol.iterator in init) this.#pairs = [...(init as Iterable<unknown>)].map(pairOf);
      else for (const [name, value] of Object.entries(init)) this.set(name, value);
    }

    /** Params that say when they are changed. */
    static create(text: string, onChange: () => void): URLSearchParams {
      const params = new URLSearchParams(text);
      params.#onChange = onChange;
      return params;
    }
    static refill(params: URLSearchParams, text: string): void {
      params.#pairs = URLSearchParams.#parse(text);
    }
    static #parse(text: string): [string, string][] {
      const pairs: [string, string][] = [];
      for (const part of text.replace(/^\?/, "").split("&")) {
        if (part === "") continue;
        const mark = part.indexOf("=");
        const name = mark === -1 ? part : part.slice(0, mark);
        pairs.push([decode(name), mark === -1 ? "" : decode(part.slice(mark + 1))]);
      }
      return pairs;
    }

    get size(): number {
      return this.#pairs.length;
    }
    get(name: unknown): string | null {
      const text = textOf(name);
      return this.#pairs.find(([known]) => known === text)?.[1] ?? null;
    }
    getAll(name: unknown): string[] {
      const text = textOf(name);
      return this.#pairs.filter(([known]) => known === text).map(([, value]) => value);
    }
    has(name: unknown, value?: unknown): boolean {
      return this.#pairs.some(matcher(name, value));
    }
    set(name: unknown, value: unknown): void {
      const text = textOf(name);
      const at = this.#pairs.findIndex(([known]) => known === text);
      if (at === -1) return this.append(text, value);
      this.#pairs[at]![1] = textOf(value);
      this.#pairs = this.#pairs.filter(([known], i) => i <= at || known !== text);
      this.#onChange?.();
    }
    append(name: unknown, value: unknown): void {
      this.#pairs.push([textOf(name), textOf(value)]);
      this.#onChange?.();
    }
    delete(name: unknown, value?: unknown): void {
      const is = matcher(name, value);
      if (!this.#pairs.some(is)) return;
      this.#pairs = this.#pairs.filter((pair) => !is(pair));
      this.#onChange?.();
    }
    sort(): void {
      this.#pairs.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
      this.#onChange?.();
    }
    forEach(callback: (value: string, name: string, params: URLSearchParams) => void, self?: unknown): void {
      for (const [name, value] of this) callback.call(self, value, name, this);
    }
    /** What is changed meanwhile is seen. */
    *entries(): IterableIterator<[string, string]> {
      for (let i = 0; i < this.#pairs.length; i++) yield [...this.#pairs[i]!];
    }
    *keys(): IterableIterator<string> {
      for (const [name] of this.entries()) yield name;
    }
    *values(): IterableIterator<string> {
      for (const [, value] of this.entries()) yield value;
    }
    [Symbol.iterator](): IterableIterator<[string, string]> {
      return this.entries();
    }
    toString(): string {
      return this.#pairs.map(([name, value]) => `${encode(name)}=${encode(value)}`).join("&");
    }
  }
  const matcher = (name: unknown, value: unknown): ((pair: [string, string]) => boolean) => {
    const [text, wanted] = [textOf(name), value === undefined ? undefined : textOf(value)];
    return ([known, given]) => known === text && (wanted === undefined || given === wanted);
  };

  const { create, refill } = URLSearchParams;
  delete (URLSearchParams as Partial<typeof URLSearchParams>).create;
  delete (URLSearchParams as Partial<typeof URLSearchParams>).refill;
  g.createSearchParams = create;
  g.refillSearchParams = (params, text) => refill(params as URLSearchParams, text);

  const PARTS = [
    "protocol",
    "username",
    "password",
    "host",
    "hostname",
    "port",
    "pathname",
    "search",
    "hash",
  ] as const;
  type Parts = Record<(typeof PARTS)[number] | "href" | "origin", string>;

  const ask = (op: string, argument: readonly string[]): Parts => {
    try {
      return parse(g.demand(op, 0, stringify(argument))) as Parts;
    } catch (error) {
      throw new TypeError((error as Error).message);
    }
  };

  const MOST_CHARS = 64 * 1024;
  class URL {
    #parts: Parts;
    #params: object | undefined;

    constructor(url: unknown, base?: unknown) {
      const input = base === undefined ? [String(url)] : [String(url), String(base)];
      if (input.some(({ length }) => length > MOST_CHARS)) throw new TypeError("Invalid URL: it is too long");
      this.#parts = ask("url", input);
    }

    static canParse(url: unknown, base?: unknown): boolean {
      try {
        new URL(url, base);
        return true;
      } catch {
        return false;
      }
    }
    static parse(url: unknown, base?: unknown): URL | null {
      return URL.canParse(url, base) ? new URL(url, base) : null;
    }
    static part(url: URL, key: keyof Parts): string {
      return url.#parts[key];
    }
    static change(url: URL, key: keyof Parts, value: unknown): void {
      url.#parts = ask("url-set", [url.#parts.href, key, String(value)]);
      if (url.#params !== undefined) g.refillSearchParams(url.#params, url.#parts.search);
    }

    get searchParams(): object {
      this.#params ??= g.createSearchParams(this.#parts.search, () => change(this, "search", this.#params));
      return this.#params;
    }
    get origin(): string {
      return this.#parts.origin;
    }
    toString(): string {
      return this.#parts.href;
    }
    toJSON(): string {
      return this.#parts.href;
    }
  }
  const { part, change } = URL;
  delete (URL as Partial<typeof URL>).part;
  delete (URL as Partial<typeof URL>).change;
  for (const key of ["href", ...PARTS] as const) {
    Object.defineProperty(URL.prototype, key, {
      get(this: URL) {
        return part(this, key);
      },
      set(this: URL, value: unknown) {
        change(this, key, value);
      },
      enumerable: true,
      configurable: true,
    });
  }
  for (const [name, value] of Object.entries({ URL, URLSearchParams })) {
    Object.defineProperty(globalThis, name, { value, writable: true, enumerable: false, configurable: true });
  }
}
