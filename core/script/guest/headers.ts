/**
 * Headers of a request or a response, kept as the text that the host gave: what is not a header, and `\nname:value` for
 * each, names in lower case. Lines that are added are another text of that kind: to search in a text that was just put
 * together, it must be copied first, and that of the host is long.
 */
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

  /** Names as scripts write them, by which they are known here: there are few, and they are used again and again. */
  const MANY = 200;
  const marks = new Map<string, string>();
  const names = new Map<string, string>();
  /** What a line with this name begins with. */
  const markOf = (name: unknown): string => {
    const known = marks.get(name as string);
    if (known !== undefined) return known;
    const text = String(name);
    const mark = `\n${text.toLowerCase()}:`;
    if (marks.size < MANY && text.length <= NAME_CHARS) marks.set(text, mark);
    return mark;
  };
  /** All values of the lines of a text that begin with a mark. */
  const valuesIn = (block: string, mark: string): string | undefined => {
    let values: string | undefined;
    for (let at = block.indexOf(mark); at !== -1; ) {
      const start = at + mark.length;
      const end = block.indexOf("\n", start);
      const value = end === -1 ? block.slice(start) : block.slice(start, end);
      values = values === undefined ? value : join(values, value, mark);
      at = end === -1 ? -1 : block.indexOf(mark, end);
    }
    return values;
  };
  /** RFC 9110 section 5.3, and RFC 9113 section 8.2.3. */
  const join = (values: string, more: string, mark: string): string =>
    values + (mark === "\ncookie:" ? "; " : ", ") + more;
  /** A text without the lines that begin with a mark. */
  const without = (block: string, mark: string): string => {
    let text = block;
    for (let at = text.indexOf(mark); at !== -1; at = text.indexOf(mark, at)) {
      const end = text.indexOf("\n", at + 1);
      text = text.slice(0, at) + (end === -1 ? "" : text.slice(end));
    }
    return text;
  };

  class Headers {
    #block: string;
    #added = "";
    /** What the host is to do. */
    #edits = "";

    constructor(block: string) {
      this.#block = block;
    }

    static editsOf(headers: Headers): string {
      return headers.#edits;
    }

    get(name: string): string | null {
      const mark = markOf(name);
      const given = valuesIn(this.#block, mark);
      if (this.#added === "") return given ?? null;
      const added = valuesIn(this.#added, mark);
      if (added === undefined) return given ?? null;
      return given === undefined ? added : join(given, added, mark);
    }

    has(name: string): boolean {
      const mark = markOf(name);
      return this.#block.includes(mark) || this.#added.includes(mark);
    }

    set(name: string, value: string): void {
      const lower = this.#name(name);
      const line = `${lower}:${this.#value(lower, value)}`;
      this.#remove(lower);
      this.#added += `\n${line}`;
      this.#edits += `s${line}\n`;
    }

    append(name: string, value: string): void {
      const lower = this.#name(name);
      const line = `${lower}:${this.#value(lower, value)}`;
      this.#added += `\n${line}`;
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
        all.set(name, known === undefined ? value : join(known, value, `\n${name}:`));
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
      const lines = (this.#block + this.#added).split("\n");
      for (let i = 1; i < lines.length; i++) {
        const line = lines[i]!;
        const colon = line.indexOf(":");
        if (colon > 0) yield [line.slice(0, colon), line.slice(colon + 1)];
      }
    }

    #remove(lower: string): boolean {
      const mark = markOf(lower);
      const isGiven = this.#block.includes(mark);
      const isAdded = this.#added.includes(mark);
      if (isGiven) this.#block = without(this.#block, mark);
      if (isAdded) this.#added = without(this.#added, mark);
      return isGiven || isAdded;
    }

    #name(name: unknown): string {
      const known = names.get(name as string);
      if (known !== undefined) return known;
      const text = String(name);
      if (text.length > NAME_CHARS) throw new TypeError(`A header name can have ${NAME_CHARS} characters`);
      if (!NAME.test(text)) throw new TypeError(`${JSON.stringify(text.slice(0, 100))} is not a header name`);
      const lower = text.toLowerCase();
      if (OWN.test(lower))
        throw new TypeError(`The header ${lower} belongs to the gateway: it cannot be changed`);
      if (names.size < MANY) names.set(text, lower);
      return lower;
    }

    #value(lower: string, value: unknown): string {
      let text = String(value);
      if (text.length > VALUE_CHARS)
        throw new TypeError(`The value of header ${lower} has more than ${VALUE_CHARS} characters`);
      // `trim` takes more away than the blanks of HTTP, and is fast.
      if (text.trim() !== text) text = trimBlanks(text);
      if (!VALUE.test(text))
        throw new TypeError(`The value of header ${lower} has control or non-Latin-1 characters`);
      return text;
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
