/** Checks what only stages that are scripts have: `limits` and `grants`. */
import { parseDuration, parseSize } from "../units.ts";
import { checkCidrs } from "./addresses.ts";
import { asList, asRecord, type Checking } from "./checking.ts";
import type { FetchGrant, KvGrant, ScriptGrants, ScriptLimits } from "../script/script.ts";
import { privateHosts } from "../script/host-fetch-guard.ts";
import { SCRIPT_KEYS } from "./schema.ts";
import {
  type FetchOptions,
  fetchOptionsSchema,
  type KvOptions,
  type LimitsOptions,
  scriptLimitsSchema,
} from "./script-schema.ts";
import { createValidator } from "./validate.ts";

/** Refuses keys of scripts on a stage that is none. */
export function refuseScriptKeys(
  checking: Checking,
  item: Record<string, unknown>,
  plugin: string,
  pointer: string,
): void {
  for (const key of SCRIPT_KEYS) {
    if (item[key] === undefined) continue;
    const message = `"${key}" is for scripts, and "${plugin}" is a built-in plugin`;
    checking.report("CONFIG_UNKNOWN_KEY", message, `${pointer}/${key}`, { atKey: true });
  }
}

/** `limits` of a stage, those that are not written by default. What the schema refused was reported. */
export function readLimits(checking: Checking, written: unknown, pointer: string): ScriptLimits {
  const limits = { ...asRecord(written) };
  createValidator(scriptLimitsSchema)(limits);
  const { cpu, memory, wall } = limits as LimitsOptions;
  const bounds = new Bounds(checking, pointer);
  return {
    cpuMs: bounds.duration("cpu", cpu, "1ms", "500ms"),
    memoryBytes: bounds.size("memory", memory, "8MB", "512MB"),
    wallMs: bounds.duration("wall", wall, "1ms", "60s"),
  };
}

/** `grants` of a stage. @param script name that keys are kept apart by */
export function readGrants(
  checking: Checking,
  written: unknown,
  pointer: string,
  script: string,
): ScriptGrants {
  const { fetch, kv, secrets } = asRecord(written);
  return {
    fetch: fetch === undefined ? undefined : readFetch(checking, fetch, `${pointer}/fetch`),
    kv: kv === undefined ? undefined : readKv(checking, kv, `${pointer}/kv`, script),
    secrets: asRecord(secrets) as Record<string, string>,
  };
}

function readFetch(checking: Checking, written: unknown, pointer: string): FetchGrant {
  const options: object = Array.isArray(written) ? { hosts: written } : { ...asRecord(written) };
  createValidator(fetchOptionsSchema)(options);
  const { hosts, privateAddresses, timeout, maxResponse, maxRequests } = options as FetchOptions;
  checkCidrs(checking, privateAddresses, `${pointer}/privateAddresses`);
  for (const [i, address] of privateHosts(texts(hosts), texts(privateAddresses))) {
    const message = `${address} is not a public address: it must be in \`privateAddresses\` too, as in { hosts: ["${hosts[i]}"], privateAddresses: ["${address}"] }`;
    checking.report("CONFIG_VALUE", message, `${pointer}${Array.isArray(written) ? "" : "/hosts"}/${i}`);
  }
  const bounds = new Bounds(checking, pointer);
  return {
    hosts,
    privateAddresses,
    timeoutMs: bounds.duration("timeout", timeout, "1ms", "60s"),
    maxResponseBytes: bounds.size("maxResponse", maxResponse, "1B", "16MB"),
    maxRequests,
  };
}

/** The schema has said where something is no text. */
const texts = (list: unknown): string[] => asList(list).map(String);

function readKv(checking: Checking, written: unknown, pointer: string, script: string): KvGrant {
  const { store = "main", namespace = script } = asRecord(written) as Partial<KvOptions>;
  if (!Object.hasOwn(checking.stores, store)) {
    const known = Object.keys(checking.stores);
    checking.reportUnknown("CONFIG_UNKNOWN_STORE", "store", String(store), `${pointer}/store`, known);
  }
  return { store, namespace };
}

/** Parses texts with units; those that the schema has refused are nothing. */
class Bounds {
  readonly #checking: Checking;
  readonly #pointer: string;

  constructor(checking: Checking, pointer: string) {
    this.#checking = checking;
    this.#pointer = pointer;
  }

  duration(key: string, text: string, least: string, most: string): number {
    return this.#parse(key, text, parseDuration, least, most);
  }

  size(key: string, text: string, least: string, most: string): number {
    return this.#parse(key, text, parseSize, least, most);
  }

  #parse(key: string, text: string, parse: (text: string) => number, least: string, most: string): number {
    let value: number;
    try {
      value = parse(text);
    } catch {
      return 0; // the gateway's schema has said so
    }
    if (value < parse(least) || value > parse(most)) {
      const message = `\`${key}\` must be from ${least} to ${most}`;
      this.#checking.report("CONFIG_VALUE", message, `${this.#pointer}/${key}`);
    }
    return value;
  }
}
