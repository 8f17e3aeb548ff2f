/** What the kernel says of threads. Only Linux does. */
import { readFileSync, readlinkSync } from "node:fs";

export interface ThreadTime {
  cpuMs: number;
  /** `R` runs or waits for a core, `S` sleeps, `D` waits for a disk, `T` and `t` are stopped by somebody. */
  state: string;
}

/** Milliseconds of a clock tick in /proc: 100 a second on all of Linux. */
const TICK_MS = 10;

/**
 * A thread of a process; undefined where the kernel does not tell.
 * @param id what the system calls the thread; that of the main thread is the process's
 */
export function readThreadTime(pid: number, id: number): ThreadTime | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/task/${id}/stat`, "latin1");
    // The name in parentheses may hold spaces; behind it come the state and, as 12th and 13th, the CPU time.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return { state: fields[0]!, cpuMs: (Number(fields[11]) + Number(fields[12])) * TICK_MS };
  } catch {
    return undefined;
  }
}

/** What the system calls the thread that asks; 0 where the kernel does not tell. */
export function ownSystemId(): number {
  try {
    return Number(readlinkSync("/proc/thread-self").split("/").at(-1));
  } catch {
    return 0;
  }
}
