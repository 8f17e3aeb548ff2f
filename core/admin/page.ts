/** What a page of the admin listener is. */
import type { Control } from "../control.ts";
import type { Exchange } from "../exchange.ts";
import type { Reply } from "../reply.ts";

/** @param params what stands in the place of `:name` in the path, decoded */
export type Answer = (control: Control, x: Exchange, params: readonly string[]) => Reply | Promise<Reply>;

export interface Page {
  /** Needs the token, when one is set. */
  readonly guarded: boolean;
  readonly methods: Readonly<Record<string, Answer>>;
}
