/** Files of names and hashes of passwords, `name:hash` in each line, as `htpasswd` writes them. */
import { parsePasswordHash, type PasswordHash } from "../../core/password-hash.ts";
import { ConfigError, type Problem } from "../../core/plugin.ts";
import { isPlainText, MOST_NAME_CHARS } from "../../core/naming.ts";
import { type BcryptHash, parseBcrypt } from "./bcrypt.ts";

export type ListedHash = PasswordHash | BcryptHash;

/** Hashes that others make, and why they do not count here. */
const OTHERS: readonly (readonly [RegExp, string])[] = [
  [/^\$2x\$/, "bcrypt by a program with an error, `$2x$`"],
  [/^\$2[aby]?\$/, "bcrypt that cannot be read, or has a cost below 4 or above 14"],
  [/^\$(?:apr1|1)\$/, "MD5, which is too weak"],
  [/^\{S?SHA\}/i, "SHA-1, which is too weak"],
  [/^\$[56]\$/, "SHA-2 crypt, which is not supported"],
  [/^\$scrypt\$/, "scrypt that cannot be read, or takes less than 16 MB or more than 128 MB"],
];

/**
 * @returns hashes by names, normalized
 * @throws ConfigError with each line that does not count, by its number
 */
export function parseHtpasswd(text: string, pointer: string): Map<string, ListedHash> {
  const hashes = new Map<string, ListedHash>();
  const problems: Problem[] = [];
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (/^\s*(?:#|$)/.test(line)) continue;
    const problem = addLine(line, hashes);
    if (problem !== undefined) {
      problems.push({ code: "CONFIG_VALUE", message: `Line ${i + 1} of the file: ${problem}`, pointer });
    }
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return hashes;
}

/** @returns what is wrong, without anything of the hash */
function addLine(line: string, hashes: Map<string, ListedHash>): string | undefined {
  const colon = line.indexOf(":");
  const name = line.slice(0, Math.max(colon, 0)).normalize("NFC");
  if (!isPlainText(name, MOST_NAME_CHARS)) return "it is not `name:hash`";
  if (hashes.has(name)) return `the name ${name} is there already`;
  const text = line.slice(colon + 1);
  const hash = parsePasswordHash(text) ?? parseBcrypt(text);
  if (hash !== undefined) {
    hashes.set(name, hash);
    return undefined;
  }
  const other = OTHERS.find(([pattern]) => pattern.test(text))?.[1] ?? "of a kind that is not known";
  return `the hash of ${name} is ${other}; make one with \`sluice hash-password\``;
}
