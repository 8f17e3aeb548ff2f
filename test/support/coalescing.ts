/** Threads and gateways that coalesce the same requests, above an upstream that answers when a test says so. */
import type { ChannelListener, Exchange, Reply, ThreadChannel } from "../../core/plugin.ts";
import { createSharedMemory, SharedMemory } from "../../core/threads/shared-memory.ts";
import { coalesce } from "../../plugins/coalesce.ts";
import { bodyText, buildStage, exchange, FakeClock, FakeHost, reply, type RequestInit } from "./harness.ts";

/** What an upstream answers the n-th request with. */
export type Answer = (n: number) => Reply;

export interface Asking {
  readonly x: Exchange;
  /** Status, body, and Cache-Status. */
  readonly got: Promise<string>;
}

export interface CoalescingThread {
  readonly host: FakeHost;
  readonly ear: Ear;
  get(request?: RequestInit, consumer?: string): Asking;
}

export class CoalescingUpstream {
  /** Requests that came, of all threads and gateways. */
  readonly asked: Exchange[] = [];
  answer: Answer = (n) => reply(200, {}, `reply ${n}`);
  #gate = Promise.withResolvers<void>();

  readonly handle = async (x: Exchange): Promise<Reply> => {
    const n = this.asked.push(x);
    await this.#gate.promise;
    return this.answer(n);
  };

  /** Answers whatever has come. */
  release(): void {
    this.#gate.resolve();
    this.#gate = Promise.withResolvers();
  }

  /** Answers all that comes, too. */
  open(): void {
    this.#gate.resolve();
  }
}

/** Hears other threads after what they have told each other before. */
class Ear implements ChannelListener {
  readonly channel: ThreadChannel;
  #left = 0;
  #heard = Promise.withResolvers<void>();

  constructor(host: FakeHost) {
    this.channel = host.shared.openChannel("of a test", this);
  }

  /** Resolves once so many have spoken. */
  listen(to: number): Promise<void> {
    this.#left = to;
    this.#heard = Promise.withResolvers();
    return this.#heard.promise;
  }

  onMessage(): void {
    if (--this.#left === 0) this.#heard.resolve();
  }
}

/** Waits until the threads of a gateway have heard all that they have told each other, and answered what they can. */
export async function allHeard(threads: readonly CoalescingThread[]): Promise<void> {
  for (let round = 0; round < 2; round++) {
    const all = threads.map(({ ear }) => ear.listen(threads.length - 1));
    for (const { ear } of threads) ear.channel.post("heard?");
    await Promise.all(all);
  }
}

/** The threads of a gateway. @param prepare what else their hosts have */
export function openThreads(
  using: AsyncDisposableStack,
  upstream: CoalescingUpstream,
  threads: number,
  options: Record<string, unknown> = {},
  prepare: (host: FakeHost) => void = () => {},
): Promise<CoalescingThread[]> {
  const clock = new FakeClock();
  const memory = createSharedMemory(threads, clock.monotonic(), clock.now());
  const opening = Array.from({ length: threads }, async (_, thread) => {
    const host = Object.assign(new FakeHost(), { clock, shared: new SharedMemory(memory, thread) });
    prepare(host);
    const ear = new Ear(host);
    using.defer(async () => {
      ear.channel.close();
      await host.close();
    });
    const handler = await buildStage(coalesce, options, upstream.handle, host);
    return {
      host,
      ear,
      get(request: RequestInit = {}, consumer?: string) {
        const x = exchange(request);
        if (consumer !== undefined) x.consumer = { name: consumer, roles: [] };
        const answered = async (): Promise<string> => {
          const got = await handler(x);
          return `${got.status} ${await bodyText(got)} ${got.headers.get("cache-status") ?? "-"}`;
        };
        return { x, got: answered().finally(() => x.end()) };
      },
    };
  });
  return Promise.all(opening);
}
