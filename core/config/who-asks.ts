/** Checks what stages say of consumers against who can have been found by the stages above them. */
import { isOfConsumer } from "../key.ts";
import type { JsonSchema, Plugin } from "../plugin.ts";
import type { Condition } from "./checked.ts";
import type { Checking } from "./checking.ts";
import { conditionSchema } from "./condition-schema.ts";
import type { StageItem } from "./stages.ts";
import { findReferences } from "./walk-schema.ts";

/** Who may be known at a place: nobody, consumers of the configuration, or others too. */
type Known = "nobody" | "listed" | "anybody";

/** A name that no consumer of the configuration has, where it is written, as all routes that go by there see it. */
interface Mention {
  readonly name: string;
  readonly pointer: string;
  /** True when some route may have such a consumer there. */
  isPossible: boolean;
}

const WHEN = {
  $ref: "#/definitions/condition",
  definitions: { condition: conditionSchema },
};

export class WhoAsks {
  readonly #checking: Checking;
  readonly #listed: ReadonlySet<string>;
  /** By pointer to what they are written in. */
  readonly #mentions = new Map<string, readonly Mention[]>();

  /** @param listed names of the consumers that the configuration has */
  constructor(checking: Checking, listed: Iterable<string>) {
    this.#checking = checking;
    this.#listed = new Set(listed);
  }

  /** @param isWhole whether all stages of the route can be looked at */
  ofRoute(isWhole: boolean): RouteAsks {
    return new RouteAsks(this, this.#checking, isWhole);
  }

  /** Notes the consumers that a condition names. */
  seeCondition(condition: Condition, pointer: string, known: Known): void {
    this.#see(WHEN, condition, pointer, known);
  }

  /** Notes the consumers that options name. */
  seeOptions(plugin: Plugin, options: object, pointer: string, known: Known): void {
    this.#see(plugin.schema, options, pointer, known);
  }

  /** Reports the consumers that no route can have where they are named. */
  report(): void {
    for (const { name, pointer, isPossible } of [...this.#mentions.values()].flat()) {
      if (isPossible) continue;
      this.#checking.reportUnknown("CONFIG_UNKNOWN_CONSUMER", "consumer", name, pointer, this.#listed);
    }
  }

  #see(schema: JsonSchema, value: object, base: string, known: Known): void {
    let mentions = this.#mentions.get(base);
    if (mentions === undefined) {
      mentions = findReferences("consumer", schema, value, base)
        .filter(([, name]) => !this.#listed.has(name))
        .map(([pointer, name]) => ({ name, pointer, isPossible: false }));
      this.#mentions.set(base, mentions);
    }
    if (known === "anybody") for (const mention of mentions) mention.isPossible = true;
  }
}

/** Goes through the stages of one route, from the top. */
class RouteAsks {
  readonly #all: WhoAsks;
  readonly #checking: Checking;
  /** Pointers to keys that are made of the consumer where nobody is known yet, and the plugins that have them. */
  readonly #early: (readonly [pointer: string, plugin: string])[] = [];
  #known: Known;

  constructor(all: WhoAsks, checking: Checking, isWhole: boolean) {
    this.#all = all;
    this.#checking = checking;
    this.#known = isWhole ? "nobody" : "anybody";
  }

  see(condition: Condition, pointer: string): void {
    this.#all.seeCondition(condition, pointer, this.#known);
  }

  enter({ stage, pointer }: StageItem): void {
    const plugin = this.#checking.catalogue.get(stage.plugin);
    if (plugin === undefined || stage.script !== undefined) return;
    const options = stage.options as never;
    this.#all.seeOptions(plugin, options, pointer, this.#known);
    if (this.#known === "nobody") {
      this.#reportNobody(plugin, options, pointer);
      if (plugin.identifies === true) this.#reportEarly(plugin.name);
      else this.#noteKeys(plugin, options, pointer);
    }
    if (plugin.identifies !== true || this.#known === "anybody") return;
    this.#known = plugin.findsListedOnly?.(options) === true ? "listed" : "anybody";
  }

  #reportNobody(plugin: Plugin, options: never, base: string): void {
    for (const pointer of plugin.needsConsumer?.(options) ?? []) {
      const message = `No stage above "${plugin.name}" says who asks, so this never holds; put one above it, such as \`auth\``;
      this.#checking.report("CONFIG_NOBODY_KNOWN", message, base + pointer);
    }
  }

  #noteKeys({ name, schema }: Plugin, options: object, base: string): void {
    for (const [pointer, key] of findReferences("key", schema, options, base)) {
      if (isOfConsumer(key)) this.#early.push([pointer, name]);
    }
  }

  /** A key that no request has is a mistake where a stage below would have said who asks. */
  #reportEarly(below: string): void {
    for (const [pointer, name] of this.#early) {
      const message = `"${name}" stands above "${below}", where nobody is known yet, so no request has this key; put it below`;
      this.#checking.report("CONFIG_NOBODY_KNOWN", message, pointer);
    }
  }
}
