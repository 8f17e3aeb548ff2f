/**
 * What a reply from a cache costs, of those that have one built in. The cache is warm: the upstream has nothing to do
 * but to fill it once. Replies say that they may be kept for an hour, and nothing is set that overrides it.
 */
import type { Scenario } from "../scenario.ts";
import { measureSmall } from "../small-requests.ts";
import { CACHEABLE } from "../upstream.ts";

const LIMITS = { "nginx + proxy_cache": 1.5 };

export const cached: Scenario = {
  name: "cached",
  async run(bench) {
    const contenders = bench.contenders.filter(({ variant }) => variant === "cached");
    const without = bench.contenders.filter(
      ({ name, variant }) => !variant && !contenders.some((each) => each.name.startsWith(`${name} + `)),
    );
    const outcome = await measureSmall({ ...bench, contenders }, "a hit in the cache", LIMITS, CACHEABLE);
    if (without.length === 0) return outcome;
    const names = without.map(({ name }) => name).join(", ");
    return {
      ...outcome,
      notes: [...(outcome.notes ?? []), `Without a cache that is built in and set up here: ${names}.`],
    };
  },
};
