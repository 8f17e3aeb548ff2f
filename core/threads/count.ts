/** How many threads serve. */
import { createServer } from "node:net";
import { availableParallelism } from "node:os";
import type { Log } from "../exchange.ts";

/**
 * The number of threads for a configured one, as far as the system lets several listen on one port.
 * @param canShare whether it does; found out by default
 */
export async function countThreads(
  configured: number | "auto",
  log: Log,
  canShare: () => Promise<boolean> = canReusePort,
): Promise<number> {
  const threads = configured === "auto" ? availableParallelism() : configured;
  if (threads === 1 || (await canShare())) return threads;
  log.warn({ threads }, "one thread serves: this system cannot share a port between several (SO_REUSEPORT)");
  return 1;
}

/** Whether several sockets can listen on one port, each getting a share of its connections. */
export function canReusePort(): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ port: 0, host: "127.0.0.1", reusePort: true }, () => server.close(() => resolve(true)));
  });
}
