/**
 * Who is in and who waits, by key. Waiting costs a timer and a promise; entering costs one small object.
 */
import type { Abortable, EndListener, Exchange, GatewayError } from "../../core/plugin.ts";
import type { Held } from "./held.ts";
import type { SlotTable } from "./slot-table.ts";

/** What one stage allows, and where it counts. Stages that share slots may allow different numbers. */
export interface Gate {
  /** Most exchanges of a key at once, now. */
  readonly limit: number;
  /** Whether the limit is for all threads together, or for each. */
  readonly isShared: boolean;
  /** Most that may wait per key. */
  readonly queueLength: number;
  readonly queueTimeoutMs: number;
  readonly stats: GateStats;
  /** Why an exchange is refused. */
  readonly full: GatewayError;
  readonly timedOut: GatewayError;
}

/** Counts of one stage; they outlive its generation. */
export class GateStats {
  inFlight = 0;
  queued = 0;
  full = 0;
  timedOut = 0;
}

/** The right of one exchange to be in, given back when the exchange has ended. */
export class Permit implements EndListener {
  readonly gate: Gate;
  readonly slots: Slots;
  /** Monotonic milliseconds of the admission; 0 unless somebody wants to know. */
  startedAt: number;

  constructor(gate: Gate, slots: Slots) {
    this.gate = gate;
    this.slots = slots;
    this.startedAt = 0;
  }

  onExchangeEnd(): void {
    this.slots.leave(this);
  }
}

/** The permit that an exchange has of a stage already. */
export function permitOf(gate: Gate, x: Exchange): Permit | undefined {
  return x.findEndListener(isPermitOf, gate) as Permit | undefined;
}

function isPermitOf(listener: EndListener, gate: Gate): boolean {
  return listener instanceof Permit && listener.gate === gate;
}

/** An exchange that waits for its turn. */
class Waiter implements Abortable {
  readonly gate: Gate;
  readonly x: Exchange;
  next: Waiter | undefined = undefined;
  previous: Waiter | undefined = undefined;
  readonly turn = Promise.withResolvers<Permit>();
  readonly #slots: Slots;
  readonly #timer: NodeJS.Timeout;
  #settled = false;

