/** Who asks, by the claims of a token. */
import type { Consumer, FromSchema, Host } from "./plugin.ts";
import { parsePointer } from "./pointer.ts";

type Claims = Readonly<Record<string, unknown>>;

export const MOST_NAME_CHARS = 256;
const MOST_CREDENTIAL_CHARS = 100;
/** Whoever walks through claims must not run out of stack. */
const MOST_DEPTH = 32;
const CONTROL = /[\p{Cc}\u2028\u2029]/u;

const claim = <const X extends string>(description: X) =>
  ({ type: "string", minLength: 1, description }) as const;

/** Options that say who asks. */
export const namingOptions = {
  consumerClaim: { ...claim("Claim that says who asks."), default: "sub" },
  prefix: {
    type: "string",
    pattern: "^[\\x21-\\x7e]*$",
    maxLength: 100,
    "x-expected": "a text without blanks",
    description: "What goes before the consumer's name.",
  },
  rolesClaim: {
    ...claim("Claim with the roles: a list, or a text with blanks between."),
    default: "roles",
  },
  tierClaim: claim("Claim with the tier."),
  knownConsumers: {
    type: "boolean",
    default: false,
    description:
      "Let in consumers of the configuration only, with the roles and the tier that they have there.",
  },
} as const;

export type Naming = Omit<
  FromSchema<{ type: "object"; properties: typeof namingOptions; additionalProperties: false }>,
  "knownConsumers"
>;

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

/**
 * The consumer of the configuration that claims mean, with those claims that it does not have itself; undefined when
 * there is none.
 */
export function asConfigured(
  { name, credential, claims }: Consumer,
  consumers: Host["consumers"],
): Consumer | undefined {
  const known = consumers.get(name);
  return known && { ...known, credential: credential!, claims: { ...claims, ...known.claims } };
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
