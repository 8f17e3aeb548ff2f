/** The fields of an access log line. */
import type { Exchange } from "../exchange.ts";
import type { Outcome } from "../transaction.ts";

/**
 * One line a request. Durations in milliseconds; `gatewayMs` is the whole less the wait for the upstream.
 */
export function accessLine(x: Exchange, outcome: Outcome, ms: number): object {
  const line: Record<string, unknown> = {
    requestId: x.id,
    client: x.clientAddress,
    method: x.originalMethod,
    host: x.authority,
    path: x.originalPath,
    status: outcome.status,
    route: x.route.name,
    durationMs: round(ms),
    bytesIn: outcome.bytesIn,
    bytesOut: outcome.bytesOut,
  };
  if (x.upstream !== "") {
    line["upstream"] = x.upstream;
    line["target"] = x.target?.url;
    if (x.attempts > 1) line["attempts"] = x.attempts;
  }
  if (x.upstreamMs >= 0) {
    line["upstreamMs"] = round(x.upstreamMs);
    line["gatewayMs"] = round(Math.max(0, ms - x.upstreamMs));
  }
  if (x.consumer !== undefined) line["consumer"] = x.consumer.name;
  if (outcome.code !== undefined) line["code"] = outcome.code;
  if (x.timings !== undefined) {
    line["stages"] = Object.fromEntries([...x.timings].map(([stage, time]) => [stage, round(time)]));
  }
  return line;
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
