/** Tokens that only their session can have: a number by chance, signed together with the session. */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";

/** `<signature>.<random>`, both base64url. */
const TOKEN = /^([\w-]{43})\.([\w-]{22})$/;

export function createToken(session: string, secret: string): string {
  const random = randomBytes(16).toString("base64url");
  return `${sign(session, random, secret).toString("base64url")}.${random}`;
}

/** True when the token was made for the session with the secret. */
export function isToken(text: string, session: string, secret: string): boolean {
  const [, signature, random] = TOKEN.exec(text) ?? [];
  if (signature === undefined || random === undefined) return false;
  return timingSafeEqual(Buffer.from(signature, "base64url"), sign(session, random, secret));
}

/** Lengths keep a session from passing for another one that begins or ends the same. */
function sign(session: string, random: string, secret: string): Buffer {
  const message = `csrf!${session.length}!${session}!${random.length}!${random}`;
  return createHmac("sha256", secret).update(message).digest();
}
