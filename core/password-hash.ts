/**
 * Hashes of passwords by scrypt (RFC 7914), written as PHC strings: `$scrypt$ln=15,r=8,p=3$salt$hash`. It takes tens of
 * milliseconds, not in the caller's thread, so that whoever gets the hashes cannot try many.
 */
import { randomBytes, scrypt, timingSafeEqual } from "node:crypto";

/** How much work a hash is, and what must come out. */
export interface PasswordHash {
  /** Logarithm of the cost to the base 2. */
  readonly ln: number;
  readonly r: number;
  readonly p: number;
  readonly salt: Buffer;
  readonly hash: Buffer;
}

const FORM =
  /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{22,86})\$([A-Za-z0-9+/]{43,86})$/;
/** Less is too easy to try out; more takes the memory of the gateway. */
const LEAST_MEMORY = 16 * 1024 ** 2;
const MOST_MEMORY = 128 * 1024 ** 2;
const MOST_WORK = 4 * MOST_MEMORY;

/** What a password is hashed with by default: 32 MB, and as much work as OWASP asks for. */
const USUAL = { ln: 15, r: 8, p: 3 } as const;

/** @returns undefined for what is no such hash, or one that is too weak or too dear */
export function parsePasswordHash(text: string): PasswordHash | undefined {
  const match = FORM.exec(text);
  if (match === null) return undefined;
  const [ln, r, p] = match.slice(1, 4).map(Number) as [number, number, number];
  const memory = 128 * 2 ** ln * r;
  if (memory < LEAST_MEMORY || memory > MOST_MEMORY || p < 1 || memory * p > MOST_WORK) return undefined;
  return { ln, r, p, salt: Buffer.from(match[4]!, "base64"), hash: Buffer.from(match[5]!, "base64") };
}

/** Hashes a password with a new salt. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(16);
  const hash = await derive(password, { ...USUAL, salt, hash: Buffer.alloc(32) });
  const { ln, r, p } = USUAL;
  return `$scrypt$ln=${ln},r=${r},p=${p}$${unpadded(salt)}$${unpadded(hash)}`;
}

export async function isPassword(password: string, expected: PasswordHash): Promise<boolean> {
  return timingSafeEqual(await derive(password, expected), expected.hash);
}

/** A hash as much work as another, of no password that anybody knows. */
export function noPassword({ ln, r, p }: Pick<PasswordHash, "ln" | "r" | "p"> = USUAL): PasswordHash {
  return { ln, r, p, salt: randomBytes(16), hash: randomBytes(32) };
}

function derive(password: string, { ln, r, p, salt, hash }: PasswordHash): Promise<Buffer> {
  const options = { N: 2 ** ln, r, p, maxmem: 2 * MOST_MEMORY };
  return new Promise((resolve, reject) => {
    scrypt(password.normalize("NFC"), salt, hash.length, options, (error, key) =>
      error === null ? resolve(key) : reject(error),
    );
  });
}

const unpadded = (bytes: Buffer): string => bytes.toString("base64").replace(/=+$/, "");
