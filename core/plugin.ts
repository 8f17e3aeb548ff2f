/**
 * The contract between the core and plugins. A plugin lives through five steps:
 *
 * 1. check    its options are validated against `schema` (ajv: no coercion, unknown keys refused, defaults filled in).
 * 2. build    `build(options, host)` does all slow work once: compiles patterns, parses units, opens resources.
 *             It may throw a ConfigError whose pointer names the option.
 * 3. compose  the stage it returned is called once per route with `next`, the handler of the stages below.
 *             A stage with nothing to do for a route returns `next` itself.
 * 4. serve    the handler is called per request. Pass-through handlers tail-call `next`; handlers with an
 *             after-part are async. Replies are values, failures are throws.
 * 5. close    what the stage opened is closed: register `host.onClose(fn)` at the moment a resource opens, so
 *             that a build that fails half-way cleans up too.
 */
import type { FromSchema } from "json-schema-to-ts";
import type { Audit } from "./audit.ts";
import type { Consumers } from "./consumers.ts";
import type { Exchange, Log } from "./exchange.ts";
import type { GatewayError } from "./errors.ts";
import type { Reply } from "./reply.ts";
import type { KeyValueStore } from "./store/store.ts";
import type { ChannelListener, ThreadChannel } from "./threads/thread-channel.ts";

export type { Audit, AuditFacts, AuditRecorder } from "./audit.ts";
export { type Body, BytesBody, QueuedBody, type Sink, StreamBody, toReadable } from "./body.ts";
export { ConfigError, type ErrorCode, GatewayError, type Problem } from "./errors.ts";
export {
  type Abortable,
  type Consumer,
  type EndListener,
  Exchange,
  type Log,
  type RouteInfo,
  type TargetGuard,
} from "./exchange.ts";
export { HeaderList } from "./headers.ts";
export { Printed, PRINTED_BODY_BYTES } from "./printed.ts";
export { Reply, textReply } from "./reply.ts";
export { sharedStore } from "./store/shared-store.ts";
export { StoreHealth } from "./store/store-health.ts";
export {
  createStoreScript,
  type IncrOptions,
  type KeyValueStore,
  type ScriptArgument,
  type SetOptions,
  type StoreScript,
  type Subscriber,
} from "./store/store.ts";
export type { ChannelListener, ThreadChannel } from "./threads/thread-channel.ts";
export type { FromSchema };

/** Turns an exchange into a reply. */
export type Handler = (x: Exchange) => Reply | Promise<Reply>;

/** Wraps the handler of the stages below it. Called once per route when a generation is built. */
export type Stage = (next: Handler) => Handler;

/**
 * A JSON Schema (draft-07) of a plugin's options: `type: "object"`, `additionalProperties: false`, and a
 * `description` on every property. Secrets carry `writeOnly: true`. `x-reference` says what a text names, which must be
 * there: a `store`, an `upstream`, a `consumer`, or as `own-path` a path that the stage answers itself, which a route
 * with the stage must match. A `key` may be made of the consumer, who must be known then as far as a stage says.
 */
export interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly properties?: Readonly<Record<string, JsonSchema | boolean>>;
  readonly [keyword: string]: unknown;
}

/** Time, as stages may know it. Tests pass a fake. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** Milliseconds that never go back; for durations. */
  monotonic(): number;
}

/** One target of an upstream: a base URL that requests can be sent to. */
export interface Target {
  /** Name of the upstream it belongs to. */
  readonly upstream: string;
  /** Tells it from the others of its upstream: host and port, and the path if it has one. */
  readonly id: string;
  readonly url: string;
  /** Its share of requests against the others now: as configured or set by an operator, less while it warms up. */
  readonly weight: number;
  /** Requests under way to it, of all routes and threads. */
  readonly inFlight: number;
  /** Milliseconds until its replies' heads: an average that follows peaks at once and forgets in seconds; 0 before the first. */
  readonly latencyMs: number;
  /**
   * Sends the exchange and gives the upstream's reply, its body still streaming.
   * @throws GatewayError UPSTREAM_*
   */
  forward(x: Exchange): Promise<Reply>;
}

/** A named group of targets. It lives: targets come, go, fall ill and recover. */
export interface Upstream {
  readonly name: string;
  /** All targets there are. A new array whenever one comes or goes. */
  readonly targets: readonly Target[];
  /** Targets that new requests may go to, with a weight above zero. A new array whenever it changes. */
  readonly eligible: readonly Target[];
  /** Requests under way to all of its targets together. */
  readonly inFlight: number;
  /** Grows whenever `targets`, `eligible` or a weight changes: for those who prepare something from them. */
  readonly version: number;
  /** True when requests that belong to a target may go to it: it is eligible, or well and being drained. */
  accepts(target: Target): boolean;
  /** Why nothing can be sent, when nothing is eligible: 503 with Retry-After. */
  unavailable(): GatewayError;
}

