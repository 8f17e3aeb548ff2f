/** Of two targets drawn by weight the one with fewer requests under way for its weight. */
import { SampledRule } from "./random.ts";

export class PowerOfTwoChoices extends SampledRule {
  protected choose(): number {
    const first = this.sampler.sample();
    const second = this.sampler.sampleOther(first);
    const a = this.targets[first]!;
    const b = this.targets[second]!;
    return b.inFlight * a.weight < a.inFlight * b.weight ? second : first;
  }
}
