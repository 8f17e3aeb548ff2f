/** What the upstream is told of the consumer. Clients cannot send it: that is removed before a route is looked for. */
import type { Consumer, Exchange } from "./exchange.ts";

/** A schema of the option that asks for it. */
export const identityHeadersOption = {
  type: "boolean",
  default: false,
  description: "Tell the upstream who asks, in `x-consumer-name` and `x-consumer-roles`.",
} as const;

/** Many a server cannot tell `X_Consumer_Name` from `X-Consumer-Name`: both become HTTP_X_CONSUMER_NAME. */
const IDENTITY = /^x[-_]consumer[-_](?:name|roles)$/;

/** True for the names of these headers, which neither clients nor scripts may give. */
export function isIdentityHeader(lowerName: string): boolean {
  const { length } = lowerName;
  return (length === 15 || length === 16) && IDENTITY.test(lowerName);
}

export function introduceConsumer(x: Exchange, { name, roles }: Consumer): void {
  x.headers.setChecked("x-consumer-name", asMember(name));
  if (roles.length > 0) x.headers.setChecked("x-consumer-roles", roles.map(asMember).join(","));
}

/** A text as one member of a list in a header: what would end it or cannot be there is percent-encoded. */
function asMember(text: string): string {
  if (IS_MEMBER.test(text)) return text;
  return text.toWellFormed().replace(/[^\x21-\x24\x26-\x2b\x2d-\x7e]/gu, encodeURIComponent);
}

const IS_MEMBER = /^[\x21-\x24\x26-\x2b\x2d-\x7e]+$/;
