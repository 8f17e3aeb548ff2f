/** A network that can be slow: passes bytes on to a port of this machine, late. */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

export interface SlowProxy {
  /** As of a Redis. */
  readonly url: string;
  /** How late bytes come, each way; those under way come as late as they were to. */
  delayMs: number;
  [Symbol.asyncDispose](): Promise<void>;
}

export async function startSlowProxy(port: number): Promise<SlowProxy> {
  const sockets = new Set<Socket>();
  const pass = (from: Socket, to: Socket): void => {
    sockets.add(from);
    from.on("error", () => {}); // its end is told to the other below
    let before = Promise.resolve(); // bytes stay in order
    from.on("data", (chunk) => {
      const due = new Promise((resolve) => setTimeout(resolve, proxy.delayMs));
      before = Promise.all([before, due]).then(() => void to.write(chunk));
    });
    from.on("close", () => {
      sockets.delete(from);
      to.destroy();
    });
  };
  const listener = createServer((socket) => {
    const other = connect(port, "127.0.0.1");
    pass(socket, other);
    pass(other, socket);
  });
  await once(listener.listen(0, "127.0.0.1"), "listening");
  const proxy: SlowProxy = {
    url: `redis://127.0.0.1:${(listener.address() as { port: number }).port}`,
    delayMs: 0,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      listener.close();
      await once(listener, "close");
    },
  };
  return proxy;
}
