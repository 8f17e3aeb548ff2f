/** The built-in plugins, one line each, sorted. */
import type { Catalogue, Plugin } from "../core/plugin.ts";
import { balance } from "./balance.ts";
import { compress } from "./compress.ts";
import { concurrency } from "./concurrency.ts";
import { cors } from "./cors.ts";
import { ip } from "./ip.ts";
import { redirect } from "./redirect.ts";
import { requestId } from "./request-id.ts";
import { respond } from "./respond.ts";
import { securityHeaders } from "./security-headers.ts";
import { transform } from "./transform.ts";

const BUILT_IN: readonly Plugin[] = [
  balance,
  compress,
  cors,
  ip,
  redirect,
  requestId,
  concurrency,
  respond,
  securityHeaders,
  transform,
];

/** Built-in plugins by name. */
export const catalogue: Catalogue = new Map(BUILT_IN.map((plugin) => [plugin.name, plugin]));