/** Label values of a metric, by label name. Must be bounded: never a path, an id or a header of the client. */
export type Labels = Readonly<Record<string, string>>;

/**
 * How the values that threads have of a series become one; `thread` keeps them apart by a label of that name.
 * Counters and histograms are summed up, or kept apart.
 */
export type Merge = "sum" | "max" | "min" | "thread";

/** Metrics of the gateway. Asking for a name again gives the same metric. Names start with `sluice_`. */
export interface Metrics {
  counter(
    name: string,
    help: string,
    labelNames?: readonly string[],
  ): { inc(labels?: Labels, by?: number): void };
  gauge(
    name: string,
    help: string,
    labelNames?: readonly string[],
    merge?: Merge,
  ): { set(value: number, labels?: Labels): void };
  histogram(
    name: string,
    help: string,
    labelNames?: readonly string[],
    buckets?: readonly number[],
  ): { observe(value: number, labels?: Labels): void };
  /**
   * A metric whose values are asked for when somebody reads it: for what is counted in plain numbers on the request
   * path, and for states. Several sources may share a name. Gives a function that takes the source away; what a
   * plugin registers through its host goes with its generation.
   * @param merge `sum` by default; for a state, `max` or `min`, whichever is the worst
   */
  collect(
    name: string,
    help: string,
    type: "counter" | "gauge",
    source: () => Iterable<readonly [labels: Labels, value: number]>,
    merge?: Merge,
  ): () => void;
}

/** Something that operators may look at, and change, through the admin listener. */
export interface Exposed {
  /** What to show; plain data, no secrets. */
  describe(): object | Promise<object>;
  /**
   * Changes it.
   * @param patch what the operator sent, parsed but unchecked
   * @throws ConfigError with pointers into the patch
   */
  change?(patch: unknown): void;
  /**
   * Answers a question about a part of it, or does something to one: for parts that are too many to be shown, or far
   * away. Each thread is asked. Plain data both ways.
   * @throws GatewayError when it cannot be asked now
   */
  ask?(question: unknown): object | Promise<object>;
}

/**
 * Cells of memory that all threads of a gateway see, found by key: for state that must be exact whichever thread a
 * request comes to. There is room for a fixed number; those that nobody used for their time to live make room.
 * Whoever changes a cell uses `Atomics`, and finishes within one turn: a cell may go once its time is over.
 */
export interface SharedCells {
  /** Payload words of a cell. */
  readonly cellWords: number;
  /** The memory as 32-bit words; cell `i` begins at word `i`. */
  readonly words: Int32Array<SharedArrayBuffer>;
  /** The same memory; cell `i` begins at `i / 2`. */
  readonly doubles: Float64Array<SharedArrayBuffer>;
  /** The same memory; cell `i` begins at `i / 2`. */
  readonly longs: BigInt64Array<SharedArrayBuffer>;
  /**
   * The cell of a key: a new one, all zero, if there is none. It stays for at least `ttlMs` from now, often a little
   * longer; whoever needs it for longer locates it again before. Costs about as much as a look into a `Map`.
   * @param nowMs the clock's monotonic milliseconds, which the caller mostly has at hand
   * @returns its first word, an even number; -1 when there is no room, which the caller must have an answer to
   */
  locate(key: string, ttlMs: number, nowMs: number): number;
  /**
   * The cell of a key, if there is one whose time is not over; it stays until the end of this turn.
   * @returns its first word; -1 when there is none
   */
  find(key: string, nowMs: number): number;
  /** Has a cell that was located or found in this turn stay for at least `ttlMs` from now. */
  prolong(cell: number, ttlMs: number, nowMs: number): void;
}

