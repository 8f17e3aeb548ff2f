/** Any target, as often as its weight says. */
import type { Host, Target, Upstream } from "../../../core/plugin.ts";
import { PreparedRule } from "../pick-rule.ts";
import { Sampler } from "../sampler.ts";

/** A rule that draws lots by weight. */
export abstract class SampledRule extends PreparedRule {
  protected sampler = new Sampler([], () => 0);
  readonly #host: Host;

  constructor(upstream: Upstream, host: Host) {
    super(upstream);
    this.#host = host;
  }

  protected prepare(eligible: readonly Target[]): void {
    this.sampler = new Sampler(
      eligible.map(({ weight }) => weight),
      () => this.#host.random(),
    );
  }
}

export class RandomRule extends SampledRule {
  protected choose(): number {
    return this.sampler.sample();
  }
}
