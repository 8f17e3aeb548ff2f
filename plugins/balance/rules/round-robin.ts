/** Each target in turn, whatever the weights. */
import type { Host, Target, Upstream } from "../../../core/plugin.ts";
import type { PickRule } from "../pick-rule.ts";

/** Whose turn it is; kept across generations so that frequent edits do not favour the first target. */
interface Turn {
  next: number;
}

export class RoundRobin implements PickRule {
  readonly #upstream: Upstream;
  readonly #turn: Turn;

  constructor(upstream: Upstream, host: Host) {
    this.#upstream = upstream;
    this.#turn = host.keep(`balance round-robin ${upstream.name}`, () => ({ next: 0 }));
  }

  pick(): Target | undefined {
    const { eligible } = this.#upstream;
    return eligible[this.#turn.next++ % eligible.length];
  }
}
