/** From a reply on its way to a stored response. */
import { isSameName } from "../../core/headers.ts";
import type { Clock } from "../../core/plugin.ts";
import type { CacheCounts } from "./counts.ts";
import type { Entry } from "./entry.ts";
import type { FillListener, GivenUp } from "./fill.ts";
import type { Flight } from "./flight.ts";
import type { Flights } from "./flights.ts";
import type { Levels } from "./levels.ts";
import { joinPart } from "./parts.ts";

export interface DeliveryParts {
  readonly levels: Levels;
  readonly flights: Flights;
  readonly counts: CacheCounts;
  readonly clock: Clock;
}

/** Stores what a flight brought. */
export class Delivery implements FillListener {
  readonly #flight: Flight;
  readonly #head: Entry;
  readonly #beganAt: number;
  readonly #maxBytes: number;
  readonly #parts: DeliveryParts;

  constructor(flight: Flight, head: Entry, beganAt: number, maxBytes: number, parts: DeliveryParts) {
    this.#flight = flight;
    this.#head = head;
    this.#beganAt = beganAt;
    this.#maxBytes = maxBytes;
    this.#parts = parts;
  }

  onFilled(body: Buffer): void {
    const flight = this.#flight;
    const head = this.#head;
    const { levels, flights, counts, clock } = this.#parts;
    flight.close();
    if (flights.isSpoiled(flight)) {
      counts.refuse(head.url, "invalidated");
      return flight.abandon();
    }
    const fillMs = clock.monotonic() - this.#beganAt;
    const filled = { ...head, headers: withLength(head, body.length), body, fillMs };
    const { memory } = levels;
    const entry = head.part === undefined ? filled : joinPart(filled, memory.peek(head.key), this.#maxBytes);
    if (entry === undefined) return flight.abandon();
    counts.store(fillMs);
    // A part is of use to those only who want the same, or the rest.
    if (entry.part === undefined) return levels.keep(entry, flight);
    memory.put(entry);
    flight.abandon();
  }

  onGivenUp(reason: GivenUp): void {
    const { levels, flights, counts } = this.#parts;
    counts.refuse(this.#head.url, reason);
    levels.onNothing(this.#flight);
    this.#flight.abandon();
    if (reason === "too-large") flights.mark(this.#flight.topic);
  }

  onDone(): void {
    this.#flight.end();
  }
}

/** Stored responses have their length, so that it need not be told in chunks. */
function withLength({ headers }: Entry, length: number): readonly string[] {
  for (let i = 0; i < headers.length; i += 2) if (isSameName(headers[i]!, "content-length")) return headers;
  return [...headers, "content-length", String(length)];
}
