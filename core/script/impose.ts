/** Quarantines that the control thread imposes, and says so. */
import type { Clock, SharedState } from "../plugin.ts";
import type { Log } from "../exchange.ts";
import type { ScriptName } from "./names.ts";
import { Quarantine, QUARANTINE_MS } from "./quarantine.ts";

export interface ImposeContext {
  readonly shared: Pick<SharedState, "circuits">;
  readonly clock: Clock;
  readonly log: Log;
}

/** A script stalls a thread, or a thread died in the middle of it: none is to call it. */
export function imposeStall({ shared, clock, log }: ImposeContext, script: ScriptName): void {
  const now = clock.monotonic();
  const quarantine = new Quarantine(shared, script.version);
  if (!quarantine.impose("stall", QUARANTINE_MS.stall, now)) return;
  const leftMs = quarantine.describe(now)?.leftMs ?? 0;
  log.error(
    { ...fieldsOf(script), reason: "stall", forMs: Math.floor(leftMs / 1000) * 1000 },
    "script quarantined: a thread was lost while it ran",
  );
}

/** Scripts that earlier processes ended with are not called until they are others, or an operator says so. */
export function imposeKilled({ shared, clock, log }: ImposeContext, scripts: readonly ScriptName[]): void {
  for (const script of scripts) {
    new Quarantine(shared, script.version).impose("killed", QUARANTINE_MS.killed, clock.monotonic());
    log.error(
      { ...fieldsOf(script), reason: "killed" },
      "script quarantined: the process ended while it ran; change it, or reset it",
    );
  }
}

/** Those of them that still are. */
export function stillKilled(
  { shared, clock }: Omit<ImposeContext, "log">,
  scripts: readonly ScriptName[],
): ScriptName[] {
  const now = clock.monotonic();
  return scripts.filter(({ version }) => new Quarantine(shared, version).describe(now)?.reason === "killed");
}

function fieldsOf({ name, version, file }: ScriptName): object {
  return { script: name, version, file };
}
