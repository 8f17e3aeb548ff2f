/**
 * What a small request costs. Contenders that edit three headers are compared with Sluice doing the same, all others
 * with Sluice doing nothing.
 */
import type { Scenario } from "../scenario.ts";
import { measureSmall } from "../small-requests.ts";

const LIMITS = {
  Caddy: 0.75,
  "@fastify/http-proxy": 0.65,
  "fast-gateway": 0.5,
  "express-gateway": 0.15,
};

export const bare: Scenario = {
  name: "bare",
  run: (bench) =>
    measureSmall(
      {
        ...bench,
        contenders: bench.contenders.filter(({ variant }) => variant !== "guarded" && variant !== "cached"),
      },
      "bare proxy",
      LIMITS,
    ),
};
