/** Ports to listen on that have to be known before somebody does. */
import { once } from "node:events";
import { createServer } from "node:net";

/** Nodes of a Redis cluster talk to each other so much higher. */
const BUS_OFFSET = 10_000;
/** Below those that the kernel gives to connections and to listeners with port 0: it would give this one away. */
const [FIRST, LAST] = [12_000, 22_000];

/** A port that nobody listens on, nor on the one that is 10,000 higher. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST));
    if ((await isFree(port)) && (await isFree(port + BUS_OFFSET))) return port;
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    await once(server.listen(port, "127.0.0.1"), "listening");
    return true;
  } catch {
    return false;
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}
