/** All questions, in the order in which they are asked. */
import type { Scenario } from "../scenario.ts";
import { bare } from "./bare.ts";
import { bodies } from "./bodies.ts";
import { cached } from "./cached.ts";
import { connections } from "./connections.ts";
import { guarded } from "./guarded.ts";
import { idle } from "./idle.ts";
import { swapUnderLoad } from "./swap.ts";
import { threads } from "./threads.ts";

export const scenarios: readonly Scenario[] = [
  bare,
  guarded,
  cached,
  threads,
  bodies,
  connections,
  idle,
  swapUnderLoad,
];
