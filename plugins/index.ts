/** The built-in plugins, one line each, sorted. */
import type { Catalogue, Plugin } from "../core/plugin.ts";
import { requestId } from "./request-id.ts";
import { securityHeaders } from "./security-headers.ts";

const BUILT_IN: readonly Plugin[] = [requestId, securityHeaders];

/** Built-in plugins by name. */
export const catalogue: Catalogue = new Map(BUILT_IN.map((plugin) => [plugin.name, plugin]));
