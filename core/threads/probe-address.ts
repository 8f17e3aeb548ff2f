/** Makes sure that an address is free before several threads share it. */
import { createServer } from "node:net";
import type { ListenerConfig } from "../config/checked.ts";
import { listenError, listenerKeys } from "../gateway.ts";
import { parseAddress } from "../server.ts";

/**
 * Makes sure that all listeners that are new can be opened.
 * @param known keys of those that are open already
 * @throws ConfigError for an address that is not free
 */
export async function probeListeners(
  listeners: readonly ListenerConfig[],
  known: ReadonlySet<string>,
): Promise<void> {
  for (const [i, key] of listenerKeys(listeners).entries()) {
    if (known.has(key)) continue;
    const { address } = listeners[i]!;
    try {
      await probeAddress(address);
    } catch (error) {
      throw listenError(error, address, `/listeners/${i}/address`);
    }
  }
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
