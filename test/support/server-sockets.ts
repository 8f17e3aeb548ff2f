/** The gateway's side of connections, for tests of what a client cannot see: that it was dropped. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import type { Socket } from "node:net";
import { openRaw, type RawClient } from "./raw-http.ts";

/** Opens a connection to a gateway in this process, and gives both its ends. */
export async function openBothEnds(port: number): Promise<{ client: RawClient; server: Socket }> {
  const accepted: Socket[] = [];
  const onSocket = (message: unknown): void => void accepted.push((message as { socket: Socket }).socket);
  subscribe("net.server.socket", onSocket);
  try {
    const client = await openRaw(port);
    const isOurs = (socket: Socket): boolean => socket.remotePort === client.socket.localPort;
    for (;;) {
      const server = accepted.find(isOurs);
      if (server !== undefined) return { client, server };
      await new Promise((resolve) => setImmediate(resolve));
    }
  } finally {
    unsubscribe("net.server.socket", onSocket);
  }
}

/** Resolves when a socket has closed. */
export async function closed(socket: Socket): Promise<void> {
  if (!socket.closed) await once(socket, "close");
}