  constructor(gate: Gate, slots: Slots, x: Exchange) {
    this.gate = gate;
    this.#slots = slots;
    this.x = x;
    this.#timer = setTimeout(() => {
      gate.stats.timedOut++;
      this.abort(gate.timedOut);
    }, gate.queueTimeoutMs);
  }

  admit(permit: Permit): void {
    this.settle();
    this.turn.resolve(permit);
  }

  /** The exchange is given up, or waited for too long. */
  abort(reason: Error): void {
    if (this.#settled) return;
    this.settle();
    this.#slots.giveUp(this);
    this.turn.reject(reason);
  }

  settle(): void {
    this.#settled = true;
    clearTimeout(this.#timer);
  }
}

/**
 * The slots of one key. Within a thread, whenever nothing happens, nobody who waits may enter: whoever finds room may
 * take it at once without overtaking. Between threads, a slot that becomes free while others wait goes by turns to
 * those of this thread and of the others.
 */
export class Slots {
  readonly key: string;
  /** Exchanges of this thread that are in. */
  inFlight = 0;
  /** Exchanges that wait in this thread. */
  waiting = 0;
  readonly #table: SlotTable;
  /** What all threads hold; undefined when there is but one. */
  readonly #held: Held | undefined;
  readonly #isKept: boolean;
  #first: Waiter | undefined;
  #last: Waiter | undefined;
  /** Those who wait are of several stages, which may allow different numbers. */
  #mixed = false;
  /** The latest slot that became free went to another thread. */
  #yielded = false;

  /** @param isKept whether they stay in the table when nobody is in */
  constructor(key: string, table: SlotTable, held: Held | undefined, isKept: boolean) {
    this.key = key;
    this.#table = table;
    this.#held = held;
    this.#isKept = isKept;
  }

  /** Lets an exchange in, if there is room. */
  tryEnter(gate: Gate, x: Exchange): Permit | undefined {
    const yields = gate.queueLength > 0;
    if (this.#held !== undefined && this.#first !== undefined && !this.#held.isWantedByOthers) this.admit();
    return this.#take(gate, yields) ? this.#enter(gate, x) : undefined;
  }

  /**
   * Waits for room.
   * @throws GatewayError when too many wait already, or for too long; the reason when the exchange is given up
   */
  wait(gate: Gate, x: Exchange): Promise<Permit> {
    if (this.waiting >= gate.queueLength) {
      gate.stats.full++;
      this.#dropIfUnused();
      throw gate.full;
    }
    const waiter = new Waiter(gate, this, x);
    waiter.previous = this.#last;
    if (this.#last === undefined) this.#first = waiter;
    else {
      this.#mixed ||= this.#last.gate !== gate;
      this.#last.next = waiter;
    }
    this.#last = waiter;
    this.waiting++;
    gate.stats.queued++;
    x.onAbort(waiter);
    if (this.#held !== undefined && this.#first !== undefined) this.#waitForOthers(this.#held);
    return waiter.turn.promise;
  }

  leave(permit: Permit): void {
    this.inFlight--;
    permit.gate.stats.inFlight--;
    if (this.#held !== undefined) this.#giveBack(this.#held);
    else if (this.#first !== undefined) this.admit();
    this.#dropIfUnused();
  }

  /** Takes out somebody who will not enter. */
  giveUp(waiter: Waiter): void {
    this.#forget(waiter);
    this.#dropIfUnused();
  }

  #forget(waiter: Waiter): void {
    const { next, previous } = waiter;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    waiter.next = undefined;
    waiter.previous = undefined;
    this.waiting--;
    waiter.gate.stats.queued--;
    if (this.#first === undefined) this.#mixed = false;
    if (this.#held === undefined) return;
    this.#held.want(this.#wanted());
    if (this.#first === undefined) this.#table.unwatch(this);
  }

  /** Lets in those who wait, the first first, as far as there is room. */
  admit(): void {
    let waiter = this.#first;
    while (waiter !== undefined) {
      const { next, gate } = waiter;
      if (this.#take(gate, false)) {
        this.#forget(waiter);
        waiter.admit(this.#enter(gate, waiter.x));
      } else if (!this.#mixed) return;
      waiter = next;
    }
    this.#held?.ringOthers();
  }

  /** Keeps what other threads see. */
  renew(nowMs: number): void {
    this.#held?.renew(this.inFlight, nowMs);
  }

  /** @param yields whether those who wait in other threads go first */
  #take(gate: Gate, yields: boolean): boolean {
    const held = this.#held;
    if (held !== undefined && gate.isShared) return held.tryTake(gate.limit, this.inFlight, yields);
    if (this.inFlight >= gate.limit) return false;
    held?.add(1);
    return true;
  }

  #enter(gate: Gate, x: Exchange): Permit {
    const permit = new Permit(gate, this);
    this.inFlight++;
    gate.stats.inFlight++;
    x.onEnd(permit);
    return permit;
  }

  /** Other threads may hold all there is: then nobody need be in here. */
  #dropIfUnused(): void {
    if (this.inFlight === 0 && this.waiting === 0 && !this.#isKept) this.#table.drop(this);
  }

  #giveBack(held: Held): void {
    held.add(-1);
    this.#yielded = !this.#yielded && held.ringOthers();
    if (!this.#yielded) this.admit();
  }

  /** Shows that somebody waits, and looks once more: what became free before that was not rung for. */
  #waitForOthers(held: Held): void {
    this.#table.watch(this);
    held.want(this.#wanted());
    if (!held.isWantedByOthers) this.admit();
  }

  /** The most that those who wait wait below, as far as other threads count too. */
  #wanted(): number {
    let wanted = 0;
    for (let waiter = this.#first; waiter !== undefined; waiter = waiter.next) {
      if (waiter.gate.isShared) wanted = Math.max(wanted, waiter.gate.limit);
      if (!this.#mixed) break;
    }
    return wanted;
  }
}
