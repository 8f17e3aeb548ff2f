/** Circuits as several threads have them, in one thread of this process, and circuits that have no others. */
import { vi } from "vitest";
import type { SharedCells } from "../../../core/plugin.ts";
import { createSharedMemory, SharedMemory } from "../../../core/threads/shared-memory.ts";
import { CircuitCell } from "../../../plugins/breaker/cell.ts";
import {
  Circuit,
  type CircuitContext,
  type CircuitOptions,
  type Outcome,
} from "../../../plugins/breaker/circuit.ts";
import { FakeClock } from "../../support/harness.ts";

export const OPTIONS: CircuitOptions = {
  errorRate: 0.5,
  slowCallRate: 0.5,
  minRequests: 4,
  withinMs: 10_000,
  consecutiveFailures: Number.POSITIVE_INFINITY,
  openForMs: 1000,
  maxOpenForMs: 8000,
  halfOpen: 2,
  recoveryMs: 0,
};

export const KEPT_MS = 60_000;
const KEPT = { free: KEPT_MS, otherwise: KEPT_MS };

/** What a circuit tells one thread. */
export class Context implements CircuitContext {
  readonly clock: FakeClock;
  readonly thread: number;
  readonly told: string[];
  readonly openFor: number[] = [];
  draw = 0.5;
  onLocated = (): void => {};

  constructor(clock = new FakeClock(), thread = 0, told: string[] = []) {
    this.clock = clock;
    this.thread = thread;
    this.told = told;
  }

  random(): number {
    return this.draw;
  }
  onTransition(to: string, reason: string, openForMs: number | undefined): void {
    this.told.push(`${to}: ${reason}`);
    if (openForMs !== undefined) this.openFor.push(openForMs);
  }
  onRecovered(): void {
    this.told.push("recovered");
  }
}

/** A thread with its circuit. */
export class Thread {
  readonly context: Context;
  readonly circuit: Circuit;

  constructor(options: CircuitOptions, context: Context, cell: CircuitCell) {
    this.context = context;
    this.circuit = new Circuit(options, context, cell);
  }

  /** Lets requests in and settles them; gives how many were let in. */
  run(...outcomes: Outcome[]): number {
    const tickets = outcomes.map(() => this.circuit.admit());
    for (const [i, outcome] of outcomes.entries()) {
      if (tickets[i] !== 0) this.circuit.settle(tickets[i]!, outcome, this.context.clock.monotonic());
    }
    return tickets.filter((ticket) => ticket !== 0).length;
  }
}

const MOST_THREADS = 3;
const START_MS = new FakeClock().monotonic();
/** As many as there is surely room for. */
const CIRCUITS_OF_A_MEMORY = 1000;

let circuits = 0;
let memories: SharedMemory[] = [];

function openMemories(): SharedMemory[] {
  const handle = createSharedMemory(MOST_THREADS, START_MS);
  return Array.from({ length: MOST_THREADS }, (_, thread) => new SharedMemory(handle, thread));
}

/** Threads that share a circuit. What they tell of it is in one list. */
export function createThreads(count: number, options: Partial<CircuitOptions> = {}) {
  const clock = new FakeClock();
  const told: string[] = [];
  if (circuits % CIRCUITS_OF_A_MEMORY === 0) memories = openMemories();
  const key = `circuit ${circuits++}`;
  const seen = memories;
  const all = { ...OPTIONS, ...options };
  /** Another thread meets the circuit. */
  const meet = (thread: number): Thread => {
    const cell = new CircuitCell(seen[thread]!.circuits, key, KEPT);
    return new Thread(all, new Context(clock, thread, told), cell);
  };
  return {
    threads: Array.from({ length: count }, (_, thread) => meet(thread)),
    meet,
    clock,
    told,
    advance(ms: number): void {
      clock.advance(ms);
      vi.advanceTimersByTime(ms);
    },
  };
}

/** Memory without room. */
export const NO_ROOM: SharedCells = {
  cellWords: 0,
  words: new Int32Array(new SharedArrayBuffer(0)),
  doubles: new Float64Array(new SharedArrayBuffer(0)),
  longs: new BigInt64Array(new SharedArrayBuffer(0)),
  locate: () => -1,
  find: () => -1,
  prolong() {},
};

/** The cell of a circuit that only this thread knows. */
export function ownCell(): CircuitCell {
  const cell = new CircuitCell(NO_ROOM, "", KEPT);
  cell.locate(START_MS);
  return cell;
}

export const times = (count: number, outcome: Outcome): Outcome[] =>
  Array.from({ length: count }, () => outcome);
