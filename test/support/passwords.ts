/** Hashes of passwords for tests, as cheap as may be. */
import { scryptSync } from "node:crypto";

const unpadded = (bytes: Buffer): string => bytes.toString("base64").replaceAll("=", "");

export function hashOf(password: string, saltText = "salt"): string {
  const salt = Buffer.alloc(16, saltText);
  const hash = scryptSync(password, salt, 32, { N: 2 ** 14, r: 8, p: 1 });
  return `$scrypt$ln=14,r=8,p=1$${unpadded(salt)}$${unpadded(hash)}`;
}