/** Memory that all threads of a gateway see. */
export interface SharedState {
  /** Small cells, many of them: counters of limits. */
  readonly counters: SharedCells;
  /** Large cells, fewer of them: states of circuits. */
  readonly circuits: SharedCells;
  /**
   * Cells with two words for each thread, those of thread `i` at `2 * i`: what it holds, and what it waits for. They
   * become zero when the thread ends.
   */
  readonly holdings: SharedCells;
  /** Small cells for millions of keys: what limits count. */
  readonly limits: SharedCells;
  /** Large cells, with the times of requests: limits that keep a log. */
  readonly logs: SharedCells;
  /** Tiny cells that say which thread has something that all could use. */
  readonly directory: SharedCells;
  /** What makes monotonic milliseconds those since the Unix epoch: the same in all threads, fixed at the start. */
  readonly utcOffsetMs: number;
  /** Number of this thread, from 0. */
  readonly thread: number;
  /** How many threads there are. */
  readonly threads: number;
  /** Wakes another thread that waits for something which may be there now. */
  ring(thread: number): void;
  /**
   * Resolves when this thread is rung for, for whatever reason. Whoever waits calls it first, looks for what it waits
   * for, and then waits; so no ring is missed.
   */
  rung(): Promise<void>;
  /**
   * Opens a channel to the other threads. Keep it over generations by {@link Host.keep}: each topic is open once.
   * @param topic what it is about, such as `cache users`
   */
  openChannel(topic: string, listener: ChannelListener): ThreadChannel;
}

/** What the gateway gives a plugin that is being built. */
export interface Host {
  /** Name of the route that the stage is built for. */
  readonly route: string;
  /** Name of the stage, made unique within its route: `concurrency`, `concurrency#2`. For labels and kept state. */
  readonly stage: string;
  readonly log: Log;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly upstreams: ReadonlyMap<string, Upstream>;
  /**
   * The stores of the configuration. An option that names one has `x-reference: store` in its schema. Get it while you
   * build: it is opened by that.
   */
  readonly stores: ReadonlyMap<string, KeyValueStore>;
  /** Who is known to the gateway. */
  readonly consumers: Consumers;
  /** Where decisions about who may pass are written down. */
  readonly audit: Audit;
  /** Memory that all threads see. */
  readonly shared: SharedState;
  /** A number from 0 up to 1. */
  random(): number;
  /** Folder that relative paths in the configuration start from. */
  readonly baseDir: string;
  /** Registers what begins when the generation serves; it never does when another stage cannot be built. */
  onActivate(begin: () => void): void;
  /**
   * Makes an exchange that the gateway has made by itself one of this route, as if a client had sent it: with the
   * route's params and rewrite. The generation waits for its end: whoever made it calls `end`. For what a stage sends
   * to those below it.
   * @returns false when requests like it are not for this route
   */
  adopt(x: Exchange): boolean;
  /** Registers what must happen when the generation ends. Runs in reverse order. */
  onClose(close: () => void | Promise<void>): void;
  /**
   * State that outlives a swap: gives the value kept under `key` by this or an earlier generation, or makes it.
   * Build the key from what the stage is (route, plugin, the options that define its identity). Its
   * `close()`, if it has one, is called when no generation uses it any more.
   */
  keep<T extends object>(key: string, create: () => T): T;
  /**
   * Shows something at `/admin/<collection>/<id>` as long as the generation serves. Exposing an id again replaces it.
   * Gives a function that ends it.
   */
  expose(collection: ExposedCollection, id: string, exposed: Exposed): () => void;
}

/** What plugins may show through the admin listener. */
export type ExposedCollection = "caches" | "circuit-breakers" | "limits";

/** A kind of stage. `Options` is inferred from the schema literal by {@link FromSchema}. */
export interface Plugin<Options = never> {
  /** File name, config key, schema name, docs page and metric label. */
  readonly name: string;
  readonly schema: JsonSchema;
  /** True when the stage always makes the reply itself and never calls `next`. */
  readonly terminal?: true;
  /** True when the stage decides who may pass: `onError: skip` is refused, because it would let everybody in. */
  readonly guard?: true;
  /** True when the stage says who asks: it sets the consumer. */
  readonly identifies?: true;
  /** True when a stage with such options, which says who asks, finds only consumers that the configuration has. */
  findsListedOnly?(options: Options): boolean;
  /** JSON Pointers to those of the options that never hold while nobody is known: refused where no stage above says who asks. */
  needsConsumer?(options: Options): readonly string[];
  /** True when the stage says what those who ask may do, or from where they may come. */
  readonly authorizes?: true;
  /**
   * What a stage with such options would do to the harm of others if it stood above one that says who asks, or what they
   * may do: `would …`. It is refused there, unless this gives undefined.
   */
  harmAboveAuth?(options: Options, below: Pick<Plugin, "identifies">): string | undefined;
  /** True when the stage answers CORS preflights, which then match routes that do not list OPTIONS. */
  readonly answersPreflight?: true;
  build(options: Options, host: Host): Stage | Promise<Stage>;
}

/** Plugins by name. */
export type Catalogue = ReadonlyMap<string, Plugin>;
