/** What a token says of itself, before anybody knows whether it is true. */
const IS_TOKEN = /^([\w-]+)\.([\w-]+)\.([\w-]+)$/;

export interface Head {
  readonly alg: string;
  readonly issuer: string;
}

/** @returns undefined when nothing that is written so is a token that counts */
export function parseHead(token: string): Head | undefined {
  const parts = IS_TOKEN.exec(token);
  if (parts === null) return undefined;
  const header = parseObject(parts[1]!);
  const claims = parseObject(parts[2]!);
  if (header === undefined || claims === undefined) return undefined;
  const { alg } = header;
  if (typeof alg !== "string" || typeof claims["iss"] !== "string") return undefined;
  // No extension is known here, and one that is critical must not be overlooked (RFC 7515 section 4.1.11).
  if ("crit" in header || "b64" in header) return undefined;
  // The last character has bits that mean nothing: the same token must not come in several writings.
  if (Buffer.from(parts[3]!, "base64url").toString("base64url") !== parts[3]) return undefined;
  return { alg, issuer: claims["iss"] };
}

function parseObject(part: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString());
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
