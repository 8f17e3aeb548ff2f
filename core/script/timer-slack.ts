/** Time limits of calls cost a wake-up each, unless the kernel may join them. */
import { readlinkSync, writeFileSync } from "node:fs";

/** How much later than asked a thread may be woken: Linux's own is 0.05 ms. */
const SLACK_NS = 1_000_000;

/**
 * Lets timers of threads that this thread starts from now on, and its own, be up to a millisecond late, so that many
 * ring at once (prctl(2), PR_SET_TIMERSLACK). isolated-vm sets a timer for each call, on a thread of its own: at 30,000
 * calls a second that is most of what a time limit costs. Where the kernel does not let us, it costs just that.
 */
export function joinTimers(): void {
  try {
    const thread = readlinkSync("/proc/thread-self").split("/").at(-1);
    writeFileSync(`/proc/${thread}/timerslack_ns`, String(SLACK_NS));
  } catch {
    // No Linux, or no /proc that can be written.
  }
}
