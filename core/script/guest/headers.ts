/** Headers of a request or a response, kept as the text that the host gave: `\nname:value…`, names in lower case. */
import type { Guest } from "./shape.ts";

export function guestHeaders(g: Guest): void {
  const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
  const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
  const NAME_CHARS = 256;
  const VALUE_CHARS = 64 * 1024;
  const OWN =
    /^(?:host|connection|content-length|transfer-encoding|upgrade|te|trailer|keep-alive|proxy-connection|x[^a-z\d]consumer[^a-z\d](?:name|roles))$/;

  const isBlank = (code: number): boolean => code === 32 || code === 9 || code === 13 || code === 10;
  /** A pattern for those at the end takes ages over many in the middle. */
  const trimBlanks = (text: string): string => {
    let start = 0;
    let end = text.length;
    while (start < end && isBlank(text.charCodeAt(start))) start++;
    while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
    return text.slice(start, end);
  };

  class Headers {
    #block: string;
    /** What the host is to do. */
    #edits = "";

    constructor(block: string) {
      this.#block = block;
    }

    static editsOf(headers: Headers): string {
      return headers.#edits;
    }

    get(name: string): string | null {
      return this.#values(String(name).toLowerCase()) ?? null;
    }

    has(name: string): boolean {
      return this.#block.includes(`\n${String(name).toLowerCase()}:`);
    }

    set(name: string, value: string): void {
      const line = this.#line(name, value);
      this.#remove(line.slice(0, line.indexOf(":")));
      this.#block += `\n${line}`;
      this.#edits += `s${line}\n`;
    }

    append(name: string, value: string): void {
      const line = this.#line(name, value);
      this.#block += `\n${line}`;
      this.#edits += `a${line}\n`;
    }

    delete(name: string): void {
      const lower = this.#name(name);
      if (this.#remove(lower)) this.#edits += `d${lower}\n`;
    }

    getSetCookie(): string[] {
      const cookies: string[] = [];
      for (const [name, value] of this.#lines()) if (name === "set-cookie") cookies.push(value);
      return cookies;
    }

    /** In the order of the names, lines of the same name joined, but for Set-Cookie. */
    *entries(): IterableIterator<[string, string]> {
      const all = new Map<string, string>();
      for (const [name, value] of this.#lines()) {
        const known = all.get(name);
        all.set(name, known === undefined ? value : known + (name === "cookie" ? "; " : ", ") + value);
      }
      for (const name of [...all.keys()].sort()) {
        if (name !== "set-cookie") yield [name, all.get(name)!];
        else for (const cookie of this.getSetCookie()) yield [name, cookie];
      }
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

    forEach(callback: (value: string, name: string, headers: Headers) => void, self?: unknown): void {
      for (const [name, value] of this.entries()) callback.call(self, value, name, this);
    }

    *#lines(): Generator<[string, string]> {
      for (const line of this.#block.split("\n")) {
        const colon = line.indexOf(":");
        if (colon > 0) yield [line.slice(0, colon), line.slice(colon + 1)];
      }
    }

    #values(lower: string): string | undefined {
      const block = this.#block;
      const mark = `\n${lower}:`;
      let at = block.indexOf(mark);
      if (at === -1) return undefined;
      let values = "";
      for (;;) {
        const start = at + mark.length;
        const end = block.indexOf("\n", start);
        values += end === -1 ? block.slice(start) : block.slice(start, end);
        at = end === -1 ? -1 : block.indexOf(mark, end);
        if (at === -1) return values;
        values += lower === "cookie" ? "; " : ", "; // RFC 9113 section 8.2.3
      }
    }

    #remove(lower: string): boolean {
      const mark = `\n${lower}:`;
      let at = this.#block.indexOf(mark);
      if (at === -1) return false;
      while (at !== -1) {
        const end = this.#block.indexOf("\n", at + 1);
        this.#block = this.#block.slice(0, at) + (end === -1 ? "" : this.#block.slice(end));
        at = this.#block.indexOf(mark, at);
      }
      return true;
    }

    #name(name: unknown): string {
      const text = String(name);
      if (text.length > NAME_CHARS) throw new TypeError(`A header name can have ${NAME_CHARS} characters`);
      if (!NAME.test(text)) throw new TypeError(`${JSON.stringify(text.slice(0, 100))} is not a header name`);
      const lower = text.toLowerCase();
      if (OWN.test(lower))
        throw new TypeError(`The header ${lower} belongs to the gateway: it cannot be changed`);
      return lower;
    }

    #line(name: unknown, value: unknown): string {
      const lower = this.#name(name);
      let text = String(value);
      if (text.length > VALUE_CHARS)
        throw new TypeError(`The value of header ${lower} has more than ${VALUE_CHARS} characters`);
      // `trim` takes more away than the blanks of HTTP, and is fast.
      if (text.trim() !== text) text = trimBlanks(text);
      if (!VALUE.test(text))
        throw new TypeError(`The value of header ${lower} has control or non-Latin-1 characters`);
      return `${lower}:${text}`;
    }
  }

  /** Headers that can only be read: of a reply to fetch. */
  class FixedHeaders extends Headers {
    override set(): never {
      throw new TypeError("These headers cannot be changed");
    }
    override append(): never {
      return this.set();
    }
    override delete(): never {
      return this.set();
    }
  }

  const { editsOf } = Headers;
  delete (Headers as Partial<typeof Headers>).editsOf;
  g.headerEdits = (headers) => editsOf(headers as Headers);
  g.createHeaders = (block, isFixed) => (isFixed ? new FixedHeaders(block) : new Headers(block));
}
