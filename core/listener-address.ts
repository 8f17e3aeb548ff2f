/** Addresses of listeners. */
import type { ListenerConfig } from "./config/checked.ts";

/** Splits `host:port` or `[v6]:port`. */
export function parseAddress(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(":");
  return { host: address.slice(0, colon).replace(/^\[|\]$/g, ""), port: Number(address.slice(colon + 1)) };
}

/** What tells listeners apart: their addresses, and the place among equal ones, which port 0 allows. */
export function listenerKeys(configs: readonly ListenerConfig[]): string[] {
  const seen = new Map<string, number>();
  return configs.map(({ address }) => {
    const nth = seen.get(address) ?? 0;
    seen.set(address, nth + 1);
    return `${address} ${nth}`;
  });
}
