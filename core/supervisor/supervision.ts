/** The supervisor, as the gateway process sees it. */
import { closeSync, fstatSync } from "node:fs";
import { Socket } from "node:net";
import type { KeptSockets, ListeningSocket, ProcessSockets } from "../threads/sockets.ts";
import type { SocketHandle } from "./held-sockets.ts";
import {
  type CrashNote,
  type FromGateway,
  type FromSupervisor,
  HANDOVER,
  type Handover,
  type NamedScript,
  type StopMode,
  type Vitals,
} from "./messages.ts";
import { CHECK_MS } from "./process-watch.ts";

export type LogMessage = Extract<FromSupervisor, { type: "log" }>;

/** What the supervisor asks for. */
export interface Orders {
  /** Also when the supervisor is gone. */
  stop(mode: StopMode): void;
  /** Gives what it came to, in a word. */
  reload(): Promise<string>;
  log(message: LogMessage): void;
}

export class Supervision implements ProcessSockets {
  /** Why this process was started. */
  readonly kind: Handover["kind"];
  /** Processes that ended without being asked, so far. */
  readonly restarts: number;
  /** The last of them. */
  readonly lastCrash: CrashNote | null;
  /** File descriptor for notes that outlive this process; undefined with a supervisor that reads none. */
  readonly note: number | undefined;
  /** Scripts that processes before this one ended with. */
  readonly quarantined: readonly NamedScript[];
  readonly #inherited: Map<string, number>;
  /** What to say about sockets when it serves; undefined from then on. */
  #waiting: (() => void)[] | undefined = [];
  /** Keys of the sockets that the supervisor keeps for this process. */
  readonly #held = new Set<string>();
  /** Those that it was asked for a duplicate of. */
  readonly #asked = new Map<string, (fd: number | undefined) => void>();

  private constructor(handover: Handover) {
    this.kind = handover.kind;
    this.restarts = handover.restarts;
    this.lastCrash = handover.lastCrash;
    this.note = handover.note;
    this.quarantined = handover.quarantined ?? [];
    this.#inherited = new Map(handover.sockets.filter(([, fd]) => isSocket(fd)));
  }

  /** The supervisor of this process; undefined when it runs without one. */
  static find(env: NodeJS.ProcessEnv): Supervision | undefined {
    const handover = env[HANDOVER];
    delete env[HANDOVER];
    if (handover === undefined || !process.connected) return undefined;
    return new Supervision(JSON.parse(handover) as Handover);
  }

  /** Follows orders from now on, also those that came before. */
  follow(orders: Orders): void {
    process.on("message", (message: FromSupervisor, handle: unknown) => {
      if (message.type === "stop") orders.stop(message.mode);
      else if (message.type === "log") orders.log(message);
      else if (message.type === "socket") this.#onSocket(message.key, handle as SocketHandle | undefined);
      else void orders.reload().then((result) => this.#send({ type: "reloaded", result }));
    });
    process.on("disconnect", () => {
      for (const key of this.#asked.keys()) this.#onSocket(key, undefined);
      orders.stop("drain");
    });
    if (!process.connected) orders.stop("drain");
  }

  /**
   * Says that it serves, and gives signs of life from now on.
   * @param stallable requests are handled by this thread: it is replaced soon when it stalls
   * @param vitals what to say with every sign of life
   */
  ready(stallable: boolean, vitals: () => Vitals): void {
    this.#send({ type: "ready", stallable, ...vitals() });
    for (const say of this.#waiting ?? []) say();
    this.#waiting = undefined;
    this.drop([...this.#inherited.keys()]);
    for (const fd of this.#inherited.values()) closeSync(fd);
    this.#inherited.clear();
    setInterval(() => this.#send({ type: "beat", ...vitals() }), CHECK_MS).unref();
  }

  /** Says that this thread will be busy with itself for up to so long, or is no more; resolves when that is said. */
  excuse(ms: number): Promise<void> {
    return new Promise((resolve) => {
      if (!process.connected) return resolve();
      process.send!({ type: "excuse", ms } satisfies FromGateway, undefined, {}, () => resolve());
    });
  }

  /** Has this process ended: it cannot do so itself. */
  giveUp(reason: string, script?: NamedScript): void {
    this.#send({ type: "giveUp", reason, script });
  }

  take(key: string): number | undefined {
    const fd = this.#inherited.get(key);
    this.#inherited.delete(key);
    if (fd !== undefined) this.#held.add(key);
    return fd;
  }

  takeAll(prefix: string): KeptSockets {
    const keys = [...this.#inherited.keys()].filter((key) => key.startsWith(prefix));
    return keys.map((key) => [key.slice(prefix.length), this.take(key)!]);
  }

  hold(key: string, socket: ListeningSocket): void {
    this.#held.add(key);
    this.#whenReady(() => {
      // One of another thread has no object here; a new one for the same file descriptor serves. It is never closed,
      // for the thread's own will be.
      this.#send({ type: "hold", key }, socket.handle ?? handleOf(socket.fd));
    });
  }

  drop(keys: readonly string[]): void {
    if (keys.length === 0) return;
    for (const key of keys) this.#held.delete(key);
    this.#whenReady(() => this.#send({ type: "drop", keys }));
  }

  dropAll(prefix: string): void {
    this.drop(this.#heldBy(prefix));
  }

  async handBack(prefix: string): Promise<KeptSockets> {
    const asked = this.#heldBy(prefix).map(async (key): Promise<readonly [string, number | undefined]> => {
      return [key.slice(prefix.length), await this.#ask(key)];
    });
    const answers = await Promise.all(asked);
    return answers.flatMap(([key, fd]) => (fd === undefined ? [] : [[key, fd] as const]));
  }

  #heldBy(prefix: string): string[] {
    return [...this.#held].filter((key) => key.startsWith(prefix));
  }

  /** Asks for a duplicate of a socket. */
  #ask(key: string): Promise<number | undefined> {
    if (!process.connected) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.#asked.set(key, resolve);
      this.#send({ type: "handBack", key });
    });
  }

  #onSocket(key: string, handle: SocketHandle | undefined): void {
    this.#asked.get(key)?.(handle?.fd);
    this.#asked.delete(key);
  }

  /** The supervisor keeps the sockets of a process that serves. */
  #whenReady(say: () => void): void {
    if (this.#waiting === undefined) say();
    else this.#waiting.push(say);
  }

  #send(message: FromGateway, handle?: object): void {
    // Without a supervisor there is nobody to tell; `disconnect` tells us.
    if (process.connected) process.send!(message, handle as never, {}, () => {});
  }
}

/** Node's object for a file descriptor. */
function handleOf(fd: number): object {
  const socket = new Socket({ fd, readable: false, writable: false }) as Socket & { _handle: object };
  return socket._handle;
}

function isSocket(fd: number): boolean {
  try {
    return fstatSync(fd).isSocket();
  } catch {
    return false;
  }
}
