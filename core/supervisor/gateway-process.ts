/** A gateway process, as its supervisor sees it. */
import { type ChildProcess, spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { constants } from "node:os";
import type { SocketHandle } from "./held-sockets.ts";
import {
  type CrashNote,
  type FromGateway,
  type FromSupervisor,
  HANDOVER,
  type Handover,
  type NamedScript,
} from "./messages.ts";
import { ProcessNotes } from "./process-notes.ts";
import { CONTROL_STALLED, REQUESTS_STALLED, ProcessWatch } from "./process-watch.ts";
import { readThreadTime } from "./thread-time.ts";

/** Starts a gateway process; the sockets of the handover are its file descriptors from {@link FIRST_FD} on. */
export type SpawnGateway = (handover: Handover, fds: readonly number[]) => ChildProcess;

/** Standard input, output, error and the channel for messages come before. */
const NOTE_FD = 4;
const FIRST_FD = 5;

/** Exit status of shells for what cannot be run; above it are signals. */
export const CANNOT_RUN = 127;

/** Variables that are the supervisor's alone. */
const OWN_VARIABLES = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/**
 * Runs this same command line again. The path of the program is looked up anew: where it is a link, an upgrade
 * starts what it points to now.
 */
export const spawnGateway: SpawnGateway = (handover, fds) => {
  const env: NodeJS.ProcessEnv = { ...process.env, [HANDOVER]: JSON.stringify(handover) };
  for (const name of OWN_VARIABLES) delete env[name];
  return spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    env,
    stdio: ["inherit", "inherit", "inherit", "ipc", "pipe", ...fds],
  });
};

export class GatewayProcess {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #notes: ProcessNotes;
  readonly #startedAt = performance.now();
  #readyAt: number | undefined;
  #vitals = { generation: 0, running: [] as readonly string[] };
  /** Scripts of the handover that it must not run, as of the last sign of life. */
  #quarantined: readonly NamedScript[];
  #blamed: NamedScript | undefined;
  #watch: ProcessWatch | undefined;
  /** Why it was killed. */
  #killedFor: string | undefined;
  /** Why another is to take its place. */
  #givenUpFor: string | undefined;
  /** How it ended: exit status, or 128 and the number of the signal. */
  #end: { reason: string; status: number } | undefined;

  /**
   * @param onMessage told what it says, save for what is kept here
   * @param onEnd told once, when it has ended and all that it said has come
   */
  constructor(
    start: SpawnGateway,
    handover: Omit<Handover, "sockets" | "note">,
    sockets: readonly [key: string, fd: number][],
    onMessage: (message: FromGateway, handle: SocketHandle | undefined) => void,
    onEnd: () => void,
  ) {
    const keys = sockets.map(([key], i): [string, number] => [key, FIRST_FD + i]);
    const child = start(
      { ...handover, sockets: keys, note: NOTE_FD },
      sockets.map(([, fd]) => fd),
    );
    this.#child = child;
    this.pid = child.pid ?? 0;
    this.#quarantined = handover.quarantined ?? [];
    let isTold = false;
    const finish = (): void => {
      // What it said before it ended may still be on the way.
      const isOver = this.#end !== undefined && !child.connected && this.#notes.isOver;
      if (!isOver || isTold) return;
      isTold = true;
      onEnd();
    };
    this.#notes = new ProcessNotes(child.stdio?.[NOTE_FD] as Readable | undefined, finish);
    child.on("disconnect", finish);
    const end = (reason: string, status: number): void => {
      this.#end ??= { reason: this.#killedFor ?? reason, status };
      finish();
    };
    child.on("exit", (code, signal) => {
      if (signal === null) end(`exit status ${code}`, code!);
      else end(`killed by ${signal}`, 128 + (constants.signals[signal] ?? 0));
    });
    child.on("error", (error) => {
      // Also a message that could not be sent, to a process that has just ended.
      if (child.pid === undefined) end(`could not be started: ${error.message}`, CANNOT_RUN);
    });
    child.on("message", (message: FromGateway, handle: unknown) => {
      this.#note(message);
      onMessage(message, handle as SocketHandle | undefined);
    });
  }

  /** True from when it serves to its end. */
  get isReady(): boolean {
    return this.#readyAt !== undefined && this.#end === undefined;
  }

  /** Another is to take its place: its end is no news. */
  get isGivenUp(): boolean {
    return this.#givenUpFor !== undefined;
  }

  /** How long it has served, in milliseconds. */
  get servedMs(): number {
    return this.#readyAt === undefined ? 0 : performance.now() - this.#readyAt;
  }

  get reason(): string {
    return this.#notes.stalled ?? this.#givenUpFor ?? this.#end?.reason ?? "runs";
  }

  /** Exit status, or 128 and the number of the signal that ended it, or {@link CANNOT_RUN}. */
  get status(): number {
    return this.#end?.status ?? 0;
  }

  /** Scripts that it must not run, and no process after it. */
  get quarantined(): readonly NamedScript[] {
    return this.#quarantined;
  }

  crashNote(): CrashNote {
    return {
      at: Date.now(),
      pid: this.pid,
      reason: this.reason,
      uptimeSeconds: Math.round(performance.now() - this.#startedAt) / 1000,
      ...this.#vitals,
      scripts: this.#blamed === undefined ? this.#notes.scripts : [...this.#notes.scripts, this.#blamed],
    };
  }

  send(message: FromSupervisor, handle?: SocketHandle): void {
    // One that ends at this moment hears nothing any more; its end is told otherwise.
    if (this.#child.connected) this.#child.send(message, handle as never, () => {});
  }

  /** @param script that is to blame */
  giveUp(reason: string, script: NamedScript | undefined): void {
    this.#givenUpFor = reason;
    this.#blamed = script;
  }

  kill(reason: string): void {
    this.#killedFor ??= reason;
    this.#child.kill("SIGKILL");
  }

  /** Kills it if it is stalled; gives why. */
  check(): string | undefined {
    const reason = this.isReady ? this.#watch?.check() : undefined;
    if (reason !== undefined) this.kill(reason);
    return reason;
  }

  #note(message: FromGateway): void {
    this.#watch?.beat();
    if (message.type === "ready") {
      this.#readyAt = performance.now();
      const limits = message.stallable ? REQUESTS_STALLED : CONTROL_STALLED;
      this.#watch = new ProcessWatch(limits, () => readThreadTime(this.pid, this.pid));
    }
    if (message.type === "excuse") this.#watch?.excuse(message.ms);
    if (message.type === "ready" || message.type === "beat") {
      const { generation, running, quarantined = [] } = message;
      this.#vitals = { generation, running };
      this.#quarantined = quarantined;
    }
  }
}
