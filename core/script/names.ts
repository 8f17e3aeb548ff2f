/** What scripts are called, by the numbers that shared memory has for them. */
import type { ScriptBundle } from "./script.ts";
import { scriptId } from "./script.ts";

export type ScriptName = Pick<ScriptBundle, "name" | "version" | "file">;

/** How many are remembered: calls of those that no longer serve may still be under way. */
const MOST = 1000;

export class ScriptNames {
  /** The one that was named last at the end. */
  readonly #byId = new Map<number, ScriptName>();

  add(scripts: Iterable<ScriptName>): void {
    for (const { name, version, file } of scripts) {
      const id = scriptId(version);
      this.#byId.delete(id);
      this.#byId.set(id, { name, version, file });
    }
    for (const id of this.#byId.keys()) {
      if (this.#byId.size <= MOST) break;
      this.#byId.delete(id);
    }
  }

  get(id: number): ScriptName | undefined {
    return this.#byId.get(id);
  }
}
