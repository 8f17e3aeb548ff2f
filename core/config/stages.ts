/** Checks the stages of a list, each against the schema of its plugin. */
import type { JsonSchema, Plugin } from "../plugin.ts";
import { asList, asRecord, type Checking } from "./checking.ts";
import { checkCondition } from "./conditions.ts";
import { nearest } from "./nearest.ts";
import { childPointer } from "../pointer.ts";
import type { Condition, OnError, StageConfig } from "./checked.ts";
import { SCRIPT_KEYS, STAGE_KEYS } from "./schema.ts";
import { readGrants, readLimits, refuseScriptKeys } from "./script-keys.ts";
import { SCRIPT } from "./scripts.ts";
import { findNode } from "./tree.ts";
import { findReferences } from "./walk-schema.ts";

/** One item of a list of stages. */
export type Item = StageItem | UseItem | BrokenItem;

export interface StageItem {
  readonly kind: "stage";
  readonly stage: StageConfig;
  /** True when it always answers. */
  readonly isTerminal: boolean;
  readonly pointer: string;
  /** Set when it may say who asks. */
  readonly identifies?: true;
  /** Of a script: what stands in the stage beside the core's keys, where that is more than options. */
  readonly own?: Record<string, unknown>;
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
  const { catalogue, scripts } = checking;
  const plugin = catalogue.get(name);
  if (plugin === undefined && !scripts.plugins.has(name)) {
    const known = [...catalogue.keys(), ...scripts.plugins.keys()];
    const hint = scripts.folder === undefined ? "" : `; there is no file ${scripts.folder}/${name}.ts`;
    checking.reportUnknown("CONFIG_UNKNOWN_PLUGIN", "plugin", name, `${pointer}/plugin`, known, hint);
    return undefined;
  }
  const options: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(item)) {
    if (!(STAGE_KEYS as readonly string[]).includes(key)) options[key] = value;
  }
  const when = item["when"] as Condition | undefined;
  const stage: StageConfig = {
    plugin: name,
    name: typeof item["name"] === "string" ? item["name"] : name,
    ...(when === undefined ? {} : { when }),
    onError: completeOnError(item["onError"]),
    options,
    pointer,
  };
  if (plugin === undefined || name === SCRIPT) {
    return buildScript(checking, plugin, item, stage, upstreams);
  }
  const others = KEYS_BESIDE_OPTIONS.filter((key) => !(SCRIPT_KEYS as readonly string[]).includes(key));
  const isValid = checkOptions(checking, plugin.schema, options, pointer, others, upstreams);
  refuseScriptKeys(checking, item, name, pointer);
  if (plugin.guard === true && item["onError"] === "skip") {
    const message = `"${name}" decides who may pass, so it cannot be skipped when it fails`;
    checking.report("CONFIG_VALUE", message, `${pointer}/onError`);
  }
  if (!isValid) return undefined;
  const isTerminal = plugin.terminal === true && when === undefined;
  const checked = { kind: "stage", stage, isTerminal, pointer } as const;
  return plugin.identifies === true ? { ...checked, identifies: true } : checked;
}

const KEYS_BESIDE_OPTIONS = STAGE_KEYS.filter((key) => key !== "use" && key !== "plugin");

/** Checks options against their schema, fills in defaults, and resolves the names in them. True when they are valid. */
export function checkOptions(
  checking: Checking,
  schema: JsonSchema,
  options: object,
  pointer: string,
  others: readonly string[],
  upstreams: Record<string, unknown>,
): boolean {
  const isValid = checking.applySchema(schema, options, pointer, others);
  checkReferences(checking, schema, options, pointer, upstreams);
  return isValid;
}

/**
 * Completes a stage that is a script.
 * @param plugin the built-in one whose options name the script; undefined for a plugin file
 */
function buildScript(
  checking: Checking,
  plugin: Plugin | undefined,
  item: Record<string, unknown>,
  stage: StageConfig,
  upstreams: Record<string, unknown>,
): StageItem | undefined {
  const { scripts } = checking;
  const { plugin: name, pointer, options } = stage;
  const bundle = plugin === undefined ? scripts.plugins.get(name) : scripts.stages.get(pointer);
  const limits = readLimits(checking, item["limits"], `${pointer}/limits`);
  const grants = readGrants(checking, item["grants"], `${pointer}/grants`, bundle?.name ?? name);
  let at = pointer;
  let others: readonly string[] = KEYS_BESIDE_OPTIONS;
  if (plugin !== undefined) {
    if (!checkOptions(checking, plugin.schema, options, pointer, others, upstreams)) return undefined;
    stage.options = asRecord(options["options"]);
    if (typeof item["name"] !== "string" && bundle !== undefined) stage.name = bundle.name;
    at = `${pointer}/options`;
    others = [];
  }
  if (bundle === undefined) return undefined; // its problems are known
  if (!checkOptions(checking, bundle.manifest.schema, stage.options, at, others, upstreams)) return undefined;
  stage.script = { version: bundle.version, limits, grants };
  const own: Record<string, unknown> = { ...options };
  for (const key of SCRIPT_KEYS) if (item[key] !== undefined) own[key] = item[key];
  return { kind: "stage", stage, isTerminal: false, pointer, own };
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
  for (const [pointer, name] of findReferences("upstream", schema, options, base)) {
    checkUpstreamName(checking, name, pointer, upstreams);
  }
  const { stores } = checking;
  for (const [pointer, name] of findReferences("store", schema, options, base)) {
    if (Object.hasOwn(stores, name)) continue;
    checking.reportUnknown("CONFIG_UNKNOWN_STORE", "store", name, pointer, Object.keys(stores));
  }
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
