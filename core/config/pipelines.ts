/** Named pipelines: which exist, what `use` of them means, where they end. */
import { createRequire } from "node:module";
import { asRecord, type Checking } from "./checking.ts";
import { childPointer } from "../pointer.ts";
import type { Condition, StageConfig } from "./checked.ts";
import { checkStages, type Item, type StageItem, type UseItem } from "./stages.ts";

const require = createRequire(import.meta.url);
/** Loaded only when there are versions to compare. */
const semver = (): typeof import("semver") => require("semver") as typeof import("semver");

interface Pipeline {
  readonly name: string;
  readonly version: string | undefined;
  readonly items: readonly Item[];
}

/** True when a list always answers, false when it may not, undefined when its problems hide that. */
type Ends = boolean | undefined;

/** Longest chain of pipelines that use each other. */
const MAX_NESTING = 100;

/** Most stages of a route, pipelines included. */
const MAX_STAGES = 1000;

export class Pipelines {
  readonly #checking: Checking;
  readonly #pipelines = new Map<string, Pipeline>();
  readonly #ends = new Map<string, Ends>();
  readonly #sizes = new Map<string, number>();
  /** Pipelines that must not be followed: parts of a circle, and those nested too deeply. */
  readonly #endless = new Set<string>();

  /** Checks every pipeline at its own place, whether it is used or not. */
  constructor(checking: Checking, pipelines: Record<string, unknown>, upstreams: Record<string, unknown>) {
    this.#checking = checking;
    for (const [name, value] of Object.entries(pipelines)) {
      const pointer = childPointer("/pipelines", name);
      const { version, stages } = asRecord(value);
      this.#pipelines.set(name, {
        name,
        version: this.#checkVersion(version, `${pointer}/version`),
        items: checkStages(checking, stages, `${pointer}/stages`, upstreams),
      });
    }
    for (const { items } of this.#pipelines.values()) this.checkUses(items);
    this.#reportCycles();
    for (const { name } of this.#pipelines.values()) this.#endsOf(name);
  }

  /** Names with what is in them, for showing. */
  get(name: string): readonly Item[] {
    return this.#pipelines.get(name)?.items ?? [];
  }

  #checkVersion(version: unknown, pointer: string): string | undefined {
    if (typeof version !== "string") return undefined;
    const valid = semver().valid(version);
    if (valid === null) {
      const fixed = semver().valid(semver().coerce(version));
      const isHidden = this.#checking.isHidden(pointer);
      this.#checking.report("CONFIG_PIPELINE_VERSION", "This is not a version such as 1.2.0", pointer, {
        ...(fixed === null || isHidden ? {} : { suggestion: fixed }),
      });
    }
    return valid ?? undefined;
  }

  /** Checks that the pipelines that a list uses exist in the versions that it asks for. */
  checkUses(items: readonly Item[]): void {
    for (const item of items) if (item.kind === "use") this.#checkUse(item);
  }

  #checkUse({ pipeline: name, range, pointer }: UseItem): void {
    const at = `${pointer}/use`;
    const pipeline = this.#pipelines.get(name);
    if (pipeline === undefined) {
      this.#checking.reportUnknown("CONFIG_UNKNOWN_PIPELINE", "pipeline", name, at, this.#pipelines.keys());
      return;
    }
    const problem = range === undefined ? undefined : rangeProblem(pipeline, range);
    if (problem !== undefined) this.#checking.report("CONFIG_PIPELINE_VERSION", problem, at);
  }

  /** Follows `use` depth first; each circle is reported once, where it closes. */
  #reportCycles(): void {
    const done = new Set<string>();
    const visit = (name: string, chain: string[]): void => {
      if (done.has(name)) return;
      const path = [...chain, name];
      if (path.length > MAX_NESTING) {
        const message = `Pipelines use each other more than ${MAX_NESTING} levels deep`;
        this.#checking.report("CONFIG_VALUE", message, childPointer("/pipelines", name));
        this.#endless.add(name);
        return;
      }
      for (const item of this.get(name)) {
        if (item.kind !== "use") continue;
        const start = path.indexOf(item.pipeline);
        if (start === -1) {
          visit(item.pipeline, path);
          continue;
        }
        const circle = [...path.slice(start), item.pipeline].join(" -> ");
        this.#checking.report(
          "CONFIG_PIPELINE_CYCLE",
          `The pipeline uses itself: ${circle}`,
          `${item.pointer}/use`,
        );
        for (const member of path.slice(start)) this.#endless.add(member);
      }
      done.add(name);
    };
    for (const name of this.#pipelines.keys()) visit(name, []);
  }

  #endsOf(name: string): Ends {
    const pipeline = this.#pipelines.get(name);
    if (pipeline === undefined || this.#endless.has(name)) return undefined;
    if (this.#ends.has(name)) return this.#ends.get(name);
    const ends = this.checkEnd(pipeline.items);
    this.#ends.set(name, ends);
    return ends;
  }

  /** Whether a list always answers. Reports the first stage that can then never run. */
  checkEnd(items: readonly Item[]): Ends {
    let isSure = true;
    for (const [i, item] of items.entries()) {
      const ends = this.#itemEnds(item);
      if (ends === undefined) isSure = false;
      if (ends !== true) continue;
      const next = items[i + 1];
      if (next !== undefined) {
        const what = next.pointer.endsWith("/upstream")
          ? "This upstream is never asked"
          : "This stage never runs";
        const message = `${what}: the stage at ${this.#checking.placeOf(item.pointer)} answers every request`;
        this.#checking.report("CONFIG_UNREACHABLE", message, next.pointer);
      }
      return true;
    }
    return isSure ? false : undefined;
  }

  /** True when all stages of a list are known: none has problems, nor any of those that it uses. */
  isWhole(items: readonly Item[]): boolean {
    return items.every(
      (item) => item.kind === "stage" || (item.kind === "use" && this.#isKnown(item.pipeline)),
    );
  }

  #isKnown(name: string): boolean {
    const items = this.#endless.has(name) ? undefined : this.#pipelines.get(name)?.items;
    return items !== undefined && this.isWhole(items);
  }

  #itemEnds(item: Item): Ends {
    if (item.kind === "broken") return undefined;
    if (item.kind === "stage") return item.isTerminal;
    const ends = this.#endsOf(item.pipeline);
    return ends === true && item.when !== undefined ? false : ends;
  }

  #sizeOf(items: readonly Item[]): number {
    return items.reduce(
      (sum, item) => sum + (item.kind === "use" ? this.#pipelineSize(item.pipeline) : 1),
      0,
    );
  }

  #pipelineSize(name: string): number {
    let size = this.#sizes.get(name);
    if (size === undefined) {
      size = this.#endless.has(name) ? 0 : this.#sizeOf(this.get(name));
      this.#sizes.set(name, size);
    }
    return size;
  }

  /**
   * The stages of a list, `use` replaced by copies of what it names.
   * @param make what to make of a stage and its condition, with those of the `use` it came through
   * @param show what to make of conditions, by pointer; copies by default
   * @returns undefined when there are too many
   */
  flatten<T>(items: readonly Item[], make: MakeStage<T>, show: Show = copy): T[] | undefined {
    return this.#sizeOf(items) > MAX_STAGES ? undefined : this.#flatten(items, [], make, show);
  }

  #flatten<T>(items: readonly Item[], outer: readonly Condition[], make: MakeStage<T>, show: Show): T[] {
    return items.flatMap((item) => {
      if (item.kind === "broken") return [];
      const own = item.kind === "stage" ? item.stage.when : item.when;
      const shown = own === undefined ? undefined : show(own, `${item.pointer}/when`);
      if (item.kind === "use") {
        if (this.#endless.has(item.pipeline)) return [];
        const all = shown === undefined ? outer : [...outer, shown];
        return this.#flatten(this.get(item.pipeline), all, make, show);
      }
      return [make(item, structuredClone(combine(shown, outer)))];
    });
  }
}

