/** Arguments, tables, verdicts and result files: what all benches print and how they end. */
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { canPin } from "./process.ts";

export interface BenchOptions {
  rounds: number;
  /** Length of one measurement. */
  seconds: number;
  /** Keep the figures in bench/results. */
  save: boolean;
}

/** Reads `--rounds N --seconds S --save`. */
export function readOptions(defaults: { rounds: number; seconds: number }): BenchOptions {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: String(defaults.rounds) },
      seconds: { type: "string", default: String(defaults.seconds) },
      save: { type: "boolean", default: false },
    },
  });
  const rounds = Number(values.rounds);
  const seconds = Number(values.seconds);
  if (!(rounds >= 1) || !(seconds > 0)) throw new TypeError("--rounds and --seconds are positive numbers");
  return { rounds, seconds, save: values.save };
}

/** Prints rows in columns: text to the left, numbers to the right. */
export function printTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
  const widths = head.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i]!.length)));
  const line = (row: readonly string[]): string =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join("  ");
  console.log(line(head));
  console.log(widths.map((width) => "-".repeat(width)).join("  "));
  for (const row of rows) console.log(line(row));
}

/** A figure with a target. */
export interface Verdict {
  what: string;
  value: number;
  /** Largest value that is good, or smallest. */
  limit: number;
  /** True when `limit` is the smallest value that is good. */
  atLeast?: true;
  unit?: string;
}

/**
 * Prints each target as met or missed, keeps the figures when asked to, and sets the exit status.
 * @param name of the bench, which is the name of its file
 */
export function conclude(
  name: string,
  verdicts: readonly Verdict[],
  figures: object,
  options: BenchOptions,
): void {
  console.log();
  for (const { what, value, limit, atLeast, unit = "" } of verdicts) {
    const met = atLeast ? value >= limit : value <= limit;
    if (!met) process.exitCode = 1;
    const bound = `${atLeast ? "at least" : "at most"} ${limit}${unit}`;
    console.log(`${met ? "ok    " : "MISSED"} ${name}: ${what} ${round(value)}${unit} (target: ${bound})`);
  }
  if (!options.save) return;
  const content = { bench: name, machine: machine(), options, verdicts, figures };
  saveResult(`${today()}-${name}.json`, `${JSON.stringify(content, null, 2)}\n`);
}

/** The date for the names of files. */
export function today(): string {
  return new Date().toISOString().slice(0, 10);
}

/** Writes a file into bench/results. */
export function saveResult(file: string, text: string): void {
  const folder = join(import.meta.dirname, "..", "results");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, file), text);
  console.log(`saved ${join(folder, file)}`);
}

export interface Machine {
  cpu: string;
  cores: number;
  /** True when processes were bound to cores. */
  pinned: boolean;
  node: string;
  commit: string;
}

export function machine(): Machine {
  const commit = spawnSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" });
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    pinned: canPin,
    node: process.version,
    commit: commit.stdout?.trim() || "unknown",
  };
}

export function round(value: number, digits = 3): number {
  return Number(value.toFixed(digits));
}

export function megabytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MB`;
}
