/** The concurrency stage over something below it that answers when a test says so. */
import type { GatewayError } from "../../core/errors.ts";
import type { Exchange } from "../../core/exchange.ts";
import { type Handler, type Reply, textReply } from "../../core/plugin.ts";
import { concurrency } from "../../plugins/concurrency.ts";
import { createSharedMemory, SharedMemory } from "../../core/threads/shared-memory.ts";
import { buildStage, exchange, FakeClock, FakeHost, type RequestInit } from "./harness.ts";

/** Exchanges that are below the stage now, and how each goes on. */
export class Below {
  readonly in: { x: Exchange; answer(status?: number): void; fail(error: Error): void }[] = [];
  /** Everybody that ever came. */
  readonly seen: Exchange[] = [];

  readonly handler: Handler = (x) => {
    const { promise, resolve, reject } = Promise.withResolvers<Reply>();
    this.seen.push(x);
    this.in.push({
      x,
      answer: (status = 200) => resolve(textReply(status, "below")),
      fail: (error) => reject(error),
    });
    return promise;
  };

  /** The first that is there leaves with a reply. */
  async answer(status?: number): Promise<Exchange> {
    const { x, answer } = this.in.shift()!;
    answer(status);
    await settle();
    return x;
  }
}

/** Lets what is ready happen. */
export const settle = async (): Promise<void> => {
  for (let i = 0; i < 10; i++) await Promise.resolve();
};

export async function setUp(options: Record<string, unknown> = { max: 2 }, host = new FakeHost()) {
  const below = new Below();
  const handle = await buildStage(concurrency, options, below.handler, host);
  /** What became of a request: a status, a code, or undefined while it goes on. */
  const results = new Map<Exchange, number | string>();
  const send = async (request: RequestInit | Exchange = {}): Promise<Exchange> => {
    const x = "headers" in request && "route" in request ? request : exchange(request);
    x.route = { ...x.route, name: host.route };
    void Promise.resolve()
      .then(() => handle(x))
      .then(
        (reply) => void results.set(x, reply.status),
        (error: GatewayError) => void results.set(x, error.code ?? error.message),
      );
    await settle();
    return x;
  };
  const gauge = (name: string): number => Object.values(host.collected(`sluice_concurrency_${name}`))[0]!;
  return { below, handle, results, send, host, gauge };
}

/** A host for each thread of one gateway. */
export function hostsOf(threads: number): FakeHost[] {
  const handle = createSharedMemory(threads, new FakeClock().monotonic());
  return Array.from({ length: threads }, (_, thread) => {
    const host = new FakeHost();
    host.shared = new SharedMemory(handle, thread);
    return host;
  });
}
