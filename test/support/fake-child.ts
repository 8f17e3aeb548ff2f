/** A child process that does what a test says. */
import type { ChildProcess } from "node:child_process";
import { EventEmitter } from "node:events";
import type {
  FromGateway,
  FromSupervisor,
  Handover,
  ProcessNote,
  Vitals,
} from "../../core/supervisor/messages.ts";

export class FakeSocket {
  isClosed = false;
  readonly fd: number;

  constructor(fd: number) {
    this.fd = fd;
  }

  close(): void {
    this.isClosed = true;
  }
}

export class FakeChild extends EventEmitter {
  static #pids = 2 ** 22;
  pid: number | undefined = ++FakeChild.#pids;
  connected = true;
  /** What it was told, and the sockets that came with it. */
  readonly told: (FromSupervisor & { socket?: unknown })[] = [];
  readonly kills: string[] = [];
  readonly handover: Handover;
  readonly fds: readonly number[];
  /** What it writes its notes to. */
  readonly notes = new EventEmitter();
  readonly stdio = [null, null, null, null, this.notes];

  constructor(handover: Handover, fds: readonly number[]) {
    super();
    this.handover = handover;
    this.fds = fds;
  }

  send(message: FromSupervisor, socket: unknown): void {
    this.told.push(socket === undefined ? message : { ...message, socket });
  }

  kill(signal: NodeJS.Signals): void {
    this.kills.push(signal);
    this.end(null, signal);
  }

  say(message: FromGateway, socket?: FakeSocket): void {
    this.emit("message", message, socket);
  }

  /** Writes a note. @param pieces how many parts it comes in */
  write(note: ProcessNote, pieces = 1): void {
    const bytes = Buffer.from(`${JSON.stringify(note)}\n`);
    for (let i = 0; i < pieces; i++) {
      const at = (part: number): number => Math.floor((bytes.length * part) / pieces);
      this.notes.emit("data", bytes.subarray(at(i), at(i + 1)));
    }
  }

  /** Serves from now on. */
  ready(vitals: Partial<Vitals> = {}): void {
    this.say({ type: "ready", stallable: true, generation: 1, running: [], ...vitals });
  }

  /** Has ended; what it said before may still be on the way. */
  exit(status: number | null, signal: NodeJS.Signals | null = null): void {
    this.emit("exit", status, signal);
  }

  /** Has ended, and nothing more will come of it. */
  end(status: number | null, signal: NodeJS.Signals | null = null): void {
    this.exit(status, signal);
    this.notes.emit("close");
    this.connected = false;
    this.emit("disconnect");
  }

  asChild(): ChildProcess {
    return this as unknown as ChildProcess;
  }
}
