/** Finds out what a thread that hangs is doing, so that the log can say it. */
import type { Worker } from "node:worker_threads";

/** How long its stack is looked at, and how long it may take to say so. */
const SAMPLE_MS = 50;
const LIMIT_MS = 1000;

/** The part of a .cpuprofile that is read. */
interface Profile {
  readonly nodes: readonly {
    readonly hitCount: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
}

/**
 * The function that a thread spends its time in, such as `parse (file:///plugins/x.ts:12)`; undefined when it cannot
 * say, because it runs code that V8 does not interrupt.
 */
export async function findStuckAt(worker: Worker): Promise<string | undefined> {
  const handle = await within(LIMIT_MS, worker.startCpuProfile());
  if (handle === undefined) return undefined;
  await within(SAMPLE_MS, new Promise<void>(() => {}));
  const text = await within(LIMIT_MS, handle.stop());
  if (text === undefined) return undefined;
  const { nodes } = JSON.parse(text as string) as Profile;
  const busiest = nodes.reduce((most, node) => (node.hitCount > most.hitCount ? node : most));
  const { functionName, url, lineNumber } = busiest.callFrame;
  return url === "" ? undefined : `${functionName || "(anonymous)"} (${url}:${lineNumber + 1})`;
}

/** What a promise gives, if it does in time; undefined also when it fails. */
async function within<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } catch {
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}
