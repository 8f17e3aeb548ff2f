/**
 * A thread of its own that watches what scripts do to the data threads, so that somebody can still say it when a
 * script keeps every other thread, or ends the process. It does nothing else, and loads next to nothing.
 */
import { writeSync } from "node:fs";
import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { monotonicMs } from "../clock.ts";
import { LogOutput } from "../observe/log-output.ts";
import type { ProcessNote } from "../supervisor/messages.ts";
import { readThreadTime } from "../supervisor/thread-time.ts";
import { allVitals } from "../threads/vitals.ts";
import { CallWatch } from "./call-watch.ts";
import { type ScriptName, ScriptNames } from "./names.ts";
import type { FromWatchdog, ToWatchdog, WatchdogStart } from "./watchdog.ts";

/** Time between two looks. */
const LOOK_MS = 10;
/** A look that comes so late was kept from coming. */
const LATE_MS = 250;

const { vitals, ended, note, isOnlyThread } = workerData as WatchdogStart;
const threads = allVitals(vitals);
const watches = threads.map((each) => new CallWatch(each, () => readThreadTime(process.pid, each.systemId)));
const names = new ScriptNames();
let isSilent = false;

/** Tells the supervisor, at once: there may be no later. */
function tell(what: ProcessNote): void {
  if (note === undefined) return;
  try {
    writeSync(note, `${JSON.stringify(what)}\n`);
  } catch {
    // It is gone, and nobody is left who would want to know.
  }
}

/** Ends the process: the thread that would do so is the one that hangs. */
function endProcess(thread: number, script: ScriptName | undefined, ranMs: number): void {
  const reason = `the script ${script?.name ?? "(unknown)"} has kept the thread for ${ranMs} ms`;
  tell({ thread, script, stalled: reason });
  const fields = {
    thread,
    reason: "stall",
    script: script?.name,
    version: script?.version,
    file: script?.file,
  };
  const line = { level: "error", time: new Date(), ...fields, msg: `the process is ended: ${reason}` };
  const output = new LogOutput(1);
  if (!isSilent) output.write(`${JSON.stringify(line)}\n`);
  output.flush();
  process.kill(process.pid, "SIGKILL");
}

function look(thread: number, nowMs: number, isLate: boolean): void {
  const watch = watches[thread]!;
  const event = watch.look(nowMs, isLate);
  if (event === undefined) return;
  if (event === "over") return tell({ thread });
  const { id, sequence, sinceMs } = watch.call!;
  const script = names.get(id);
  if (event === "long") return tell({ thread, script });
  const ranMs = Math.round(nowMs - sinceMs);
  if (isOnlyThread) endProcess(thread, script, ranMs);
  else parentPort!.postMessage({ thread, sequence, script, ranMs } satisfies FromWatchdog);
}

let lookedAt = monotonicMs();
while (Atomics.load(ended, 0) === 0) {
  Atomics.wait(ended, 0, 0, LOOK_MS);
  for (let sent = receiveMessageOnPort(parentPort!); sent; sent = receiveMessageOnPort(parentPort!)) {
    const message = sent.message as ToWatchdog;
    names.add(message.scripts);
    isSilent = message.isSilent;
  }
  const now = monotonicMs();
  for (let thread = 0; thread < watches.length; thread++) look(thread, now, now - lookedAt > LATE_MS);
  lookedAt = now;
}
