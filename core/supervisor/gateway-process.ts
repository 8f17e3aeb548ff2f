/** A gateway process, as its supervisor sees it. */
import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:os";
import type { SocketHandle } from "./held-sockets.ts";
import {
  type CrashNote,
  type FromGateway,
  type FromSupervisor,
  HANDOVER,
  type Handover,
  type Vitals,
} from "./messages.ts";
import { CONTROL_STALLED, REQUESTS_STALLED, readMainThread, ProcessWatch } from "./process-watch.ts";

/** Starts a gateway process; the sockets of the handover are its file descriptors from {@link FIRST_FD} on. */
export type SpawnGateway = (handover: Handover, fds: readonly number[]) => ChildProcess;

/** After standard input, output, error and the channel for messages. */
const FIRST_FD = 4;

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
    stdio: ["inherit", "inherit", "inherit", "ipc", ...fds],
  });
};

export class GatewayProcess {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #startedAt = performance.now();
  #readyAt: number | undefined;
  #vitals: Vitals = { generation: 0, running: [] };
  #watch: ProcessWatch | undefined;
  /** Why it was killed. */
  #killedFor: string | undefined;
  /** How it ended: exit status, or 128 and the number of the signal. */
  #end: { reason: string; status: number } | undefined;

  /**
   * @param onMessage told what it says, save for what is kept here
   * @param onEnd told once, when it has ended and all that it said has come
   */
  constructor(
    start: SpawnGateway,
    handover: Omit<Handover, "sockets">,
    sockets: readonly [key: string, fd: number][],
    onMessage: (message: FromGateway, handle: SocketHandle | undefined) => void,
    onEnd: () => void,
  ) {
    const keys = sockets.map(([key], i): [string, number] => [key, FIRST_FD + i]);
    const child = start(
      { ...handover, sockets: keys },
      sockets.map(([, fd]) => fd),
    );
    this.#child = child;
    this.pid = child.pid ?? 0;
    const end = (reason: string, status: number): void => {
      if (this.#end !== undefined) return;
      this.#end = { reason: this.#killedFor ?? reason, status };
      // What it said before it ended may still be on the way.
      if (child.connected) child.once("disconnect", onEnd);
      else onEnd();
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

  /** How long it has served, in milliseconds. */
  get servedMs(): number {
    return this.#readyAt === undefined ? 0 : performance.now() - this.#readyAt;
  }

  get reason(): string {
    return this.#end?.reason ?? "runs";
  }

  /** Exit status, or 128 and the number of the signal that ended it, or {@link CANNOT_RUN}. */
  get status(): number {
    return this.#end?.status ?? 0;
  }

  crashNote(): CrashNote {
    return {
      at: Date.now(),
      pid: this.pid,
      reason: this.reason,
      uptimeSeconds: Math.round(performance.now() - this.#startedAt) / 1000,
      ...this.#vitals,
    };
  }

  send(message: FromSupervisor, handle?: SocketHandle): void {
    // One that ends at this moment hears nothing any more; its end is told otherwise.
    if (this.#child.connected) this.#child.send(message, handle as never, () => {});
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
      this.#watch = new ProcessWatch(limits, () => readMainThread(this.pid));
    }
    if (message.type === "excuse") this.#watch?.excuse(message.ms);
    if (message.type === "ready" || message.type === "beat") {
      const { generation, running } = message;
      this.#vitals = { generation, running };
    }
  }
}
