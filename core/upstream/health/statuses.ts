/** Statuses and ranges of them, compiled to a table that is looked up by status. */
import { childPointer } from "../../pointer.ts";
import type { Problem } from "../../errors.ts";

/** A status is in it when its place is 1. Long enough for whatever three digits say. */
export type StatusTable = Uint8Array;

const SIZE = 1000;

/**
 * Compiles a list of statuses and ranges such as `200-299`.
 * @param pointer where the list is
 * @param problems where what is wrong with it goes
 */
export function compileStatuses(
  list: readonly (number | string)[],
  pointer: string,
  problems: Problem[],
): StatusTable {
  const table = new Uint8Array(SIZE);
  for (const [i, entry] of list.entries()) {
    const [from = 0, to = from] = String(entry).split("-").map(Number);
    if (from > to) {
      problems.push({
        code: "CONFIG_VALUE",
        message: `The range ${entry} ends before it begins`,
        pointer: childPointer(pointer, i),
        suggestion: `${to}-${from}`,
      });
    } else table.fill(1, from, to + 1);
  }
  return table;
}
