/** Texts and bytes as scripts give them. */

/**
 * @param data `t` and a text, or `b` and a character for each byte
 * @throws TypeError
 */
export function bytesOf(data: unknown): Buffer {
  if (typeof data !== "string") throw new TypeError("Data must be a string or a Uint8Array");
  return Buffer.from(data.slice(1), data.startsWith("b") ? "latin1" : "utf8");
}
