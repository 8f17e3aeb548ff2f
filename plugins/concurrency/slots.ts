/**
 * Who is in and who waits, by key. Waiting costs a timer and a promise; entering costs one small object.
 */
import type { Abortable, EndListener, Exchange, GatewayError } from "../../core/plugin.ts";

/** What one stage allows, and where it counts. Stages that share slots may allow different numbers. */
export interface Gate {
  /** Most exchanges of a key at once, now. */
  readonly limit: number;
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
    this.#slots.forget(this);
    this.turn.reject(reason);
  }

  settle(): void {
    this.#settled = true;
    clearTimeout(this.#timer);
  }
}

/**
 * The slots of one key. Whenever nothing happens, nobody who waits may enter: whoever finds room may take it at once
 * without overtaking.
 */
export class Slots {
  readonly key: string;
  inFlight = 0;
  waiting = 0;
  readonly #table: SlotTable | undefined;
  #first: Waiter | undefined;
  #last: Waiter | undefined;
  /** Those who wait are of several stages, which may allow different numbers. */
  #mixed = false;

  /** @param table where it is dropped from once it is empty */
  constructor(key: string, table?: SlotTable) {
    this.key = key;
    this.#table = table;
  }

  /** Lets an exchange in, if there is room. */
  tryEnter(gate: Gate, x: Exchange): Permit | undefined {
    return this.inFlight < gate.limit ? this.#enter(gate, x) : undefined;
  }

  /**
   * Waits for room.
   * @throws GatewayError when too many wait already, or for too long; the reason when the exchange is given up
   */
  wait(gate: Gate, x: Exchange): Promise<Permit> {
    if (this.waiting >= gate.queueLength) {
      gate.stats.full++;
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
    return waiter.turn.promise;
  }

  leave(permit: Permit): void {
    this.inFlight--;
    permit.gate.stats.inFlight--;
    if (this.#first !== undefined) this.admit();
    if (this.inFlight === 0 && this.waiting === 0) this.#table?.drop(this);
  }

  forget(waiter: Waiter): void {
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
  }

  /** Lets in those who wait, the first first, as far as there is room. */
  admit(): void {
    let waiter = this.#first;
    while (waiter !== undefined) {
      const { next, gate } = waiter;
      if (this.inFlight < gate.limit) {
        this.forget(waiter);
        waiter.admit(this.#enter(gate, waiter.x));
      } else if (!this.#mixed) return;
      waiter = next;
    }
  }

  #enter(gate: Gate, x: Exchange): Permit {
    const permit = new Permit(gate, this);
    this.inFlight++;
    gate.stats.inFlight++;
    x.onEnd(permit);
    return permit;
  }
}

/** The slots of many keys; a key is here only while somebody is in or waits. */
export class SlotTable {
  readonly #slots = new Map<string, Slots>();

  get size(): number {
    return this.#slots.size;
  }

  of(key: string): Slots {
    let slots = this.#slots.get(key);
    if (slots === undefined) this.#slots.set(key, (slots = new Slots(key, this)));
    return slots;
  }

  drop(slots: Slots): void {
    this.#slots.delete(slots.key);
  }
}
