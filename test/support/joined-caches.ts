/** The stages of one cache on several threads, or gateways with a store in common, above an upstream. No sockets but Redis'. */
import type { Handler } from "../../core/plugin.ts";
import { createSharedMemory, SharedMemory } from "../../core/threads/shared-memory.ts";
import { cache } from "../../plugins/cache.ts";
import { bodyText, buildStage, exchange, FakeClock, FakeHost, type RequestInit } from "./harness.ts";
import { openStore, redisAt } from "./stores.ts";

export interface JoinedCache {
  readonly host: FakeHost;
  /** Asks for something, and says what came: status, body and Cache-Status. */
  get(request?: RequestInit): Promise<string>;
}

export class JoinedCaches {
  readonly clock = new FakeClock();
  readonly #using: AsyncDisposableStack;
  readonly #upstream: Handler;

  constructor(using: AsyncDisposableStack, upstream: Handler) {
    this.#using = using;
    this.#upstream = upstream;
  }

  openThreads(count: number, options: Record<string, unknown> = {}): Promise<JoinedCache[]> {
    const { clock } = this;
    const memory = createSharedMemory(count, clock.monotonic(), clock.now());
    const open = (_: unknown, thread: number): Promise<JoinedCache> =>
      this.open(Object.assign(new FakeHost(), { clock, shared: new SharedMemory(memory, thread) }), options);
    return Promise.all(Array.from({ length: count }, open));
  }

  /** Gateways of one thread each. @param url of their store */
  openGateways(count: number, url: string, more: Record<string, unknown> = {}): Promise<JoinedCache[]> {
    const options = { store: "main", strategy: "write-through", coalesce: { wait: "60s" }, ...more };
    const open = async (): Promise<JoinedCache> => {
      const { store } = this.#using.use(await openStore(redisAt(url)));
      const stores = new Map([["main", store]]);
      return this.open(Object.assign(new FakeHost(), { clock: this.clock, stores }), options);
    };
    return Promise.all(Array.from({ length: count }, open));
  }

  /** Opens the stage on a host: the one that has it, as after a reload. */
  async open(host: FakeHost, options: Record<string, unknown>): Promise<JoinedCache> {
    this.#using.defer(() => host.close());
    const handler = await buildStage(cache, options, this.#upstream, host);
    return {
      host,
      async get(request = {}) {
        const x = exchange({ target: "/a", ...request });
        try {
          const got = await handler(x);
          const text = await bodyText(got);
          return `${got.status} ${text} ${got.headers.get("cache-status")}`;
        } finally {
          x.end();
        }
      },
    };
  }
}
