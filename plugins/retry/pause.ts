/** Waits between attempts. */
import type { Abortable, Exchange } from "../../core/plugin.ts";

/** Waits; an exchange that is given up waits no longer. @throws what it was given up with */
export function pause(x: Exchange, ms: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const mark = x.abortMark;
    const timer = setTimeout(() => {
      resolve();
      x.abortSince(mark, new Error("the wait is over")); // forgets what is registered below
    }, ms);
    const abortable: Abortable = {
      abort(reason) {
        clearTimeout(timer);
        reject(reason);
      },
    };
    x.onAbort(abortable);
  });
}
