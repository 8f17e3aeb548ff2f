/** Two phases over several threads: all prepare, then all activate; one failure and all discard. */
import type { Prepared } from "../gateway.ts";

/**
 * Waits until all threads are ready.
 * @throws what the first thread failed with that did; all others have discarded by then
 */
export async function prepareAll(preparing: readonly Promise<Prepared>[]): Promise<readonly Prepared[]> {
  const outcomes = await Promise.allSettled(preparing);
  const prepared = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
  const failed = outcomes.find((outcome) => outcome.status === "rejected");
  if (failed === undefined) return prepared;
  await Promise.all(prepared.map((one) => one.discard()));
  throw failed.reason;
}
