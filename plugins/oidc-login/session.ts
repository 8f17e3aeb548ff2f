/** A session: who has logged in, and what the provider gave for it. The browser keeps it, sealed. */
import { randomBytes } from "node:crypto";
import type { Claims, Grant } from "./provider.ts";

/** An access token is renewed in the end of its life: a fifth of it, but no more than this. */
const MOST_MARGIN_MS = 60_000;

/** Times are milliseconds since the Unix epoch: several gateways may look at them. */
export interface Session {
  /** Tells it from others; never a secret. */
  readonly id: string;
  readonly startedAt: number;
  /** When it was used, about. */
  readonly seenAt: number;
  readonly idToken: string;
  /** Of the access token. */
  readonly endsAt: number;
  readonly renewAt: number;
  readonly refreshToken?: string;
  /** Only where an upstream gets it. */
  readonly accessToken?: string;
}

export function startSession(grant: Grant, idToken: string, keepsToken: boolean, now: number): Session {
  const id = randomBytes(16).toString("base64url");
  return { id, startedAt: now, seenAt: now, idToken, ...tokensOf(grant, keepsToken, now) };
}

/** The session with what was given for its refresh token. */
export function renewSession(session: Session, grant: Grant, keepsToken: boolean, now: number): Session {
  const { id, startedAt, refreshToken } = session;
  const idToken = grant.idToken ?? session.idToken;
  const kept = refreshToken === undefined ? {} : { refreshToken };
  return { id, startedAt, seenAt: now, idToken, ...kept, ...tokensOf(grant, keepsToken, now) };
}

function tokensOf({ accessToken, refreshToken, lifeMs }: Grant, keepsToken: boolean, now: number) {
  const endsAt = now + lifeMs;
  return {
    endsAt,
    renewAt: endsAt - Math.min(lifeMs / 5, MOST_MARGIN_MS),
    ...(refreshToken === undefined ? {} : { refreshToken }),
    ...(keepsToken ? { accessToken } : {}),
  };
}

/** The claims of a token that was verified before it became part of a session. */
export function claimsOf({ idToken }: Session): Claims {
  const [, claims = ""] = idToken.split(".");
  return JSON.parse(Buffer.from(claims, "base64url").toString()) as Claims;
}
