/** What is published in a store on the network, by a connection of its own: made for the first who asks, and again when lost. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Subscriber } from "./store.ts";

/** A connection that only subscribes. */
export interface SubscribingConnection {
  connect(): Promise<void>;
  subscribe(...channels: string[]): Promise<unknown>;
  unsubscribe(...channels: string[]): Promise<unknown>;
  ping(): Promise<unknown>;
  disconnect(): void;
  on(event: "message", listener: (channel: string, message: string) => void): unknown;
  on(event: "error" | "end", listener: () => void): unknown;
}

/** A connection on which nothing is said may be dead: it is asked. */
const PING_MS = 5000;

export class Subscriptions {
  readonly #open: () => SubscribingConnection | undefined;
  readonly #pauseBefore: (attempt: number) => number;
  readonly #subscribers = new Map<string, Subscriber[]>();
  readonly #closing = new AbortController();
  #connection: SubscribingConnection | undefined;
  #isRunning = false;

  /**
   * @param open makes a connection that does not connect by itself, nor again; undefined when there is nothing to connect to
   * @param pauseBefore milliseconds before the next try to connect
   */
  constructor(open: () => SubscribingConnection | undefined, pauseBefore: (attempt: number) => number) {
    this.#open = open;
    this.#pauseBefore = pauseBefore;
  }

  /** @returns ends it */
  add(channel: string, subscriber: Subscriber): () => void {
    const others = this.#subscribers.get(channel) ?? [];
    this.#subscribers.set(channel, [...others, subscriber]);
    if (!this.#isRunning) void this.#run();
    else if (this.#connection !== undefined) void this.#subscribe(this.#connection, [channel]);
    return () => this.#remove(channel, subscriber);
  }

  close(): void {
    this.#closing.abort();
    this.#connection?.disconnect();
  }

  #remove(channel: string, subscriber: Subscriber): void {
    const others = (this.#subscribers.get(channel) ?? []).filter((each) => each !== subscriber);
    if (others.length > 0) this.#subscribers.set(channel, others);
    else if (this.#subscribers.delete(channel)) this.#connection?.unsubscribe(channel).catch(() => {});
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    this.#isRunning = true;
    for (let attempt = 1; !signal.aborted; attempt++) {
      const connection = this.#open();
      if (connection !== undefined && (await this.#use(connection))) attempt = 0;
      await sleep(this.#pauseBefore(attempt), undefined, { signal, ref: false }).catch(() => {});
    }
  }

  /** Resolves when the connection is lost. @returns whether there was one */
  async #use(connection: SubscribingConnection): Promise<boolean> {
    const lost = Promise.withResolvers<void>();
    connection.on("message", (channel, message) => this.#tell(channel, message));
    connection.on("error", () => {}); // the other connections say why
    connection.on("end", () => lost.resolve());
    const isConnected = await connection.connect().then(
      () => true,
      () => false,
    );
    if (!isConnected || this.#closing.signal.aborted) {
      connection.disconnect();
      return false;
    }
    this.#connection = connection;
    const timer = setInterval(() => void connection.ping().catch(() => {}), PING_MS).unref();
    await this.#subscribe(connection, [...this.#subscribers.keys()]);
    await lost.promise;
    clearInterval(timer);
    this.#connection = undefined;
    return true;
  }

  async #subscribe(connection: SubscribingConnection, channels: readonly string[]): Promise<void> {
    if (channels.length === 0) return;
    try {
      await connection.subscribe(...channels);
    } catch {
      connection.disconnect();
      return;
    }
    for (const channel of channels) {
      for (const subscriber of this.#subscribers.get(channel) ?? []) subscriber.connected();
    }
  }

  #tell(channel: string, message: string): void {
    for (const subscriber of this.#subscribers.get(channel) ?? []) subscriber.told(message);
  }
}
