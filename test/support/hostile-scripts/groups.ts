/** All attacks of hooks, by what they are. */
import type { Attacks } from "./attack.ts";
import { BOMBS, TOO_LARGE } from "./bombs.ts";
import { ESCAPES } from "./escapes.ts";
import { LOOPS } from "./loops.ts";
import { ODDITIES } from "./oddities.ts";
import { OUTPUT } from "./output.ts";
import { TAMPERING } from "./tampering.ts";

export const GROUPS: Record<string, Attacks> = {
  "loops of every kind": LOOPS,
  "memory bombs": BOMBS,
  "too much at once": TOO_LARGE,
  "ways out": ESCAPES,
  "odd things thrown and promised": ODDITIES,
  "changed prototypes": TAMPERING,
  "odd things given back": OUTPUT,
};
