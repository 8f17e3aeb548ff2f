/**
 * What a small request costs where each is counted by address, a breaker watches the upstream, and three headers are
 * edited. Nothing is refused: the rate is higher than what can come.
 */
import type { Scenario } from "../scenario.ts";
import { measureSmall } from "../small-requests.ts";

export const guarded: Scenario = {
  name: "guarded",
  run: (bench) =>
    measureSmall(
      { ...bench, contenders: bench.contenders.filter(({ variant }) => variant === "guarded") },
      "limit, breaker and header edits",
      {},
    ),
};
