/** Checks the stages of a list, each against the schema of its plugin. */
import type { JsonSchema } from "../plugin.ts";
import { asList, asRecord, type Checking } from "./checking.ts";
import { checkCondition } from "./conditions.ts";
import { nearest } from "./nearest.ts";
import { childPointer } from "../pointer.ts";
import type { Condition, OnError, StageConfig } from "./checked.ts";
import { STAGE_KEYS } from "./schema.ts";
import { findNode } from "./tree.ts";
import { walkSchema } from "./walk-schema.ts";

/** One item of a list of stages. */
export type Item = StageItem | UseItem | BrokenItem;

export interface StageItem {
  readonly kind: "stage";
  readonly stage: StageConfig;
  /** True when it always answers. */
  readonly isTerminal: boolean;
  readonly pointer: string;
}

export interface UseItem {
  readonly kind: "use";
  readonly pipeline: string;
  readonly range: string | undefined;
  readonly when: Condition | undefined;
  readonly pointer: string;
}

/** An item with problems that were reported. */
export interface BrokenItem {
  readonly kind: "broken";
  readonly pointer: string;
}

const USE_KEYS = ["use", "when"] as const;

/**
 * @param list the list of stages as the gateway's schema left it
 * @param upstreams names of upstreams that stages may refer to
 */
export function checkStages(
  checking: Checking,
  list: unknown,
  pointer: string,
  upstreams: Record<string, unknown>,
): Item[] {
  return asList(list).map((item, i) => {
    const at = childPointer(pointer, i);
    const { node } = findNode(checking.tree, at);
    if (node.kind !== "map") return { kind: "broken", pointer: at }; // the gateway's schema has said so
    return checkItem(checking, asRecord(item), [...node.entries.keys()], at, upstreams);
  });
}

function checkItem(
  checking: Checking,
  item: Record<string, unknown>,
  keys: readonly string[],
  pointer: string,
  upstreams: Record<string, unknown>,
): Item {
  const broken: BrokenItem = { kind: "broken", pointer };
  checkCondition(checking, item["when"], `${pointer}/when`);
  if (keys.includes("plugin") && keys.includes("use")) {
    checking.report("CONFIG_VALUE", "A stage has `plugin` or `use`, not both", `${pointer}/use`, {
      atKey: true,
    });
    return broken;
  }
  if (keys.includes("use")) return checkUse(checking, item, keys, pointer) ?? broken;
  if (!keys.includes("plugin")) {
    reportNoPlugin(checking, keys, pointer);
    return broken;
  }
  if (typeof item["plugin"] !== "string" || item["plugin"] === "") return broken;
  return buildStage(checking, item, item["plugin"], pointer, upstreams) ?? broken;
}

function reportNoPlugin(checking: Checking, keys: readonly string[], pointer: string): void {
  for (const key of keys) {
    const near = nearest(key, ["plugin", "use"]);
    if (near === undefined) continue;
    const at = childPointer(pointer, key);
    checking.report("CONFIG_UNKNOWN_KEY", `Unknown key "${key}"`, at, { atKey: true, suggestion: near });
    return;
  }
  const message = 'A stage needs the key "plugin" (or "use") that says what it is';
  checking.report("CONFIG_MISSING_KEY", message, pointer);
}

function checkUse(
  checking: Checking,
  item: Record<string, unknown>,
  keys: readonly string[],
  pointer: string,
): UseItem | undefined {
  let isFine = true;
  for (const key of keys) {
    if ((USE_KEYS as readonly string[]).includes(key)) continue;
    isFine = false;
    const at = childPointer(pointer, key);
    if ((STAGE_KEYS as readonly string[]).includes(key)) {
      const message = `"${key}" cannot stand beside "use"; set it on the stages of the pipeline`;
      checking.report("CONFIG_UNKNOWN_KEY", message, at, { atKey: true });
    } else {
      const suggestion = nearest(key, ["when"]);
      const message = `Unknown key "${key}"; beside "use" there can only be "when"`;
      checking.report("CONFIG_UNKNOWN_KEY", message, at, {
        atKey: true,
        ...(suggestion === undefined ? {} : { suggestion }),
      });
    }
  }
  if (!isFine || typeof item["use"] !== "string") return undefined;
  const [pipeline = "", ...range] = item["use"].split("@");
  return {
    kind: "use",
    pipeline,
    range: range.length === 0 ? undefined : range.join("@"),
    when: item["when"] as Condition | undefined,
    pointer,
  };
}

