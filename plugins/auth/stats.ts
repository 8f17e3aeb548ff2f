/** What is counted of a stage that finds out who asks. It outlives its generation. */
import type { Host, Labels } from "../../core/plugin.ts";
import type { Finding } from "./method.ts";

type Outcome = "known" | Extract<Finding, string>;

export class AuthStats {
  readonly #counts = new Map<string, Record<Outcome, number>>();

  count(method: string, finding: Finding): void {
    let counts = this.#counts.get(method);
    if (counts === undefined) {
      counts = { known: 0, invalid: 0, forbidden: 0, absent: 0, unavailable: 0 };
      this.#counts.set(method, counts);
    }
    counts[typeof finding === "string" ? finding : "known"]++;
  }

  collect({ metrics, route, stage }: Host): void {
    metrics.collect(
      "sluice_auth_requests_total",
      "Requests by how they showed who asks: `known`, `invalid`, `forbidden`, `unavailable`, or `absent` with no method.",
      "counter",
      () =>
        [...this.#counts].flatMap(([method, counts]) =>
          Object.entries(counts)
            .filter(([, count]) => count > 0)
            .map(([outcome, count]): readonly [Labels, number] => [{ route, stage, method, outcome }, count]),
        ),
    );
  }
}
