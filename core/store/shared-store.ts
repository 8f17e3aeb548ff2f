/** The store of an option that only a store in Redis can be. */
import { ConfigError } from "../errors.ts";
import type { Host } from "../plugin.ts";
import type { KeyValueStore } from "./store.ts";

/** @throws ConfigError when the store is in memory: other gateways do not have it */
export function sharedStore(name: string, host: Host): KeyValueStore {
  const store = host.stores.get(name)!;
  if (store.runsScripts) return store;
  const message = `\`${name}\` is in memory, which gateways do not share: name a store in Redis, or none`;
  throw new ConfigError([{ code: "CONFIG_VALUE", message, pointer: "/store" }]);
}
