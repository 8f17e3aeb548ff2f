/** A way to show who one is. */
import type { Consumer, Exchange } from "../../core/plugin.ts";

/**
 * What a method finds: who asks, that there is no credential of its kind, that there is a wrong one, or that nobody can
 * tell now.
 */
export type Finding = Consumer | "absent" | "invalid" | "unavailable";

export interface Method {
  /** As in options and metrics. */
  readonly name: string;
  /** What WWW-Authenticate says of it (RFC 9110 section 11.6.1). */
  readonly challenge: string;
  /** The same, for a request with a wrong credential of its kind. */
  readonly rejection: string;
  /** Looks at a request. Takes the credential from it, so that the upstream does not get it. */
  identify(x: Exchange): Finding | Promise<Finding>;
}
