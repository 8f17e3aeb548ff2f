/** Names of the routes of the last generations: what a thread that died ran last. */
import type { CheckedConfig } from "../config/checked.ts";
import type { Vitals } from "./vitals.ts";

export class RouteNames {
  readonly #byGeneration = new Map<number, readonly string[]>();

  /** A generation begins to serve. */
  add(number: number, { routes }: Pick<CheckedConfig, "routes">): void {
    this.#byGeneration.set(
      number,
      routes.map(({ name }) => name),
    );
    // The last two are enough: requests of older ones have long begun.
    for (const old of this.#byGeneration.keys()) if (old < number - 1) this.#byGeneration.delete(old);
  }

  /** The route whose request began last; undefined before the first. */
  lastOf({ lastRoute }: Pick<Vitals, "lastRoute">): string | undefined {
    return lastRoute && this.#byGeneration.get(lastRoute.generation)?.[lastRoute.route];
  }
}
