/** A way to show who one is. */
import type { Consumer, Exchange } from "../../core/plugin.ts";

/** What a method finds: who asks, that there is no credential of its kind, or that there is a wrong one. */
export type Finding = Consumer | "absent" | "invalid";

export interface Method {
  /** As in options and metrics. */
  readonly name: string;
  /** What WWW-Authenticate says of it (RFC 9110 section 11.6.1). */
  readonly challenge: string;
  /** Looks at a request. Takes the credential from it, so that the upstream does not get it. */
  identify(x: Exchange): Finding | Promise<Finding>;
}
