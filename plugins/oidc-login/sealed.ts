/** What browsers keep, as texts that only the gateway can read. */
import type { Seal } from "./seal.ts";
import type { Session } from "./session.ts";

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
const SESSION = "session 1";
const LOGIN = "login 1";

export const sealSession = (seal: Seal, session: Session): string =>
  seal.seal(JSON.stringify(session), SESSION);

export function openSession(seal: Seal, sealed: string): Session | undefined {
  const text = seal.open(sealed, SESSION);
  return text === undefined ? undefined : (JSON.parse(text) as Session);
}

/** @param state the login cannot be opened with another one */
export const sealLogin = (seal: Seal, login: Login, state: string): string =>
  seal.seal(JSON.stringify(login), `${LOGIN} ${state}`);

export function openLogin(seal: Seal, sealed: string, state: string): Login | undefined {
  const text = seal.open(sealed, `${LOGIN} ${state}`);
  return text === undefined ? undefined : (JSON.parse(text) as Login);
}
