/**
 * Seals texts that browsers keep for the gateway: nobody else can read, change or make one (AES-256-GCM). What is sealed
 * for one purpose cannot be opened for another.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";

const CIPHER = "aes-256-gcm";
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

export class Seal {
  readonly #keys: readonly Buffer[];

  /**
   * @param secrets the first one seals, each opens
   * @param context other contexts have other keys
   */
  constructor(secrets: readonly string[], context: string) {
    this.#keys = secrets.map((secret) => Buffer.from(hkdfSync("sha256", secret, "", context, KEY_BYTES)));
  }

  /** @returns base64url */
  seal(text: string, purpose: string): string {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(CIPHER, this.#keys[0]!, nonce).setAAD(Buffer.from(purpose));
    const parts = [nonce, cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()];
    return Buffer.concat(parts).toString("base64url");
  }

  /** @returns undefined for what was not sealed so */
  open(sealed: string, purpose: string): string | undefined {
    const bytes = Buffer.from(sealed, "base64url");
    if (bytes.length < NONCE_BYTES + TAG_BYTES) return undefined;
    const aad = Buffer.from(purpose);
    const nonce = bytes.subarray(0, NONCE_BYTES);
    const text = bytes.subarray(NONCE_BYTES, -TAG_BYTES);
    const tag = bytes.subarray(-TAG_BYTES);
    for (const key of this.#keys) {
      const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
      decipher.setAAD(aad).setAuthTag(tag);
      const head = decipher.update(text, undefined, "utf8");
      try {
        return head + decipher.final("utf8");
      } catch {
        // Sealed with another key, or by somebody else.
      }
    }
    return undefined;
  }
}
