/** Tells whether files are what they were, without reading them. */
import { stat } from "node:fs/promises";

/** Clocks of file systems lag behind by up to a tick. */
const TICK_MS = 20;

export class Fingerprint {
  readonly #states: ReadonlyMap<string, string>;
  readonly #isSure: boolean;

  private constructor(states: ReadonlyMap<string, string>, isSure: boolean) {
    this.#states = states;
    this.#isSure = isSure;
  }

  /**
   * Of files that were read at some time since `since`, in milliseconds since the epoch. A file that changed about
   * then may have been read before or after: such a fingerprint never holds.
   */
  static async take(paths: readonly string[], since: number): Promise<Fingerprint> {
    let isSure = true;
    const states = await Promise.all(
      paths.map(async (path): Promise<[string, string]> => {
        const state = await look(path);
        if (state.changedAt > since - TICK_MS) isSure = false;
        return [path, state.identity];
      }),
    );
    return new Fingerprint(new Map(states), isSure);
  }

  /** True when no file has changed, appeared or gone. */
  async holds(): Promise<boolean> {
    if (!this.#isSure) return false;
    const same = await Promise.all(
      [...this.#states].map(async ([path, identity]) => (await look(path)).identity === identity),
    );
    return same.every(Boolean);
  }
}

async function look(path: string): Promise<{ identity: string; changedAt: number }> {
  const stats = await stat(path).catch(() => undefined);
  if (stats === undefined) return { identity: "missing", changedAt: 0 };
  const { dev, ino, size, mtimeMs, ctimeMs } = stats;
  return { identity: `${dev} ${ino} ${size} ${mtimeMs} ${ctimeMs}`, changedAt: ctimeMs };
}
