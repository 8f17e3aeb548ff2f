/** What is counted of an issuer of tokens. It outlives its generation. */
import type { Host } from "../../core/plugin.ts";

type Kind = "login" | "refresh" | "logout";
type Outcome = "allowed" | "refused" | "throttled" | "reused";

export class IssuerStats {
  readonly #counts = new Map<string, { readonly kind: Kind; readonly outcome: Outcome; count: number }>();

  count(kind: Kind, outcome: Outcome): void {
    const key = `${kind} ${outcome}`;
    const entry = this.#counts.get(key);
    if (entry === undefined) this.#counts.set(key, { kind, outcome, count: 1 });
    else entry.count++;
  }

  collect({ metrics, route, stage }: Host): void {
    metrics.collect(
      "sluice_token_issuer_requests_total",
      "Logins, refreshes and logouts by outcome: `allowed`, `refused`, `throttled`, `reused`.",
      "counter",
      () =>
        Array.from(this.#counts.values(), ({ kind, outcome, count }) => [
          { route, stage, kind, outcome },
          count,
        ]),
    );
  }
}
