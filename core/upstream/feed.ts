/**
 * What the control thread tells data threads of an upstream: its targets as they come and go, with memory that all
 * threads see, in which their health and what operators set of them is kept.
 */

/** A target: plain data and shared memory, so that it can be sent to another thread. */
export interface FedTarget {
  readonly url: string;
  /** Weight as configured or discovered. */
  readonly weight: number;
  /** What is known of it, whichever generation asks; the same memory as long as the target is known. */
  readonly record: SharedArrayBuffer;
  /** What passive health remembers of it; undefined when nobody asks for that. */
  readonly outlier: SharedArrayBuffer | undefined;
}

/** The targets of one upstream of one generation. */
export interface Feed {
  /** What the targets of an upstream have in common; the same memory across generations. */
  readonly shared: SharedArrayBuffer;
  /** A new array whenever a target comes or goes, or its weight changes. */
  readonly targets: readonly FedTarget[];
  /** Calls `listener` whenever the targets change; gives a function that ends it. */
  subscribe(listener: () => void): () => void;
}

/** The feeds of one generation, by upstream. */
export type Feeds = ReadonlyMap<string, Feed>;
