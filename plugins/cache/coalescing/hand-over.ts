/** Gives the reply of a flight to other threads and gateways. */
import type { Entry } from "../entry.ts";
import type { FillListener } from "../fill.ts";
import type { Flight } from "../flight.ts";
import type { Gateways } from "./gateways.ts";
import { type Neighbours, toShared } from "../neighbours.ts";

/** Ends a flight with the body that it brought. */
export class HandOver implements FillListener {
  readonly #flight: Flight;
  readonly #head: Entry;
  readonly #neighbours: Neighbours;
  readonly #gateways: Gateways | undefined;

  constructor(flight: Flight, head: Entry, neighbours: Neighbours, gateways: Gateways | undefined) {
    this.#flight = flight;
    this.#head = head;
    this.#neighbours = neighbours;
    this.#gateways = gateways;
  }

  onFilled(bytes: Buffer): void {
    const flight = this.#flight;
    flight.close();
    this.#neighbours.release(flight.topic);
    const { turn } = flight;
    flight.turn = undefined;
    if (turn !== undefined)
      void this.#gateways!.handOver(turn, { ...this.#head, key: flight.topic, body: bytes });
    if (flight.goesOn) flight.onStored({ ...this.#head, body: toShared(bytes) });
  }

  onGivenUp(): void {
    this.#neighbours.release(this.#flight.topic);
    this.#flight.abandon();
  }

  onDone(): void {
    this.#flight.end();
  }
}
