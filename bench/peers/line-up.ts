/** Who takes part: each contender is looked for, started and verified, and what is not as it should be is told. */
import type { Contender } from "./contender.ts";
import { printTable } from "../support/report.ts";
import { verify } from "./verify.ts";

export interface Entry {
  name: string;
  version: string | undefined;
  /** Why it does not take part. */
  problem: string | undefined;
  /** True when it is there and does not work: an error of the run, where a missing peer is not. */
  isBroken: boolean;
  /** True when it adds `X-Forwarded-For`. */
  tellsClient: boolean;
}

export async function tryOut(contender: Contender, upstream: string): Promise<Entry> {
  const { name } = contender;
  const found = contender.find();
  const entry = { name, version: undefined, problem: undefined, isBroken: false, tellsClient: false };
  if ("missing" in found) return { ...entry, problem: found.missing };
  const { version } = found;
  try {
    const server = await contender.start({ upstream });
    try {
      const { tellsClient } = await verify(contender, server.url);
      return { ...entry, version, tellsClient };
    } finally {
      await server.stop();
    }
  } catch (error) {
    return { ...entry, version, problem: (error as Error).message, isBroken: true };
  }
}

/** Prints who takes part, and why others do not. */
export function printLineUp(entries: readonly Entry[]): void {
  printTable(
    ["", "version", "X-Forwarded-For"],
    entries.map(({ name, version, problem, tellsClient }) => [
      name,
      version ?? "missing",
      problem === undefined ? (tellsClient ? "yes" : "no") : "",
    ]),
  );
  for (const { name, problem, isBroken } of entries) {
    if (problem !== undefined) console.log(`${isBroken ? "DOES NOT WORK" : "missing"}: ${name}: ${problem}`);
  }
}
