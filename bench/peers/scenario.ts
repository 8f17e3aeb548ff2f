/** A question that all contenders are asked. One file in `scenarios/` each; `scenarios/index.ts` lists them. */
import type { Server } from "../support/gateways.ts";
import type { Verdict } from "../support/report.ts";
import type { Bar } from "./chart.ts";
import type { Contender } from "./contender.ts";

export interface Scenario {
  /** For `--only`. */
  readonly name: string;
  run(bench: Bench): Promise<Outcome>;
}

/** What a scenario has to work with. */
export interface Bench {
  readonly rounds: number;
  /** Length of one measurement. */
  readonly seconds: number;
  readonly upstream: Server;
  /** Those that are there and have been verified, in the order of the tables. */
  readonly contenders: readonly Contender[];
}

export interface Outcome {
  title: string;
  head: readonly string[];
  rows: readonly (readonly string[])[];
  /** Said below the table. */
  notes?: readonly string[];
  verdicts: readonly Verdict[];
  /** Targets that could not be measured, and why. */
  open?: readonly string[];
  /** Contenders that failed on the way, and why. */
  failed: ReadonlyMap<string, string>;
  /** For the file of figures. */
  figures: object;
  /** For the picture. */
  bars?: readonly Bar[];
}
