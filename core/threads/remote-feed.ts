/** Feeds of upstreams on their way to another thread. */
import type { FedTarget, Feed, Feeds } from "../upstream/feed.ts";

/** Feeds as they are when they are sent. */
export type SentFeeds = readonly (readonly [
  upstream: string,
  feed: { readonly shared: SharedArrayBuffer; readonly targets: readonly FedTarget[] },
])[];

/** New targets of an upstream. */
export interface FeedMessage {
  /** Number of the configuration whose feed it is. */
  readonly generation: number;
  readonly upstream: string;
  readonly targets: readonly FedTarget[];
}

/** Feeds as they are now. */
export function sendFeeds(feeds: Feeds): SentFeeds {
  return [...feeds].map(([name, { shared, targets }]) => [name, { shared, targets }]);
}

/** Tells of changes of feeds until the function that it gives is called. */
export function followFeeds(
  feeds: Feeds,
  generation: number,
  tell: (message: FeedMessage) => void,
): () => void {
  const ends = [...feeds].map(([upstream, feed]) =>
    feed.subscribe(() => tell({ generation, upstream, targets: feed.targets })),
  );
  return () => {
    for (const end of ends) end();
  };
}

/** A feed that is told by another thread. */
export class RemoteFeed implements Feed {
  readonly shared: SharedArrayBuffer;
  readonly #listeners = new Set<() => void>();
  #targets: readonly FedTarget[];

  constructor(shared: SharedArrayBuffer, targets: readonly FedTarget[]) {
    this.shared = shared;
    this.#targets = targets;
  }

  get targets(): readonly FedTarget[] {
    return this.#targets;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  set(targets: readonly FedTarget[]): void {
    this.#targets = targets;
    for (const listener of this.#listeners) listener();
  }
}

/** Feeds that have been sent, to be used and told of changes. */
export function receiveFeeds(sent: SentFeeds): ReadonlyMap<string, RemoteFeed> {
  return new Map(sent.map(([name, { shared, targets }]) => [name, new RemoteFeed(shared, targets)]));
}
