/** Text to bytes and back, and the web's names for it. */
import type { Guest } from "./shape.ts";

export function guestEncoding(g: Guest): void {
  const { fromCharCode } = String;

  g.toLatin1 = (bytes) => {
    let text = "";
    for (let i = 0; i < bytes.length; i += 4096) text += fromCharCode(...bytes.subarray(i, i + 4096));
    return text;
  };
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

  /** As the Encoding Standard's UTF-8 decoder: each ill-formed part becomes one U+FFFD. */
  g.utf8Decode = (bytes) => {
    let text = "";
    let i = 0;
    while (i < bytes.length) {
      const lead = bytes[i++]!;
      if (lead < 0x80) {
        text += fromCharCode(lead);
        continue;
      }
      let more = 0;
      let code = 0;
      let least = 0x80;
      let most = 0xbf;
      if (lead >= 0xc2 && lead < 0xe0) [more, code] = [1, lead & 31];
      else if (lead >= 0xe0 && lead < 0xf0) {
        [more, code] = [2, lead & 15];
        if (lead === 0xe0) least = 0xa0;
        if (lead === 0xed) most = 0x9f;
      } else if (lead >= 0xf0 && lead < 0xf5) {
        [more, code] = [3, lead & 7];
        if (lead === 0xf0) least = 0x90;
        if (lead === 0xf4) most = 0x8f;
      } else {
        text += "\ufffd";
        continue;
      }
      while (more > 0 && i < bytes.length && bytes[i]! >= least && bytes[i]! <= most) {
        code = (code << 6) | (bytes[i++]! & 63);
        least = 0x80;
        most = 0xbf;
        more--;
      }
      if (more > 0) text += "\ufffd";
      else if (code < 0x10000) text += fromCharCode(code);
      else text += fromCharCode(0xd800 + ((code - 0x10000) >> 10), 0xdc00 + ((code - 0x10000) & 1023));
    }
    return text;
  };

  g.dataOf = (value, what) => {
    if (typeof value === "string") return g.toLatin1(g.utf8Encode(value));
    if (value instanceof Uint8Array) return g.toLatin1(value);
    throw new TypeError(`${what} must be a string or a Uint8Array`);
  };

  const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const encode64 = (latin1: string): string => {
    let text = "";
    for (let i = 0; i < latin1.length; i += 3) {
      const left = latin1.length - i;
      const a = latin1.charCodeAt(i);
      const b = left > 1 ? latin1.charCodeAt(i + 1) : 0;
      const c = left > 2 ? latin1.charCodeAt(i + 2) : 0;
      text += ALPHABET[a >> 2]! + ALPHABET[((a & 3) << 4) | (b >> 4)]!;
      text += left > 1 ? ALPHABET[((b & 15) << 2) | (c >> 6)]! : "=";
      text += left > 2 ? ALPHABET[c & 63]! : "=";
    }
    return text;
  };
  const decode64 = (text: string): string => {
    let clean = text.replace(/[\t\n\f\r ]/g, "");
    if (clean.length % 4 === 0) clean = clean.replace(/==?$/, "");
    if (clean.length % 4 === 1 || /[^A-Za-z0-9+/]/.test(clean))
      throw new TypeError("The text is not valid base64");
    let latin1 = "";
    for (let i = 0; i < clean.length; i += 4) {
      const [a = 0, b = 0, c, d] = [...clean.slice(i, i + 4)].map((char) => ALPHABET.indexOf(char));
      latin1 += fromCharCode((a << 2) | (b >> 4));
      if (c !== undefined) latin1 += fromCharCode(((b & 15) << 4) | (c >> 2));
      if (d !== undefined) latin1 += fromCharCode((((c ?? 0) & 3) << 6) | d);
    }
    return latin1;
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
    readonly #fatal: boolean;
    constructor(label = "utf-8", options: { fatal?: boolean } = {}) {
      if (!/^utf-?8$/i.test(label)) throw new RangeError(`TextDecoder knows utf-8 only, not ${label}`);
      this.#fatal = options.fatal === true;
    }
    get encoding(): string {
      return "utf-8";
    }
    decode(bytes: ArrayBuffer | ArrayBufferView = new Uint8Array()): string {
      const view = ArrayBuffer.isView(bytes)
        ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
        : new Uint8Array(bytes);
      const text = g.utf8Decode(view);
      if (this.#fatal && text.includes("\ufffd")) throw new TypeError("The bytes are not valid UTF-8");
      return text.startsWith("\ufeff") ? text.slice(1) : text;
    }
  }
  const btoa = (text: unknown): string => {
    const latin1 = String(text);
    if (/[^\0-\xff]/.test(latin1)) throw new TypeError("btoa takes characters up to U+00FF only");
    return encode64(latin1);
  };
  const atob = (text: unknown): string => decode64(String(text));
  for (const [name, value] of Object.entries({ TextEncoder, TextDecoder, atob, btoa })) {
    Object.defineProperty(globalThis, name, { value, writable: true, enumerable: false, configurable: true });
  }
}
