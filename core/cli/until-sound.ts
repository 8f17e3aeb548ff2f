/** Waits for a configuration that can be used, for who is still writing it. */
import { ConfigLoadError, type Diagnostic, type LoadedConfig } from "../config/load.ts";
import { watchConfig, type Watcher } from "../config/watch.ts";

/**
 * Reads it, and again whenever a file of it changes.
 * @param show told what is wrong with it, each time
 * @param stopped resolves when nobody waits any more
 * @throws ConfigLoadError when nobody waits any more
 */
export async function loadUntilSound(
  load: () => Promise<LoadedConfig>,
  show: (problems: readonly Diagnostic[]) => void,
  stopped: Promise<unknown>,
): Promise<LoadedConfig> {
  let change = Promise.withResolvers<boolean>();
  let watcher: Watcher | undefined;
  try {
    for (;;) {
      try {
        return await load();
      } catch (error) {
        if (!(error instanceof ConfigLoadError)) throw error;
        if (watcher === undefined) {
          // What changed before it was watched is seen by reading once more.
          watcher = await watchConfig(error, () => change.resolve(true));
          continue;
        }
        watcher.update(error);
        show(error.diagnostics);
        if (!(await Promise.race([change.promise, stopped.then(() => false)]))) throw error;
        change = Promise.withResolvers();
      }
    }
  } finally {
    await watcher?.close();
  }
}
