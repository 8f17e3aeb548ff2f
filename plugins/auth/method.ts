/** A way to show who one is. */
import type { Consumer, Exchange } from "../../core/plugin.ts";

/**
 * What a method finds: who asks, that there is no credential of its kind, that there is a wrong one, or one that is right
 * but not for this, or that nobody can tell now.
 */
export type Finding = Consumer | "absent" | "invalid" | "forbidden" | "unavailable";

/** Where a credential may be. */
export interface Place {
  /** The same for all methods that look there. */
  readonly id: string;
  /** Takes a credential of the method's kind from there. */
  clear(x: Exchange): void;
}

export interface Method {
  /** As in options and metrics. */
  readonly name: string;
  /** What WWW-Authenticate says of it (RFC 9110 section 11.6.1). */
  readonly challenge: string;
  /** The same, for a request with a wrong credential of its kind. */
  readonly rejection: string;
  /** Looks at a request. Takes the credential from it, so that the upstream does not get it. */
  identify(x: Exchange): Finding | Promise<Finding>;
  /** Where it looks: cleared when another method has found who asks, since nobody knows whether what is there is right. */
  readonly places?: readonly Place[];
  /** Headers that tell the upstream what the method found: removed from every request before {@link introduce}. */
  readonly replaces?: readonly string[];
  /** Tells the upstream of the consumer that the method has found. */
  introduce?(x: Exchange, consumer: Consumer): void;
}
