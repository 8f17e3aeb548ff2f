/** Has the gateways of a machine open their listeners one after the other. */
import { once } from "node:events";
import { createServer } from "node:net";

/**
 * A socket outside the file system, of which there is one for all processes that see the same ports. The kernel
 * closes it with the process that has it.
 */
const TURN = "\0sluice-opens-listeners";
const RETRY_MS = 20;
/** Whoever has the turn for longer hangs, or is not one of us. On a busy machine several take seconds each. */
const PATIENCE_MS = 30_000;

/**
 * Does work while no other process does work in turn. To see that an address is free and to share it then are two
 * steps: of two gateways that start at once both would see it free, and share it.
 */
export async function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const end = await takeTurn();
  try {
    return await work();
  } finally {
    end();
  }
}

/** Waits for the turn; gives what ends it. */
async function takeTurn(): Promise<() => void> {
  if (process.platform !== "linux") return () => {};
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const server = createServer((socket) => socket.destroy()).unref();
    try {
      await once(server.listen(TURN), "listening");
      return () => void server.close();
    } catch (error) {
      const isTaken = (error as NodeJS.ErrnoException).code === "EADDRINUSE";
      if (!isTaken || performance.now() > deadline) return () => {};
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}
