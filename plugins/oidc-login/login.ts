/** Logins under way, as texts that browsers keep. */
import type { Seal } from "./seal.ts";

/** A login under way. */
export interface Login {
  readonly nonce: string;
  /** For PKCE (RFC 7636). */
  readonly verifier: string;
  /** Path and query that the browser wanted. */
  readonly to: string;
  readonly redirectUri: string;
  /** Milliseconds since the Unix epoch. */
  readonly startedAt: number;
}

/** Says what is inside; another number when that changes. */
const PURPOSE = "login 1";

/** @param state the login cannot be opened with another one */
export const sealLogin = (seal: Seal, login: Login, state: string): string =>
  seal.seal(JSON.stringify(login), `${PURPOSE} ${state}`);

export function openLogin(seal: Seal, sealed: string, state: string): Login | undefined {
  const text = seal.open(sealed, `${PURPOSE} ${state}`);
  return text === undefined ? undefined : (JSON.parse(text) as Login);
}
