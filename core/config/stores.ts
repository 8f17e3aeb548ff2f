/** Checks stores, and adds the one that is always there. */
import { MOST_VALUE_BYTES } from "../store/store.ts";
import { parseNode, parseRedisUrl } from "../store/redis-url.ts";
import { childPointer } from "../pointer.ts";
import { parseDuration, parseSize, UNITS } from "../units.ts";
import { asList, asRecord, type Checking } from "./checking.ts";

/** A store in memory has room for a few values of the largest size. */
const LEAST_MEMORY_BYTES = 4 * MOST_VALUE_BYTES;

/** The store that stages use which name none. */
const MAIN = { type: "memory", maxBytes: "64MB" };

/** @returns the stores, `main` among them */
export function checkStores(checking: Checking, config: Record<string, unknown>): Record<string, unknown> {
  const stores = asRecord(config["stores"]);
  for (const [name, store] of Object.entries(stores)) {
    checkStore(checking, asRecord(store), childPointer("/stores", name));
  }
  config["stores"] = { main: MAIN, ...stores };
  return config["stores"] as Record<string, unknown>;
}

function checkStore(checking: Checking, store: Record<string, unknown>, pointer: string): void {
  const { maxBytes, url, timeout } = store;
  if (typeof maxBytes === "string" && matches(UNITS.size.pattern, maxBytes)) {
    if (parseSize(maxBytes) < LEAST_MEMORY_BYTES)
      checking.report("CONFIG_VALUE", "Must be at least 4MB", `${pointer}/maxBytes`);
  }
  if (typeof timeout === "string" && matches(UNITS.duration.pattern, timeout)) {
    const ms = parseDuration(timeout);
    if (ms < 1 || ms > 10_000)
      checking.report("CONFIG_VALUE", "Must be from 1ms to 10s", `${pointer}/timeout`);
  }
  if (typeof url === "string" && /^rediss?:\/\//.test(url)) {
    const problem = parseRedisUrl(url);
    if (typeof problem === "string") checking.report("CONFIG_VALUE", problem, `${pointer}/url`);
  }
  for (const [i, node] of asList(store["nodes"]).entries()) {
    if (typeof node !== "string") continue;
    const { port } = parseNode(node);
    if (port < 1 || port > 65535)
      checking.report("CONFIG_VALUE", "A port is from 1 to 65535", `${pointer}/nodes/${i}`);
  }
}

const matches = (pattern: string, text: string): boolean => new RegExp(pattern).test(text);
