/** `import { definePlugin } from "sluice/plugin"`: what scripts are written with. */
import type { DefinePlugin } from "./plugin-api.ts";

export type * from "./plugin-api.ts";

/** Gives back what it is given, and its types: those of the options come from the schema literal. */
export const definePlugin: DefinePlugin = (definition) => definition;
