/** Options with a unit: parsed, and refused when they are too little or too much. */
import type { Problem } from "./errors.ts";
import { parseDuration, parsePercent } from "./units.ts";

/** Longest that a timer of Node can wait, in whole days. */
const LONGEST_WAIT = "24d";

export class OptionBounds<K extends string> {
  readonly #options: { readonly [P in K]?: unknown };
  readonly #pointer: string;
  readonly #problems: Problem[];

  /**
   * @param pointer where the options are
   * @param problems where what is wrong with them goes; what was parsed is of no use then
   */
  constructor(options: { readonly [P in K]?: unknown }, pointer: string, problems: Problem[]) {
    this.#options = options;
    this.#pointer = pointer;
    this.#problems = problems;
  }

  /** Milliseconds of an option, from `least` to `most`. */
  duration(key: K, least: string, most: string): number {
    return this.#parse(key, parseDuration, least, most);
  }

  /** Milliseconds of an option that a timer waits for. */
  wait(key: K, least = "1ms"): number {
    return this.duration(key, least, LONGEST_WAIT);
  }

  /** The share that an option means, up to the whole. */
  share(key: K, least = "0%"): number {
    return this.#parse(key, parsePercent, least, "100%");
  }

  #parse(key: K, parse: (text: string) => number, least: string, most: string): number {
    const value = parse(this.#options[key] as string);
    if (value < parse(least) || value > parse(most)) {
      this.#problems.push({
        code: "CONFIG_VALUE",
        message: `\`${key}\` must be from ${least} to ${most}`,
        pointer: `${this.#pointer}/${key}`,
      });
    }
    return value;
  }
}