/** A copy of a stage, with another condition. */
export const copyStage: MakeStage<StageConfig> = ({ stage }, when) => {
  const { plugin, name, when: _, ...rest } = structuredClone(stage);
  return { plugin, name, ...(when === undefined ? {} : { when }), ...rest };
};

/** Makes something of a stage and its condition. */
export type MakeStage<T> = (item: StageItem, when: Condition | undefined) => T;

const copy: Show = (value) => structuredClone(value);

/** Makes something of a part of the configuration, given its pointer. */
export type Show = <T>(value: T, pointer: string) => T;

/** The condition of a stage and those of the `use` it came through, which must all hold. */
function combine(own: Condition | undefined, outer: readonly Condition[]): Condition | undefined {
  if (outer.length === 0) return own;
  if (own === undefined && outer.length === 1) return outer[0];
  return { ...own, all: [...outer] };
}

function rangeProblem({ name, version }: Pipeline, range: string): string | undefined {
  if (range.trim() === "" || semver().validRange(range) === null) {
    return `What follows "@" is not a range of versions such as ^1 or 1.2.x`;
  }
  if (version === undefined)
    return `The pipeline "${name}" has no valid \`version\` to compare with the range`;
  if (semver().satisfies(version, range)) return undefined;
  return `The pipeline "${name}" is at version ${version}, which is not in the range`;
}

/** The message for a route with too many stages. */
export const TOO_MANY_STAGES = `The pipeline has more than ${MAX_STAGES} stages, with those of the pipelines that it uses`;
