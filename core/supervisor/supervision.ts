/** The supervisor, as the gateway process sees it. */
import { closeSync, fstatSync } from "node:fs";
import { Socket } from "node:net";
import type { ListeningSocket, SocketStore } from "../threads/sockets.ts";
import type { SocketHandle } from "./held-sockets.ts";
import {
  type CrashNote,
  type FromGateway,
  type FromSupervisor,
  HANDOVER,
  type Handover,
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

export class Supervision implements SocketStore {
  /** Why this process was started. */
  readonly kind: Handover["kind"];
  /** Processes that ended without being asked, so far. */
  readonly restarts: number;
  /** The last of them. */
  readonly lastCrash: CrashNote | null;
  readonly #inherited: Map<string, number>;
  /** What to say about sockets when it serves; undefined from then on. */
  #waiting: (() => void)[] | undefined = [];
  readonly #handedBack = new Map<string, (fd: number | undefined) => void>();

  private constructor(handover: Handover) {
    this.kind = handover.kind;
    this.restarts = handover.restarts;
    this.lastCrash = handover.lastCrash;
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
    process.on("disconnect", () => orders.stop("drain"));
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
    const unused = [...this.#inherited.keys()];
    this.drop(unused);
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

  take(key: string): number | undefined {
    const fd = this.#inherited.get(key);
    this.#inherited.delete(key);
    return fd;
  }

  hold(key: string, socket: ListeningSocket): void {
    const say = (): void => {
      // One of another thread has no object here; a new one for the same file descriptor serves. It must never be
      // closed, and the thread's own may be: nothing else is done with it.
      const handle = socket.handle ?? handleOf(socket.fd);
      this.#send({ type: "hold", key }, handle);
    };
    if (this.#waiting === undefined) say();
    else this.#waiting.push(say);
  }

  drop(keys: readonly string[]): void {
    if (keys.length === 0) return;
    if (this.#waiting === undefined) this.#send({ type: "drop", keys });
    else this.#waiting.push(() => this.#send({ type: "drop", keys }));
  }

  /** A duplicate of a socket that is kept, for a thread that replaces another; undefined when there is none. */
  handBack(key: string): Promise<number | undefined> {
    if (!process.connected) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.#handedBack.set(key, resolve);
      this.#send({ type: "handBack", key });
    });
  }

  #onSocket(key: string, handle: SocketHandle | undefined): void {
    this.#handedBack.get(key)?.(handle?.fd);
    this.#handedBack.delete(key);
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
