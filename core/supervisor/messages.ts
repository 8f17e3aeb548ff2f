/** What the supervisor and a gateway process tell each other. */

/** Environment variable with the {@link Handover} of a gateway process, as JSON. */
export const HANDOVER = "SLUICE_HANDOVER";

/** What a gateway process begins with. */
export interface Handover {
  /**
   * Why it is started: for the first time, after one that ended unexpectedly, beside one for an upgrade, or beside one
   * that cannot go on for long.
   */
  kind: "start" | "restart" | "upgrade" | "replacement";
  /** Processes that ended without being asked or were given up, so far. */
  restarts: number;
  /** The last of them; null when there is none. */
  lastCrash: CrashNote | null;
  /** Listening sockets that are open already: key and file descriptor. */
  sockets: [key: string, fd: number][];
  /** File descriptor for {@link ProcessNote}s, a line each, as JSON. */
  note?: number;
  /** Scripts that processes ended with. */
  quarantined?: readonly NamedScript[];
}

/** A script, by what is needed to know it again and to speak of it. */
export interface NamedScript {
  readonly name: string;
  readonly version: string;
  readonly file: string;
}

/** What is written down while a process lives, to be known when it has ended. */
export interface ProcessNote {
  readonly thread: number;
  /** The script that has been running on that thread for a while; none by now when it is left out. */
  readonly script?: NamedScript | undefined;
  /** Why the process ends itself. */
  readonly stalled?: string;
}

/** What is known of a gateway process that ended without being asked. */
export interface CrashNote {
  /** Milliseconds since the epoch. */
  at: number;
  pid: number;
  /** How it ended, such as `killed by SIGSEGV`. */
  reason: string;
  uptimeSeconds: number;
  /** The generation that served, as of the last sign of life; 0 before the first. */
  generation: number;
  /** What it ran then, such as the route whose request began last on a thread. */
  running: readonly string[];
  /** Scripts that were in the middle of a call, each for longer than most take. */
  scripts: readonly NamedScript[];
}

/** What a gateway process tells with every sign of life. */
export interface Vitals {
  generation: number;
  running: readonly string[];
  /** Those of the handover's scripts that are still not to run. */
  quarantined?: readonly NamedScript[];
}

/** What a gateway process says. */
export type FromGateway =
  /** It serves. `stallable`: requests are handled by the thread that gives the signs of life. */
  | ({ type: "ready"; stallable: boolean } & Vitals)
  | ({ type: "beat" } & Vitals)
  /** It will give no sign of life for up to so many milliseconds; 0 when that is over. */
  | { type: "excuse"; ms: number }
  /** A part of it is lost, and only its end helps. The rest serves until another process does. */
  | { type: "giveUp"; reason: string; script?: NamedScript | undefined }
  /** A reload that it was asked for is over. */
  | { type: "reloaded"; result: string }
  /** Comes with a listening socket, to be kept. */
  | { type: "hold"; key: string }
  | { type: "drop"; keys: readonly string[] }
  /** Wants a duplicate of a socket that is kept. */
  | { type: "handBack"; key: string };

/** How a gateway process is to end. `handover`: another one has taken over; nobody waits for this one. */
export type StopMode = "drain" | "handover" | "now";

/** What the supervisor says. */
export type FromSupervisor =
  | { type: "stop"; mode: StopMode }
  | { type: "reload" }
  | { type: "log"; level: "info" | "warn" | "error"; message: string; fields: Record<string, unknown> }
  /** Answers `handBack`, with the socket if it is kept. */
  | { type: "socket"; key: string };