function buildStage(
  checking: Checking,
  item: Record<string, unknown>,
  name: string,
  pointer: string,
  upstreams: Record<string, unknown>,
): StageItem | undefined {
  const plugin = checking.catalogue.get(name);
  if (plugin === undefined) {
    const known = checking.catalogue.keys();
    checking.reportUnknown("CONFIG_UNKNOWN_PLUGIN", "plugin", name, `${pointer}/plugin`, known);
    return undefined;
  }
  const options: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(item)) {
    if (!(STAGE_KEYS as readonly string[]).includes(key)) options[key] = value;
  }
  const others = STAGE_KEYS.filter((key) => key !== "use" && key !== "plugin");
  const isValid = checking.applySchema(plugin.schema, options, pointer, others);
  checkReferences(checking, plugin.schema, options, pointer, upstreams);
  if (plugin.guard === true && item["onError"] === "skip") {
    const message = `"${name}" decides who may pass, so it cannot be skipped when it fails`;
    checking.report("CONFIG_VALUE", message, `${pointer}/onError`);
  }
  if (!isValid) return undefined;
  const when = item["when"] as Condition | undefined;
  const stage: StageConfig = {
    plugin: name,
    name: typeof item["name"] === "string" ? item["name"] : name,
    ...(when === undefined ? {} : { when }),
    onError: completeOnError(item["onError"]),
    options,
    pointer,
  };
  return { kind: "stage", stage, isTerminal: plugin.terminal === true && when === undefined, pointer };
}

function completeOnError(value: unknown): OnError {
  if (value === "skip" || value === "fail" || value === undefined) return value ?? "fail";
  return { body: "", ...(value as { status: number; body?: string }) };
}

/** Checks the options that name an upstream or a store. */
function checkReferences(
  checking: Checking,
  schema: JsonSchema,
  options: object,
  base: string,
  upstreams: Record<string, unknown>,
): void {
  walkSchema(
    schema,
    options,
    (pointer, annotated, value) => {
      if (typeof value !== "string") return;
      const { stores } = checking;
      if (annotated["x-reference"] === "upstream") checkUpstreamName(checking, value, pointer, upstreams);
      else if (annotated["x-reference"] === "store" && !Object.hasOwn(stores, value))
        checking.reportUnknown("CONFIG_UNKNOWN_STORE", "store", value, pointer, Object.keys(stores));
    },
    base,
  );
}

function checkUpstreamName(
  checking: Checking,
  name: string,
  pointer: string,
  upstreams: Record<string, unknown>,
): void {
  if (Object.hasOwn(upstreams, name)) return;
  checking.reportUnknown("CONFIG_UNKNOWN_UPSTREAM", "upstream", name, pointer, Object.keys(upstreams));
}

/** The stage that a route's `upstream: name` stands for. */
export function createBalanceStage(
  checking: Checking,
  upstream: unknown,
  pointer: string,
  upstreams: Record<string, unknown>,
): Item {
  const broken: BrokenItem = { kind: "broken", pointer };
  if (typeof upstream !== "string" || upstream === "") return broken;
  const { findings } = checking;
  const before = findings.length;
  const stage = buildStage(checking, { upstream }, "balance", pointer, upstreams);
  // What was found is about options that nobody wrote: it belongs to the place that stands for them.
  for (let i = before; i < findings.length; i++) findings[i] = { ...findings[i]!, pointer };
  return stage ?? broken;
}
