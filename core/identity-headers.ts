/** What the upstream is told of the consumer. Clients cannot send it: that is removed before a route is looked for. */
import type { Consumer, Exchange } from "./exchange.ts";
import { withDashes } from "./headers.ts";

/** A schema of the option that asks for it. */
export const identityHeadersOption = {
  type: "boolean",
  default: false,
  description: "Tell the upstream who asks, in `x-consumer-name` and `x-consumer-roles`.",
} as const;

const IDENTITY = /^x-consumer-(?:name|roles)$/;

/** True for the names of these headers, and what servers may take for them: neither clients nor scripts may give any. */
export function isIdentityHeader(lowerName: string): boolean {
  const { length } = lowerName;
  return (length === 15 || length === 16) && IDENTITY.test(withDashes(lowerName));
}

export function introduceConsumer(x: Exchange, { name, roles }: Consumer): void {
  x.headers.setChecked("x-consumer-name", asMember(name));
  if (roles.length > 0) x.headers.setChecked("x-consumer-roles", roles.map(asMember).join(","));
  else x.headers.delete("x-consumer-roles"); // a stage above may have introduced somebody else
}

/** A text as one member of a list in a header: what would end it or cannot be there is percent-encoded. */
function asMember(text: string): string {
  if (IS_MEMBER.test(text)) return text;
  return text.toWellFormed().replace(/[^\x21-\x24\x26-\x2b\x2d-\x7e]/gu, encodeURIComponent);
}

const IS_MEMBER = /^[\x21-\x24\x26-\x2b\x2d-\x7e]+$/;
