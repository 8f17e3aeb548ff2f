/**
 * A 64-bit hash of text under a secret: HalfSipHash-1-3, which is made of 32-bit words and made for tables whose
 * keys strangers choose. Without the secret nobody can look for keys that collide.
 */

export class KeyHash {
  /** The hash of the latest text, in two halves: an object for each would cost more than the hash. */
  low = 0;
  high = 0;
  readonly #secret0: number;
  readonly #secret1: number;

  constructor(secret0: number, secret1: number) {
    this.#secret0 = secret0 | 0;
    this.#secret1 = secret1 | 0;
  }

  update(text: string): void {
    const { length } = text;
    let v0 = this.#secret0;
    let v1 = this.#secret1 ^ 0xee;
    let v2 = 0x6c796765 ^ this.#secret0;
    let v3 = 0x74656462 ^ this.#secret1;
    // Two characters a word; the last word has the length in bytes, and the character left over.
    const end = length >> 1;
    for (let i = 0; i <= end; i++) {
      const word =
        i < end
          ? text.charCodeAt(2 * i) | (text.charCodeAt(2 * i + 1) << 16)
          : (length << 25) | (length & 1 ? text.charCodeAt(length - 1) : 0);
      v3 ^= word;
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
      v0 ^= word;
    }
    v2 ^= 0xee;
    for (let i = 0; i < 6; i++) {
      if (i === 3) {
        this.low = v1 ^ v3;
        v1 ^= 0xdd;
      }
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
    }
    this.high = v1 ^ v3;
  }
}
