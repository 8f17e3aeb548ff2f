/** What is on its way to the upstream, by key, and what is known about keys from what came before. */
import type { Clock } from "../../core/plugin.ts";
import type { Flight } from "./flight.ts";
import type { Purges } from "./level.ts";

/** Who waits at most, on a thread, and for how long. */
export interface Patience {
  readonly waitMs: number;
  readonly waiting: number;
}

/** Topics whose replies could not be shared that are remembered, so that nobody waits for nothing. */
const MOST_MARKED = 10_000;
const MARKED_MS = 10_000;
const NO_PURGES = { revision: 0 };
/** How long nothing is refreshed behind replies after that has failed. */
const PAUSE_MS = 1000;

/** The flights of a stage by topic: a key, and what the request has in the fields that are known to count. */
export class Flights {
  /** Who waits for one that is not theirs. */
  waiting = 0;
  patience: Patience;
  readonly #byTopic = new Map<string, Flight>();
  /** Topics whose replies cannot be shared, with the time until which that is believed; the oldest first. */
  readonly #marked = new Map<string, number>();
  /** Topics that are not refreshed, with the time until which; the oldest first. */
  readonly #paused = new Map<string, number>();
  /** How often something was spoiled. */
  spoils = 0;
  /** When a key or URL was spoiled last, as a number of {@link spoils}; others, at the floor or before. */
  readonly #spoiled = new Map<string, number>();
  #spoiledFloor = 0;
  readonly #clock: Clock;
  readonly #purges: Pick<Purges, "revision">;

  /** @param purges what was sent before one of them became known is not for those who ask after it */
  constructor(patience: Patience, clock: Clock, purges: Pick<Purges, "revision"> = NO_PURGES) {
    this.patience = patience;
    this.#clock = clock;
    this.#purges = purges;
  }

  /** One that others may join. */
  find(topic: string): Flight | undefined {
    const flight = this.#byTopic.get(topic);
    if (flight === undefined || flight.revision !== this.revision) return undefined;
    return this.isSpoiled(flight) ? undefined : flight;
  }

  get revision(): number {
    return this.#purges.revision;
  }

  /** True when one more may wait. */
  get hasRoom(): boolean {
    return this.waiting < this.patience.waiting;
  }

  /** Others may find it from now on. */
  add(flight: Flight): void {
    this.#byTopic.set(flight.topic, flight);
  }

  remove(flight: Flight): void {
    if (this.#byTopic.get(flight.topic) === flight) this.#byTopic.delete(flight.topic);
  }

  /**
   * What is on its way is out of date: nobody who comes later gets it, and it is not stored.
   * @param what a key, or a URL as entries have it
   */
  spoil(what: string): void {
    this.spoils++;
    remember(this.#spoiled, what, this.spoils);
    if (this.#spoiled.size === MOST_MARKED) this.#spoiledFloor = this.#spoiled.values().next().value!;
  }

  isSpoiled({ key, url, since }: Flight): boolean {
    const [byKey, byUrl] = [this.#spoiled.get(key), this.#spoiled.get(url)];
    return Math.max(byKey ?? this.#spoiledFloor, byUrl ?? this.#spoiledFloor) > since;
  }

  /** Replies to a topic cannot be shared, for the time being. */
  mark(topic: string): void {
    remember(this.#marked, topic, this.#clock.monotonic() + MARKED_MS);
  }

  unmark(topic: string): void {
    this.#marked.delete(topic);
  }

  isMarked(topic: string): boolean {
    return this.#isBefore(this.#marked, topic);
  }

  /** What is stored for a topic could not be refreshed. */
  pause(topic: string): void {
    remember(this.#paused, topic, this.#clock.monotonic() + PAUSE_MS);
  }

  /** True when it makes sense to refresh what is stored for a topic now: nobody does, and it did not just fail. */
  mayRefresh(topic: string): boolean {
    return this.find(topic) === undefined && !this.isMarked(topic) && !this.#isBefore(this.#paused, topic);
  }

  #isBefore(times: Map<string, number>, topic: string): boolean {
    const until = times.get(topic);
    if (until === undefined) return false;
    if (until > this.#clock.monotonic()) return true;
    times.delete(topic);
    return false;
  }
}

/** Sets a value in a map that forgets the oldest when there are too many. */
function remember(map: Map<string, number>, key: string, value: number): void {
  map.delete(key);
  map.set(key, value);
  if (map.size > MOST_MARKED) map.delete(map.keys().next().value!);
}
