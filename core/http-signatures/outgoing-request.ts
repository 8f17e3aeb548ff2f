/** A request as the target will see it, for stages that sign it. */
import type { Exchange } from "../exchange.ts";
import type { Target } from "../plugin.ts";
import { parseTarget } from "../upstream/target-url.ts";
import type { SignedRequest } from "./components.ts";

export function outgoingRequest(x: Exchange, target: Target): SignedRequest {
  const { origin, host, basePath } = parseTarget(target.url);
  return {
    method: x.method,
    scheme: origin.startsWith("https:") ? "https" : "http",
    authority: outgoingHost(x, host),
    path: basePath + x.path,
    search: x.search,
    headers: x.headers,
  };
}

/** As `outgoingHeaders` has it: what a stage has set, the client's if the route wants that, or the target's. */
function outgoingHost(x: Exchange, targetHost: string): string {
  const set = x.headers.getAll("host").findLast((value) => value !== x.authority);
  return set ?? ((x.route.preserveHost && x.authority) || targetHost);
}
