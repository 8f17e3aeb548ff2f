/** `URL` and `URLSearchParams` (WHATWG URL Standard): the parsing of URLs is the host's, the rest is done here. */
import type { Guest } from "./shape.ts";

export function guestUrl(g: Guest): void {
  const decode = (text: string): string => {
    const plain = text.replaceAll("+", " ");
    if (!plain.includes("%")) return plain;
    const bytes = g.utf8Encode(plain);
    let n = 0;
    for (let i = 0; i < bytes.length; i++) {
      const hex = bytes[i] === 37 ? g.toLatin1(bytes.subarray(i + 1, i + 3)) : "";
      if (/^[0-9A-Fa-f]{2}$/.test(hex)) {
        bytes[n++] = Number.parseInt(hex, 16);
        i += 2;
      } else bytes[n++] = bytes[i]!;
    }
    return g.utf8Decode(bytes.subarray(0, n));
  };
  const encode = (text: string): string =>
    g
      .toLatin1(g.utf8Encode(text))
      .replace(
        /[^A-Za-z0-9*\-._ ]/g,
        (c) => `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
      )
      .replaceAll(" ", "+");

  class URLSearchParams {
    #pairs: [string, string][] = [];
    #onChange: (() => void) | undefined;

    constructor(init: unknown = "", onChange?: () => void) {
      if (typeof init === "object" && init !== null) {
        const pairs =
          Symbol.iterator in init ? [...(init as Iterable<[string, string]>)] : Object.entries(init);
        this.#pairs = pairs.map(([name, value]) => [String(name), String(value)]);
      } else this.#pairs = URLSearchParams.#parse(String(init));
      if (onChange === INTERNAL.onChange) this.#onChange = onChange;
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
    get(name: string): string | null {
      return this.#pairs.find(([known]) => known === String(name))?.[1] ?? null;
    }
    getAll(name: string): string[] {
      return this.#pairs.filter(([known]) => known === String(name)).map(([, value]) => value);
    }
    has(name: string, value?: string): boolean {
      return this.#pairs.some(
        ([known, v]) => known === String(name) && (value === undefined || v === String(value)),
      );
    }
    set(name: string, value: string): void {
      const at = this.#pairs.findIndex(([known]) => known === String(name));
      if (at === -1) return this.append(name, value);
      this.#pairs[at]![1] = String(value);
      this.#pairs = this.#pairs.filter(([known], i) => i <= at || known !== String(name));
      this.#onChange?.();
    }
    append(name: string, value: string): void {
      this.#pairs.push([String(name), String(value)]);
      this.#onChange?.();
    }
    delete(name: string, value?: string): void {
      const is = ([known, v]: [string, string]): boolean =>
        known === String(name) && (value === undefined || v === String(value));
      if (!this.#pairs.some(is)) return;
      this.#pairs = this.#pairs.filter((pair) => !is(pair));
      this.#onChange?.();
    }
    sort(): void {
      this.#pairs.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
      this.#onChange?.();
    }
    forEach(callback: (value: string, name: string, params: URLSearchParams) => void): void {
      for (const [name, value] of this.#pairs) callback(value, name, this);
    }
    *entries(): IterableIterator<[string, string]> {
      for (const [name, value] of this.#pairs) yield [name, value];
    }
    *keys(): IterableIterator<string> {
      for (const [name] of this.#pairs) yield name;
    }
    *values(): IterableIterator<string> {
      for (const [, value] of this.#pairs) yield value;
    }
    [Symbol.iterator](): IterableIterator<[string, string]> {
      return this.entries();
    }
    toString(): string {
      return this.#pairs.map(([name, value]) => `${encode(name)}=${encode(value)}`).join("&");
    }
  }

  /** The one caller that may be told of changes. */
  const INTERNAL: { onChange: (() => void) | undefined } = { onChange: undefined };
  g.createSearchParams = (text, onChange) => {
    INTERNAL.onChange = onChange;
    try {
      return new URLSearchParams(text, onChange);
    } finally {
      INTERNAL.onChange = undefined;
    }
  };

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

  class URL {
    #parts: Parts;
    #params: object | undefined;

    constructor(url: unknown, base?: unknown) {
      const input = base === undefined ? [String(url)] : [String(url), String(base)];
      this.#parts = JSON.parse(g.demand("url", 0, JSON.stringify(input))) as Parts;
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
      const change = JSON.stringify([url.#parts.href, key, String(value)]);
      url.#parts = JSON.parse(g.demand("url-set", 0, change)) as Parts;
      if (key === "href" || key === "search") url.#params = undefined;
    }

    get searchParams(): object {
      this.#params ??= g.createSearchParams(this.#parts.search, () => {
        const params = this.#params;
        change(this, "search", String(params));
        this.#params = params;
      });
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
