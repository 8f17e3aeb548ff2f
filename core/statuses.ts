/** Lists of statuses and ranges of them in options: their schema, and the table that they are looked up in. */
import type { Problem } from "./errors.ts";
import { childPointer } from "./pointer.ts";

/**
 * Schemas of what a list may have: a status, and a range of them.
 * @param from hundreds of the least that makes sense
 */
export const statusSchemas = <const H extends 2 | 4>(from: H) =>
  [
    { type: "integer", minimum: (from * 100) as H extends 2 ? 200 : 400, maximum: 599 },
    {
      type: "string",
      pattern: `^[${from}-5]\\d\\d-[${from}-5]\\d\\d$`,
      "x-expected": "a status or a range such as 500-599",
    },
  ] as const;

/** A schema of a list. */
export const statusesSchema = <
  const H extends 2 | 4,
  const D extends readonly string[],
  const X extends string,
>(
  from: H,
  fallback: D,
  description: X,
) => ({ type: "array", items: { anyOf: statusSchemas(from) }, default: fallback, description }) as const;

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
  const table = createStatusTable();
  for (const [i, entry] of list.entries()) addStatuses(table, entry, childPointer(pointer, i), problems);
  return table;
}

/** A table with nothing in it. */
export function createStatusTable(): StatusTable {
  return new Uint8Array(SIZE);
}

/** Adds one entry of a list, which may have other things as well. */
export function addStatuses(
  table: StatusTable,
  entry: number | string,
  pointer: string,
  problems: Problem[],
): void {
  const [from = 0, to = from] = String(entry).split("-").map(Number);
  if (from <= to) table.fill(1, from, to + 1);
  else {
    const message = `The range ${entry} ends before it begins`;
    problems.push({ code: "CONFIG_VALUE", message, pointer, suggestion: `${to}-${from}` });
  }
}
