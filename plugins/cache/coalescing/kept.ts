/** What of a stage that coalesces outlives reloads, and what other threads ask this one for. */
import type { Clock, Exchange, SharedState } from "../../../core/plugin.ts";
import type { Entry } from "../entry.ts";
import { Flights, type Patience } from "../flights.ts";
import { type Holder, Neighbours } from "../neighbours.ts";
import { topicOf } from "../sharing.ts";
import { credentialsOf } from "./asking.ts";
import type { Audience } from "./audience.ts";

/** Keys of which something is remembered. */
const MOST_KNOWN = 10_000;

/** At the end of topics that do not tell who asks. */
const FOR_ALL = "\nfor all";

/** `collapsed` got the reply to another request; `alone` could not, and nobody could have its. */
export type CoalesceResult = "sent" | "collapsed" | "alone";

export class KeptCoalescing implements Holder {
  readonly requests: Record<CoalesceResult, number> = { sent: 0, collapsed: 0, alone: 0 };
  readonly flights: Flights;
  readonly neighbours: Neighbours;
  /** What the last reply to a key said about whom it is for; the oldest first. */
  readonly #known = new Map<string, Pick<Audience, "isForAll" | "vary">>();

  /** @param topic names the stage, the same on all threads */
  constructor(topic: string, patience: Patience, clock: Clock, shared: SharedState) {
    this.flights = new Flights(patience, clock);
    this.neighbours = new Neighbours(topic, shared, clock, this);
  }

  /** What requests have in common that may have the same reply, as far as it is known. */
  topicOf(x: Exchange, key: string): string {
    const known = this.#known.get(key);
    if (known === undefined) return key + credentialsOf(x);
    const topic = topicOf(key, x.headers, known.vary);
    return known.isForAll ? topic + FOR_ALL : topic + credentialsOf(x);
  }

  /** Whether a reply may be given to all who wait for a topic. */
  isFor(topic: string, { isForAll, isForSame }: Audience): boolean {
    return isForAll || (isForSame && !topic.endsWith(FOR_ALL));
  }

  learn(key: string, { isForAll, vary }: Audience): void {
    const all = this.#known;
    all.delete(key);
    if (vary.length === 0 && !isForAll) return;
    all.set(key, { isForAll, vary: vary.flatMap((name) => [name, ""]) });
    if (all.size > MOST_KNOWN) all.delete(all.keys().next().value!);
  }

  /** What is on its way: there is nothing else. */
  lookUp(topic: string): Promise<Entry | undefined> | undefined {
    const flight = this.flights.find(topic);
    if (flight === undefined) return undefined;
    const { landing } = flight;
    const isKept = landing === undefined || (landing.kind === "stream" && landing.fill.isKept);
    if (!isKept) return undefined;
    flight.goesOn = true;
    return flight.stored;
  }

  /** Nothing is kept: there is nothing to replace, or to drop. */
  replace(): void {}

  drop(): void {}

  close(): void {
    this.neighbours.close();
  }
}
