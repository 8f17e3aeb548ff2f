/** The built-in plugins, one line each, sorted. */
import type { Catalogue, Plugin } from "../core/plugin.ts";
import { auth } from "./auth.ts";
import { authorize } from "./authorize.ts";
import { balance } from "./balance.ts";
import { breaker } from "./breaker.ts";
import { cache } from "./cache.ts";
import { coalesce } from "./coalesce.ts";
import { compress } from "./compress.ts";
import { concurrency } from "./concurrency.ts";
import { cors } from "./cors.ts";
import { csrf } from "./csrf.ts";
import { ip } from "./ip.ts";
import { limit } from "./limit.ts";
import { mirror } from "./mirror.ts";
import { oauth2Client } from "./oauth2-client.ts";
import { oidcLogin } from "./oidc-login.ts";
import { redirect } from "./redirect.ts";
import { requestId } from "./request-id.ts";
import { respond } from "./respond.ts";
import { retry } from "./retry.ts";
import { script } from "./script.ts";
import { securityHeaders } from "./security-headers.ts";
import { sign } from "./sign.ts";
import { split } from "./split.ts";
import { timeout } from "./timeout.ts";
import { tokenIssuer } from "./token-issuer.ts";
import { transform } from "./transform.ts";
import { validate } from "./validate.ts";

const BUILT_IN: readonly Plugin[] = [
  auth,
  authorize,
  balance,
  breaker,
  cache,
  coalesce,
  compress,
  concurrency,
  cors,
  csrf,
  ip,
  limit,
  mirror,
  oauth2Client,
  oidcLogin,
  redirect,
  requestId,
  respond,
  retry,
  script,
  securityHeaders,
  sign,
  split,
  timeout,
  tokenIssuer,
  transform,
  validate,
];

/** Built-in plugins by name. */
export const catalogue: Catalogue = new Map(BUILT_IN.map((plugin) => [plugin.name, plugin]));
