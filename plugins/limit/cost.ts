/** What requests take, before and after there is a reply. */
import { compileHeaderName } from "../../core/option-text.ts";
import { ConfigError, type Exchange, type HeaderList, type Problem } from "../../core/plugin.ts";
import { toGatewayError } from "../../core/errors.ts";
import { compileStatuses, type StatusTable } from "../../core/statuses.ts";
import type { LimitOptions } from "./schema.ts";

const WHOLE = /^\d{1,15}$/;

/** @returns the units that a request takes */
export function compileCost(cost: LimitOptions["cost"], problems: Problem[]): (x: Exchange) => number {
  if (typeof cost === "number") return () => cost;
  const { default: fallback, max } = cost;
  const header = compileName(cost.header, "/cost/header", problems);
  return (x) => {
    const value = x.headers.get(header);
    if (value === undefined) return fallback;
    return WHOLE.test(value) ? Math.min(Number(value), max) : max;
  };
}

/** What requests cost in the end. */
export class Charge {
  readonly #header: string | undefined;
  readonly #max: number;
  readonly #statuses: StatusTable;
  readonly #cost: number;

  constructor(option: NonNullable<LimitOptions["charge"]>, problems: Problem[]) {
    const { header, max, statuses, cost } = option;
    this.#header = header === undefined ? undefined : compileName(header, "/charge/header", problems);
    this.#max = max;
    this.#statuses = compileStatuses(statuses, "/charge/statuses", problems);
    this.#cost = cost;
    if (header === undefined && statuses.length === 0) {
      const message = "Give `header`, `statuses` or both; without them nothing is charged";
      problems.push({ code: "CONFIG_VALUE", message, pointer: "/charge" });
    } else if (cost > 0 && statuses.length === 0) {
      const message = "`cost` is for `statuses`; without them it does nothing";
      problems.push({ code: "CONFIG_VALUE", message, pointer: "/charge/cost" });
    }
  }

  /** Takes the header off a reply. Gives the units that its request costs; undefined for what it has taken. */
  ofReply(status: number, headers: HeaderList): number | undefined {
    let told: string | undefined;
    if (this.#header !== undefined) {
      told = headers.get(this.#header);
      if (told !== undefined) headers.delete(this.#header);
    }
    if (this.#statuses[status] === 1) return this.#cost;
    return told !== undefined && WHOLE.test(told) ? Math.min(Number(told), this.#max) : undefined;
  }

  /** The same for a request that failed: the status that the client would see decides. */
  ofFailure(error: unknown): number | undefined {
    return this.#statuses[toGatewayError(error, "STAGE_FAILED").status] === 1 ? this.#cost : undefined;
  }
}

function compileName(name: string, pointer: string, problems: Problem[]): string {
  try {
    return compileHeaderName(name, pointer);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    problems.push(...error.problems);
    return "";
  }
}
