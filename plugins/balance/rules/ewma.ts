/**
 * Of two targets drawn by weight the one that would answer sooner: its latency, times the requests it would have
 * then. The latency is a peak-sensitive average (see `Target.latencyMs`), as in Finagle and ingress-nginx.
 */
import type { Target } from "../../../core/plugin.ts";
import { SampledRule } from "./random.ts";

/** Cost of a target that has requests but has never answered: it may be broken, so one request is enough to ask. */
const UNKNOWN_MS = 1e9;

export class Ewma extends SampledRule {
  #meanWeight = 1;

  protected override prepare(eligible: readonly Target[]): void {
    super.prepare(eligible);
    this.#meanWeight = eligible.reduce((sum, { weight }) => sum + weight, 0) / eligible.length;
  }

  protected choose(): number {
    const first = this.sampler.sample();
    const second = this.sampler.sampleOther(first);
    return this.#cost(second) < this.#cost(first) ? second : first;
  }

  #cost(index: number): number {
    const { latencyMs, inFlight, weight } = this.targets[index]!;
    // Idle targets are drawn by weight already; under load twice the weight bears twice the requests.
    const load = (inFlight * this.#meanWeight) / weight;
    return latencyMs === 0 ? load * UNKNOWN_MS : latencyMs * (load + 1);
  }
}
