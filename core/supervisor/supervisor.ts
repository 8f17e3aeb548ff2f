/**
 * Keeps a gateway process running: starts it, starts it again when it ends without being asked, starts another
 * beside it for an upgrade, and keeps its listening sockets meanwhile. Decides only; who starts processes, reads
 * signals and speaks with systemd is told to it.
 */
import { CANNOT_RUN, GatewayProcess, type SpawnGateway } from "./gateway-process.ts";
import { HeldSockets, type SocketHandle } from "./held-sockets.ts";
import type { CrashNote, FromGateway, Handover, NamedScript } from "./messages.ts";
import { MAX_CRASHES, RestartPolicy } from "./restart-policy.ts";
import { CHECK_MS } from "./process-watch.ts";
import { type Notify, reloading } from "./systemd.ts";

/** How long the new process of an upgrade may take until it serves. */
const UPGRADE_LIMIT_MS = 60_000;
/** How long a process that is to end at once may take to write out its log. */
const FLUSH_LIMIT_MS = 1500;
/** Exit status after a crash loop: EX_SOFTWARE of sysexits.h. */
const CRASH_LOOP_STATUS = 70;

type Level = "info" | "warn" | "error";

export interface SupervisorOptions {
  spawn: SpawnGateway;
  notify: Notify;
  /** Writes a line for people, when no gateway process is there to log it. */
  say(line: string): void;
}

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #held = new HeldSockets();
  readonly #policy = new RestartPolicy();
  readonly #ended = Promise.withResolvers<number>();
  readonly #checks: NodeJS.Timeout;
  /** All that have not ended. */
  readonly #processes = new Set<GatewayProcess>();
  /** The one that serves, or is to. */
  #current: GatewayProcess | undefined;
  /** The one that is to take over from it. */
  #next: GatewayProcess | undefined;
  #upgradeLimit: NodeJS.Timeout | undefined;
  #restart: NodeJS.Timeout | undefined;
  #restarts = 0;
  #lastCrash: CrashNote | null = null;
  /** Scripts that processes ended with. */
  #quarantined: readonly NamedScript[] = [];
  #hasServed = false;
  /** The exit status, once it is to end. */
  #status: number | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#current = this.#start("start");
    this.#checks = setInterval(() => this.#check(), CHECK_MS);
  }

  /** Resolves with the exit status when everything has ended. */
  get ended(): Promise<number> {
    return this.#ended.promise;
  }

  /** Lets all processes drain and ends; asked a second time, they end at once. */
  stop(): void {
    if (this.#status !== undefined) {
      this.#status = 1;
      for (const each of this.#processes) each.send({ type: "stop", mode: "now" });
      setTimeout(() => this.#killAll("it was to end at once"), FLUSH_LIMIT_MS).unref();
      return;
    }
    this.#options.notify({ STOPPING: "1", STATUS: "Stopping: requests under way may end" });
    // First: while they are open, connections wait instead of being refused.
    this.#held.dropAll();
    for (const each of this.#processes) each.send({ type: "stop", mode: "drain" });
    this.#end(0);
  }

  reload(): void {
    if (this.#current?.isReady !== true) return this.#tell("warn", "no reload: no gateway serves now");
    this.#options.notify({ ...reloading(), STATUS: "Reloading" });
    this.#current.send({ type: "reload" });
  }

  /** Starts another process beside the one that serves; when it is ready, that one hands over and drains. */
  upgrade(): void {
    if (this.#status !== undefined) return;
    if (this.#next !== undefined) return this.#tell("warn", "no upgrade: one is under way");
    if (this.#current?.isReady !== true) return this.#tell("warn", "no upgrade: no gateway serves now");
    const { pid } = this.#startNext("upgrade");
    this.#tell("info", "upgrade: a new process starts", { pid });
  }

  /** Starts another process beside one that has lost a part of itself, which serves with the rest until then. */
  #replace(lost: GatewayProcess, reason: string, script: NamedScript | undefined): void {
    if (lost.isGivenUp) return; // another thread of it
    const isAlone = lost === this.#current && lost.isReady && this.#next === undefined;
    if (!isAlone || this.#status !== undefined) return lost.kill(reason);
    lost.giveUp(reason, script);
    this.#remember(lost);
    const { pid } = this.#startNext("replacement");
    this.#tell("error", "the process is replaced: a new one starts", { pid, reason });
  }

  /** Starts a process that is to take over from the one that serves. */
  #startNext(kind: "upgrade" | "replacement"): GatewayProcess {
    const next = this.#start(kind);
    this.#next = next;
    this.#upgradeLimit = setTimeout(
      () => next.kill(`not ready after ${UPGRADE_LIMIT_MS / 1000} s`),
      UPGRADE_LIMIT_MS,
    );
    return next;
  }

  #start(kind: Handover["kind"]): GatewayProcess {
    const quarantined = kind === "upgrade" ? this.#current!.quarantined : this.#quarantined;
    const handover = { kind, restarts: this.#restarts, lastCrash: this.#lastCrash, quarantined };
    const started: GatewayProcess = new GatewayProcess(
      this.#options.spawn,
      handover,
      this.#held.list(),
      (message, handle) => this.#onMessage(started, message, handle),
      () => this.#onEnd(started),
    );
    this.#processes.add(started);
    return started;
  }

  #onMessage(from: GatewayProcess, message: FromGateway, handle: SocketHandle | undefined): void {
    // Sockets are those of the process that serves, or has just told that it does.
    const counts = from === this.#current && this.#status === undefined;
    switch (message.type) {
      case "ready":
        return this.#onReady(from);
      case "hold":
        if (handle === undefined) return; // closed meanwhile
        if (counts) this.#held.hold(message.key, handle);
        else handle.close();
        return;
      case "drop":
        if (counts) this.#held.drop(message.keys);
        return;
      case "giveUp":
        return this.#replace(from, message.reason, message.script);
      case "handBack":
        return from.send({ type: "socket", key: message.key }, this.#held.get(message.key));
      case "reloaded":
        return this.#notifyReady(`Serving; last reload: ${message.result}`);
      default:
    }
  }

  #onReady(from: GatewayProcess): void {
    if (this.#status !== undefined) return; // it has been told to stop
    if (from === this.#next) {
      clearTimeout(this.#upgradeLimit);
      const old = this.#current;
      this.#next = undefined;
      this.#current = from;
      old?.send({ type: "stop", mode: "handover" });
      this.#tell("info", "the new process serves, the old one drains", { old: old?.pid, new: from.pid });
    }
    this.#hasServed = true;
    this.#notifyReady("Serving");
  }

  #onEnd(process: GatewayProcess): void {
    this.#processes.delete(process);
    const status = process.isGivenUp ? 0 : process.status;
    if (this.#status !== undefined) return this.#end(this.#status === 0 ? status : this.#status);
    if (process === this.#next) this.#onUpgradeFailed(process);
    else if (process === this.#current) this.#onCrash(process);
    else if (status !== 0) {
      const fields = { pid: process.pid, reason: process.reason };
      this.#tell("warn", "the old process of an upgrade ended before it had drained", fields);
    }
  }

  #onUpgradeFailed({ pid, reason }: GatewayProcess): void {
    clearTimeout(this.#upgradeLimit);
    this.#next = undefined;
    if (this.#current === undefined) return this.#startAgain();
    // It goes on in part only: better without it, and then as after a crash.
    if (this.#current.isGivenUp) return this.#current.kill(reason);
    this.#tell("error", "upgrade failed: the new process ended, the old one goes on", { pid, reason });
  }

  #onCrash(crashed: GatewayProcess): void {
    this.#current = undefined;
    if (!this.#hasServed) {
      // It has said why; there is nothing to go back to.
      if (crashed.status >= CANNOT_RUN || crashed.status === 0)
        this.#options.say(`the gateway did not start: ${crashed.reason}`);
      return this.#end(crashed.status || CRASH_LOOP_STATUS);
    }
    if (!crashed.isGivenUp) this.#remember(crashed);
    const delayMs = this.#policy.onCrash(crashed.servedMs);
    if (delayMs === undefined) {
      this.#options.say(
        `the gateway ended ${MAX_CRASHES} times in a row without serving for long, at last: ${crashed.reason}; giving up`,
      );
      this.#held.dropAll();
      return this.#end(CRASH_LOOP_STATUS);
    }
    const { uptimeSeconds, scripts } = crashed.crashNote();
    const when = delayMs === 0 ? "now" : `in ${delayMs} ms`;
    const names = scripts.map(({ name }) => name).join(", ");
    const ran = names === "" ? "" : `; it ran the script ${names}`;
    this.#options.say(
      `the gateway (process ${crashed.pid}) ended unexpectedly after ${uptimeSeconds} s: ${crashed.reason}${ran}; starting it again ${when}`,
    );
    this.#options.notify({ STATUS: `Starting again after a crash: ${crashed.reason}` });
    // The process of an upgrade that is under way takes over when it is ready.
    if (this.#next !== undefined) return;
    if (delayMs === 0) this.#startAgain();
    else this.#restart = setTimeout(() => this.#startAgain(), delayMs);
  }

  /** Keeps what those that come after a process are to know of it. */
  #remember(crashed: GatewayProcess): void {
    this.#restarts++;
    this.#lastCrash = crashed.crashNote();
    const { scripts } = this.#lastCrash;
    this.#quarantined = [...crashed.quarantined.filter((one) => !isIn(scripts, one)), ...scripts];
  }

  #startAgain(): void {
    this.#current = this.#start("restart");
  }

  #check(): void {
    for (const each of this.#processes) each.check();
  }

  #killAll(reason: string): void {
    for (const each of this.#processes) each.kill(reason);
  }

  #notifyReady(status: string): void {
    if (this.#status !== undefined) return;
    this.#options.notify({ READY: "1", STATUS: `${status} (process ${this.#current?.pid})` });
  }

  /** Logs through the gateway that serves, or for people when there is none. */
  #tell(level: Level, message: string, fields: Record<string, unknown> = {}): void {
    if (this.#current?.isReady === true) this.#current.send({ type: "log", level, message, fields });
    else this.#options.say(message);
  }

  /** Ends with a status, as soon as there are no processes left. */
  #end(status: number): void {
    this.#status = status;
    clearTimeout(this.#restart);
    clearTimeout(this.#upgradeLimit);
    if (this.#processes.size > 0) return;
    clearInterval(this.#checks);
    this.#ended.resolve(status);
  }
}

function isIn(scripts: readonly NamedScript[], { version }: NamedScript): boolean {
  return scripts.some((each) => each.version === version);
}
