/** For tests that count in windows of days by the clock of the machine. */
import { setTimeout } from "node:timers/promises";

const DAY_MS = 86_400_000;
const MARGIN_MS = 60_000;

/** Waits for the next day (UTC) when it is about to begin: windows of days end there. */
export async function awayFromMidnight(): Promise<void> {
  while (Date.now() % DAY_MS > DAY_MS - MARGIN_MS) await setTimeout(1000);
}
