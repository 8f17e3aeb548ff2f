/** Text to bytes and back, and the web's names for it. */
import type { Guest } from "./shape.ts";

export function guestEncoding(g: Guest): void {
  const { fromCharCode } = String;
  const { apply } = Reflect;
  const { toBase64 } = Uint8Array.prototype;
  const fromBase64 = Uint8Array.fromBase64.bind(Uint8Array);
  /** Arguments of one call: more may not have room on the stack. */
  const PART = 8192;

  const toText = (units: Uint8Array | Uint16Array): string => {
    if (units.length <= PART) return apply(fromCharCode, undefined, units);
    let text = "";
    for (let i = 0; i < units.length; i += PART)
      text += apply(fromCharCode, undefined, units.subarray(i, i + PART));
    return text;
  };
  g.toLatin1 = toText;
  g.fromLatin1 = (text) => {
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    return bytes;
  };

  g.utf8Encode = (text) => {
    const bytes = new Uint8Array(text.length * 3);
    let n = 0;
    for (let i = 0; i < text.length; i++) {
      let code = text.charCodeAt(i);
      if (code >= 0xd800 && code < 0xe000) {
        const low = code < 0xdc00 ? text.charCodeAt(i + 1) : Number.NaN;
        if (low >= 0xdc00 && low < 0xe000) {
          i++;
          code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        } else code = 0xfffd;
      }
      if (code < 0x80) bytes[n++] = code;
      else if (code < 0x800) {
        bytes[n++] = 0xc0 | (code >> 6);
        bytes[n++] = 0x80 | (code & 63);
      } else if (code < 0x10000) {
        bytes[n++] = 0xe0 | (code >> 12);
        bytes[n++] = 0x80 | ((code >> 6) & 63);
        bytes[n++] = 0x80 | (code & 63);
      } else {
        bytes[n++] = 0xf0 | (code >> 18);
        bytes[n++] = 0x80 | ((code >> 12) & 63);
        bytes[n++] = 0x80 | ((code >> 6) & 63);
        bytes[n++] = 0x80 | (code & 63);
      }
    }
    return bytes.slice(0, n);
  };

  /** As the Encoding Standard's UTF-8 decoder: each ill-formed part becomes one U+FFFD, or is refused. */
  const decode = (bytes: Uint8Array, isFatal: boolean): string => {
    const units = new Uint16Array(bytes.length);
    let n = 0;
    let i = 0;
    while (i < bytes.length) {
      const lead = bytes[i++]!;
      if (lead < 0x80) {
        units[n++] = lead;
        continue;
      }
      let more = -1;
      let code = 0;
      let least = 0x80;
      let most = 0xbf;
      if (lead >= 0xc2 && lead < 0xe0) {
        more = 1;
        code = lead & 31;
      } else if (lead >= 0xe0 && lead < 0xf0) {
        more = 2;
        code = lead & 15;
        if (lead === 0xe0) least = 0xa0;
        if (lead === 0xed) most = 0x9f;
      } else if (lead >= 0xf0 && lead < 0xf5) {
        more = 3;
        code = lead & 7;
        if (lead === 0xf0) least = 0x90;
        if (lead === 0xf4) most = 0x8f;
      }
      while (more > 0 && i < bytes.length && bytes[i]! >= least && bytes[i]! <= most) {
        code = (code << 6) | (bytes[i++]! & 63);
        least = 0x80;
        most = 0xbf;
        more--;
      }
      if (more !== 0) {
        if (isFatal) throw new TypeError("The bytes are not valid UTF-8");
        units[n++] = 0xfffd;
      } else if (code < 0x10000) units[n++] = code;
      else {
        units[n++] = 0xd800 + ((code - 0x10000) >> 10);
        units[n++] = 0xdc00 + ((code - 0x10000) & 1023);
      }
    }
    return toText(units.subarray(0, n));
  };
  g.utf8Decode = (bytes) => decode(bytes, false);

  g.dataOf = (value, what) => {
    if (typeof value === "string") return `t${value}`;
    return `b${toText(g.bytesOf(value, what))}`;
  };
  g.bytesOf = (value, what) => {
    if (typeof value === "string") return g.utf8Encode(value);
    if (value instanceof Uint8Array) return value;
    throw new TypeError(`${what} must be a string or a Uint8Array`);
  };

  g.toBase64 = (bytes, alphabet) =>
    apply(toBase64, bytes, [{ alphabet, omitPadding: alphabet === "base64url" }]);
  g.fromBase64 = (text) => {
    try {
      return fromBase64(text);
    } catch {
      throw new TypeError("The text is not valid base64");
    }
  };

  class TextEncoder {
    get encoding(): string {
      return "utf-8";
    }
    encode(text = ""): Uint8Array {
      return g.utf8Encode(String(text));
    }
  }
  class TextDecoder {
    readonly #isFatal: boolean;
    readonly #keepsMark: boolean;
    constructor(label = "utf-8", options: { fatal?: boolean; ignoreBOM?: boolean } = {}) {
      if (!/^[\t\n\f\r ]*utf-?8[\t\n\f\r ]*$/i.test(label))
        throw new RangeError(`TextDecoder knows utf-8 only, not ${label}`);
      this.#isFatal = Boolean(options.fatal);
      this.#keepsMark = Boolean(options.ignoreBOM);
    }
    get encoding(): string {
      return "utf-8";
    }
    get fatal(): boolean {
      return this.#isFatal;
    }
    get ignoreBOM(): boolean {
      return this.#keepsMark;
    }
    decode(bytes: unknown = new Uint8Array(), options: { stream?: boolean } = {}): string {
      if (options.stream) throw new TypeError("TextDecoder cannot decode a text in parts here");
      const text = decode(viewOf(bytes), this.#isFatal);
      return !this.#keepsMark && text.startsWith("\ufeff") ? text.slice(1) : text;
    }
  }
  const viewOf = (bytes: unknown): Uint8Array => {
    if (ArrayBuffer.isView(bytes)) return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (bytes instanceof ArrayBuffer) return new Uint8Array(bytes);
    throw new TypeError("decode takes an ArrayBuffer or a view of one");
  };
  const btoa = (text: unknown): string => {
    const latin1 = String(text);
    if (/[^\0-\xff]/.test(latin1)) throw new TypeError("btoa takes characters up to U+00FF only");
    return g.toBase64(g.fromLatin1(latin1), "base64");
  };
  const atob = (text: unknown): string => toText(g.fromBase64(String(text)));
  for (const [name, value] of Object.entries({ TextEncoder, TextDecoder, atob, btoa })) {
    Object.defineProperty(globalThis, name, { value, writable: true, enumerable: false, configurable: true });
  }
}
