/** What the control thread and data threads say to each other. Everything here is plain data and shared memory. */
import type { ScriptName } from "../script/names.ts";
import type { CheckedConfig } from "../config/checked.ts";
import type { LogLevel } from "../observe/log.ts";
import type { Snapshot } from "../observe/snapshot.ts";
import type { StoreCalls } from "../store/remote-store.ts";
import type { AnswerMessage, CallMessage } from "./calls.ts";
import type { FeedMessage, SentFeeds } from "./remote-feed.ts";
import type { SharedMemoryHandle } from "./shared-memory.ts";
import type { KeptSockets } from "./sockets.ts";

/** What a data thread is given when it begins. */
export interface DataThreadStart {
  /** Its number, from 0. */
  readonly thread: number;
  readonly memory: SharedMemoryHandle;
  readonly vitals: SharedArrayBuffer;
  readonly level: LogLevel;
  /** Listening sockets for it. */
  readonly sockets: KeptSockets;
}

/** What a data thread can be asked. */
export type DataThreadCalls = {
  /** Builds a configuration, to be activated or discarded. Gives where it will listen. */
  prepare(
    config: CheckedConfig,
    number: number,
    feeds: SentFeeds,
    at: readonly string[] | undefined,
  ): Promise<{ urls: string[] }>;
  /** Resolves when nothing of it is left. */
  discard(number: number): Promise<void>;
  /** Drains. Gives how many requests were cut off. */
  stop(drainMs: number, patient: boolean): Promise<number>;
  inspect(collection: string): Promise<Record<string, object>>;
  snapshot(): Promise<Snapshot>;
  change(collection: string, id: string, patch: unknown): Promise<object | undefined>;
  ask(collection: string, id: string, question: unknown): Promise<object[]>;
  /** Writes all that is in its memory to a new file. */
  writeHeap(path: string): Promise<void>;
};

/** What the control thread can be asked. */
export type ControlThreadCalls = StoreCalls & {
  /** Has the process replaced. */
  giveUp(reason: string, script: ScriptName): Promise<void>;
};

/** To a data thread. */
export type ToDataThread =
  | CallMessage
  | AnswerMessage
  /** Lets the configuration of this number serve. */
  | { readonly activate: number }
  | { readonly feed: FeedMessage };

/** From a data thread. */
export type FromDataThread =
  | AnswerMessage
  | CallMessage
  /** Nothing is left of the configuration of this number, which served. */
  | { readonly retired: number }
  /** Lines for the log, each with its line break. */
  | { readonly log: string }
  /** Sockets to be kept, or no longer. */
  | { readonly hold: string; readonly fd: number }
  | { readonly drop: readonly string[] };
