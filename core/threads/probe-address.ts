/** Makes sure that an address is free before several threads share it. */
import { createServer } from "node:net";
import type { ListenerConfig } from "../config/checked.ts";
import { listenError } from "../listen-error.ts";
import { listenerKeys, parseAddress } from "../listener-address.ts";
import { inTurn } from "./in-turn.ts";

/**
 * Opens listeners that several threads share, once it is sure that those that are new can be opened.
 * @param known keys of those that are open already
 * @throws ConfigError for an address that is not free
 */
export async function openProbed<T>(
  listeners: readonly ListenerConfig[],
  known: ReadonlySet<string>,
  open: () => Promise<T>,
): Promise<T> {
  const fresh = listenerKeys(listeners).flatMap((key, i) => {
    const { address } = listeners[i]!;
    return known.has(key) || address.endsWith(":0") ? [] : [{ address, i }];
  });
  if (fresh.length === 0) return open();
  return inTurn(async () => {
    for (const { address, i } of fresh) {
      await probeAddress(address).catch((error: unknown) => {
        throw listenError(error, address, `/listeners/${i}/address`);
      });
    }
    return open();
  });
}

/**
 * Listens on an address for a moment, as the only one. Sockets that share a port say nothing of others that share it
 * too: a second gateway, started by mistake, would take half of the connections.
 * @throws Error with a code such as EADDRINUSE
 */
export async function probeAddress(address: string): Promise<void> {
  const { host, port } = parseAddress(address);
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: host === "localhost" ? "127.0.0.1" : host, port, exclusive: true }, resolve);
  });
  await new Promise((resolve) => server.close(resolve));
}
