/** Hashes of passwords by bcrypt, as `htpasswd -B` makes them: `$2y$05$` and 22 characters of salt, 31 of hash. */
import { randomBytes, timingSafeEqual } from "node:crypto";

export interface BcryptHash {
  /** Logarithm of the work to the base 2. */
  readonly cost: number;
  /** The whole as `$2b$`: for what is looked at here, `$2a$` and `$2y$` mean the same. */
  readonly text: string;
}

/** What is left over of the last characters of salt and hash is zero in all that are made. */
const FORM = /^\$2[aby]\$(\d\d)\$([./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{30}[.CGKOSWaeimquy26])$/;
/** Each one more doubles the time; this many take about a second. */
const MOST_COST = 14;
/** What is behind is not part of the hash. */
const MOST_BYTES = 72;

/** @returns undefined for what is no such hash, or one that is too dear */
export function parseBcrypt(text: string): BcryptHash | undefined {
  const match = FORM.exec(text);
  const cost = Number(match?.[1]);
  return cost >= 4 && cost <= MOST_COST ? { cost, text: `$2b$${match![1]}$${match![2]}` } : undefined;
}

/** A hash as much work as another, of no password that anybody knows. */
export function noBcrypt({ cost }: Pick<BcryptHash, "cost">): BcryptHash {
  const random = randomBytes(51).toString("base64").slice(0, 51).replaceAll("+", ".");
  return { cost, text: `$2b$${String(cost).padStart(2, "0")}$${random.slice(0, 21)}.${random.slice(21)}.` };
}

/** Before the first hash is looked at: who has none does not need the package. */
export async function loadBcrypt(): Promise<void> {
  await import("bcrypt");
}

/**
 * Looks in a thread of Node's pool. Passwords of more than 72 bytes are wrong, since others with the same beginning would
 * be right too, and so are those with a NUL, after which bcrypt begins anew. They take as long as all others.
 */
export async function isBcryptPassword(password: string, { text }: BcryptHash): Promise<boolean> {
  const { hash } = await import("bcrypt");
  const bytes = Buffer.from(password.normalize("NFC"));
  const made = await hash(bytes, text);
  const isSame = timingSafeEqual(Buffer.from(made), Buffer.from(text));
  return isSame && bytes.length <= MOST_BYTES && !bytes.includes(0);
}
