/**
 * Messages between data threads, from one to another without the control thread between them. Bytes in shared memory
 * arrive without being copied; everything else is. What is posted to a thread that is not there is lost.
 */
import { BroadcastChannel } from "node:worker_threads";

/** Told of messages. */
export interface ChannelListener {
  /** @param from number of the thread that posted it */
  onMessage(message: unknown, from: number): void;
  /** Told of a thread that has ended: it answers nothing any more. Another one may have its number soon. */
  onGone?(thread: number): void;
}

/** One end of a channel. */
export interface ThreadChannel {
  /** @param to number of the thread that it is for; all others by default */
  post(message: unknown, to?: number): void;
  close(): void;
}

/** What travels. */
type Travelling = Envelope | { readonly gone: number };

interface Envelope {
  readonly topic: string;
  readonly from: number;
  readonly to: number | undefined;
  readonly message: unknown;
}

/** Where there are no others. */
const NOBODY: ThreadChannel = { post() {}, close() {} };

/** The channels of one thread; they share one line, which is open while one of them is. */
export class ThreadChannels {
  readonly #line: string;
  readonly #thread: number;
  readonly #threads: number;
  readonly #listeners = new Map<string, ChannelListener>();
  #broadcast: BroadcastChannel | undefined;

  /**
   * @param line name that the threads of a gateway have in common, and no other gateway in the process
   * @param thread number of this thread
   * @param threads how many there are
   */
  constructor(line: string, thread: number, threads: number) {
    this.#line = line;
    this.#thread = thread;
    this.#threads = threads;
  }

  /**
   * Opens a channel.
   * @param topic what it is about: messages reach those who opened the same, once per thread
   */
  open(topic: string, listener: ChannelListener): ThreadChannel {
    if (this.#threads === 1) return NOBODY;
    if (this.#listeners.has(topic)) throw new Error(`the channel ${topic} is open`);
    this.#listeners.set(topic, listener);
    this.#broadcast ??= this.#openLine();
    const from = this.#thread;
    return {
      post: (message, to) => this.#broadcast?.postMessage({ topic, from, to, message } satisfies Envelope),
      close: () => this.#close(topic),
    };
  }

  /** Tells all threads that one has ended. It needs no channel that is open. */
  tellGone(thread: number): void {
    if (this.#threads === 1) return;
    const line = new BroadcastChannel(this.#line);
    line.postMessage({ gone: thread } satisfies Travelling);
    line.close();
  }

  #openLine(): BroadcastChannel {
    const line = new BroadcastChannel(this.#line);
    line.unref();
    line.onmessage = (event) => {
      const { data } = event as unknown as { data: Travelling };
      if ("gone" in data) {
        for (const listener of this.#listeners.values()) listener.onGone?.(data.gone);
        return;
      }
      const { topic, from, to, message } = data;
      if (to === undefined || to === this.#thread) this.#listeners.get(topic)?.onMessage(message, from);
    };
    return line;
  }

  #close(topic: string): void {
    this.#listeners.delete(topic);
    if (this.#listeners.size > 0) return;
    this.#broadcast?.close();
    this.#broadcast = undefined;
  }
}
