/** What is compared: Sluice and its peers. One file in `contenders/` each, or each kind; `contenders/index.ts` lists them. */
import type { Server } from "../support/gateways.ts";

/**
 * What is done beside proxying: headers are edited by configuration alone, by a script, or by configuration beside a
 * limit and a breaker; or replies are cached.
 */
export type Variant = "configured" | "script" | "guarded" | "cached";

export interface Contender {
  readonly name: string;
  /** True of Sluice: what the others are compared with. */
  readonly isOwn?: true;
  /**
   * Not set when it is a proxy and no more. All but `cached` also set `x-tenant: acme` and `x-source: gateway` on
   * requests and `x-served-by` on replies. Variants are in the scenario of the bare proxy only, or in that of guarded or
   * cached ones, beside Sluice doing the same.
   */
  readonly variant?: Variant;
  /** How another configuration gets into it while it runs. */
  readonly reloadedBy: string;
  /** Its version, or why it cannot take part. */
  find(): Found;
  start(options: StartOptions): Promise<Running>;
}

export type Found = { version: string } | { missing: string };

export interface StartOptions {
  /** URL of the upstream, without a path. */
  upstream: string;
  /** Sent upstream with each request as `x-revision`; without one no such header is sent. */
  revision?: number;
  /** Data threads of Sluice; others always have one thread or worker. */
  threads?: number;
  /** Where it listens; a free port otherwise. */
  port?: number;
  /** Cores that it may use: one, when nothing is said. */
  cores?: readonly number[];
}

export interface Running extends Server {
  /** Puts another revision into the running process; it need not serve yet. Undefined: only a restart does. */
  reload?: (revision: number) => Promise<void> | void;
}
