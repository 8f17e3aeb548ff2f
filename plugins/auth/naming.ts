/** Who asks, by the claims of a token. */
import type { Consumer } from "../../core/plugin.ts";
import { parsePointer } from "../../core/pointer.ts";
import type { IssuerOptions } from "./jwt/options.ts";

type Claims = Readonly<Record<string, unknown>>;

export const MOST_NAME_CHARS = 256;
const MOST_CREDENTIAL_CHARS = 100;
/** Whoever walks through claims must not run out of stack. */
const MOST_DEPTH = 32;
const CONTROL = /[\p{Cc}\u2028\u2029]/u;

/** The parts of an issuer's options that say who asks. */
type Naming = Pick<IssuerOptions, "consumerClaim" | "prefix" | "rolesClaim" | "tierClaim">;

/**
 * @param digest of the token, which it is told apart by if it has no id
 * @returns undefined when the claims do not say who asks
 */
export function readConsumer(claims: Claims, naming: Naming, digest: string): Consumer | undefined {
  if (isDeeper(claims, MOST_DEPTH)) return undefined;
  const name = claimOf(claims, naming.consumerClaim);
  if (!isPlainText(name, MOST_NAME_CHARS)) return undefined;
  const { jti } = claims;
  const tier = naming.tierClaim === undefined ? undefined : claimOf(claims, naming.tierClaim);
  return {
    name: (naming.prefix ?? "") + name,
    roles: readRoles(claimOf(claims, naming.rolesClaim)),
    ...(typeof tier === "string" ? { tier } : {}),
    credential: isPlainText(jti, MOST_CREDENTIAL_CHARS) ? jti : digest.slice(0, 12),
    claims,
  };
}

/** @param path name of a claim, or a JSON Pointer to one that lies in others */
function claimOf(claims: Claims, path: string): unknown {
  let value: unknown = claims;
  for (const key of path.startsWith("/") ? parsePointer(path) : [path]) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Claims)[key];
  }
  return value;
}

function readRoles(value: unknown): string[] {
  const roles: unknown[] = typeof value === "string" ? value.split(" ") : Array.isArray(value) ? value : [];
  return roles.filter((role): role is string => typeof role === "string" && role !== "");
}

/** True for a text that can be in logs and headers. */
export function isPlainText(value: unknown, mostChars: number): value is string {
  return (
    typeof value === "string" &&
    value !== "" &&
    value.length <= mostChars &&
    value.isWellFormed() &&
    !CONTROL.test(value)
  );
}

function isDeeper(value: unknown, most: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  return most === 0 || Object.values(value).some((each) => isDeeper(each, most - 1));
}
