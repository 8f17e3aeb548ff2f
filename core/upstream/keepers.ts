/** Looks after all upstreams on the control thread, generation by generation. */
import type { CheckedConfig } from "../config/checked.ts";
import { ConfigError, type Problem } from "../errors.ts";
import type { Log } from "../exchange.ts";
import type { KeepStore } from "../keep.ts";
import { childPointer } from "../pointer.ts";
import type { Clock, Metrics } from "../plugin.ts";
import type { Feeds } from "./feed.ts";
import { type Keeper, openKeeper } from "./keeper.ts";

/** How often it is looked at what data threads and time have made of the targets. */
const LOOK_MS = 250;

export interface KeepersContext {
  readonly kept: KeepStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** How many data threads there are. */
  readonly threads: number;
  /** A number from 0 up to 1. */
  random(): number;
  /** Told what is doubtful about a configuration but no error; pointers are into the configuration. */
  advise(doubts: Promise<readonly Problem[]>): void;
}

/** The upstreams of one generation: what data threads are told of them. */
export interface KeptUpstreams {
  readonly feeds: Feeds;
  /** It serves from now on. Cannot fail. */
  activate(): void;
  /** To be called when no data thread uses the feeds any more. */
  close(): Promise<void>;
}

export class Keepers {
  readonly #context: KeepersContext;
  /** Those of each generation that is not closed. */
  readonly #open = new Set<ReadonlyMap<string, Keeper>>();
  readonly #closing = new Set<Promise<void>>();
  /** Those of the generation that serves. */
  #serving: ReadonlyMap<string, Keeper> = new Map();
  #serials = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(context: KeepersContext) {
    this.#context = context;
  }

  /**
   * Opens all upstreams of a configuration at once.
   * @throws ConfigError with the problems of all; nothing is left open
   */
  async open(config: CheckedConfig): Promise<KeptUpstreams> {
    const feeds = new Map<string, Keeper>();
    const problems: Problem[] = [];
    const outcomes = await Promise.allSettled(
      Object.entries(config.upstreams).map(async ([name, upstream]) => {
        const locate = (found: readonly Problem[]): Problem[] =>
          found.map((p) => ({ ...p, pointer: `${childPointer("/upstreams", name)}${p.pointer}` }));
        const context = {
          ...this.#context,
          baseDir: config.baseDir,
          nextSerial: () => this.#serials++,
          advise: (doubts: Promise<readonly Problem[]>) => this.#context.advise(doubts.then(locate)),
        };
        try {
          feeds.set(name, await openKeeper(name, upstream, context));
        } catch (error) {
          if (!(error instanceof ConfigError)) throw error;
          problems.push(...locate(error.problems));
        }
      }),
    );
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed !== undefined || problems.length > 0) {
      await closeAll(feeds);
      throw failed === undefined ? new ConfigError(problems) : failed.reason;
    }
    this.#open.add(feeds);
    return { feeds, activate: () => this.#activate(feeds), close: () => this.#close(feeds) };
  }

  /** The upstreams that serve, for operators, by name. */
  inspect(): Record<string, object> {
    return Object.fromEntries([...this.#serving].map(([name, keeper]) => [name, keeper.describe()]));
  }

  /**
   * Changes an upstream that serves, and gives what it is then; undefined when there is none of that name.
   * @throws ConfigError with pointers into the patch
   */
  change(name: string, patch: unknown): object | undefined {
    const keeper = this.#serving.get(name);
    keeper?.change(patch);
    return keeper?.describe();
  }

  /** Takes back what a data thread held that is no more: its requests under way. */
  forgetThread(thread: number): void {
    const all = [...this.#open].flatMap((keepers) => [...keepers.values()].map(({ states }) => states));
    for (const states of new Set(all)) states.forgetThread(thread);
  }

  /** Looks at what data threads and time have made of the targets; done by itself several times a second. */
  look(): void {
    for (const keeper of this.#serving.values()) keeper.look();
  }

  /** Closes all that is open. */
  async close(): Promise<void> {
    await Promise.all([...this.#open].map((keepers) => this.#close(keepers)));
    await Promise.all(this.#closing);
  }

  #activate(keepers: ReadonlyMap<string, Keeper>): void {
    this.#serving = keepers;
    for (const keeper of keepers.values()) keeper.activate();
    this.#timer ??= setInterval(() => this.look(), LOOK_MS).unref();
  }

  async #close(keepers: ReadonlyMap<string, Keeper>): Promise<void> {
    if (!this.#open.delete(keepers)) return;
    if (this.#serving === keepers) this.#serving = new Map();
    if (this.#open.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
    const closing = closeAll(keepers).finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
    await closing;
  }
}

/** Closes keepers at once: one that takes long does not keep the others open. */
async function closeAll(keepers: ReadonlyMap<string, Keeper>): Promise<void> {
  await Promise.all([...keepers.values()].map((keeper) => keeper.close()));
}
