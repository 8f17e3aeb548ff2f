/** A process whose only thread runs a script that nothing stops; file descriptor 3 takes its notes. */
import { monotonicMs } from "../../core/clock.ts";
import { createLog } from "../../core/observe/log.ts";
import { ScriptNames } from "../../core/script/names.ts";
import { type ScriptBundle, scriptId } from "../../core/script/script.ts";
import { Watchdog } from "../../core/script/watchdog.ts";
import { ownSystemId } from "../../core/supervisor/thread-time.ts";
import { createVitals, Vitals } from "../../core/threads/vitals.ts";
import { STALLING } from "./hostile-plugins.ts";

const memory = createVitals(1);
const vitals = new Vitals(memory, 0);
vitals.systemId = ownSystemId();
const watchdog = new Watchdog({
  vitals: memory,
  note: 3,
  isOnlyThread: true,
  names: new ScriptNames(),
  log: createLog({ level: "info", format: "json" }),
  onStall() {},
});
const log = { level: "info", format: "json", access: true, stageTimings: false } as const;
watchdog.follow({ scripts: { [STALLING.version]: STALLING as ScriptBundle }, log });
setImmediate(() => {
  vitals.enterScript(scriptId(STALLING.version), monotonicMs());
  for (;;);
});
