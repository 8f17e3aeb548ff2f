/**
 * One request to the upstream that several exchanges may wait for. It is an exchange of its own, so that a client that
 * goes away does not spoil it for the others.
 */
import { discard } from "../../core/discard.ts";
import { type Abortable, type Exchange, GatewayError, type Reply } from "../../core/plugin.ts";
import type { Forwarded } from "./cache-status.ts";
import type { Entry } from "./entry.ts";
import type { Fill } from "./fill.ts";
import type { Flights } from "./flights.ts";
import type { Landing, OwnLanding, StreamLanding } from "./landing.ts";
import type { Turn } from "./level.ts";
import { openFor } from "./sharing.ts";

/** Somebody who waits for a flight's head. */
class Rider implements Abortable {
  readonly #flight: Flight;
  readonly #resolve: (landing: Landing | undefined) => void;
  readonly #reject: (error: unknown) => void;
  readonly #timer: NodeJS.Timeout | undefined;

  constructor(
    flight: Flight,
    waitMs: number | undefined,
    resolve: (landing: Landing | undefined) => void,
    reject: (error: unknown) => void,
  ) {
    this.#flight = flight;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#timer = waitMs === undefined ? undefined : setTimeout(onWaited, waitMs, this);
  }

  settle(landing: Landing | undefined): void {
    clearTimeout(this.#timer);
    this.#resolve(landing);
  }

  fail(error: unknown): void {
    clearTimeout(this.#timer);
    this.#reject(error);
  }

  abort(reason: Error): void {
    if (this.#flight.leave(this, reason)) this.fail(reason);
  }

  /** It has waited for long enough: it goes on by itself. */
  giveUp(): void {
    if (this.#flight.leave(this, undefined)) this.settle(undefined);
  }
}

function beginFill(fill: Fill): void {
  fill.begin();
}

function onWaited(rider: Rider): void {
  rider.giveUp();
}

export class Flight {
  /** Of the entry that it may bring. */
  readonly key: string;
  /** The same, as entries have it. */
  readonly url: string;
  /** What others find it by. */
  readonly topic: string;
  /** What is sent. */
  readonly x: Exchange;
  /** What was spoiled later concerns it: see {@link Flights.isSpoiled}. */
  readonly since: number;
  /** Of the purges that were known when it began. */
  readonly revision: number;
  /** Set once its head is there. */
  landing: Landing | undefined;
  readonly #flights: Flights;
  /** Goes on when nobody waits any more here, because its reply may be stored, or others wait elsewhere. */
  goesOn: boolean;
  #leader: Rider | undefined;
  #riders: Rider[] = [];
  /** The right to fetch it, of all gateways with the same store. */
  turn: Turn | undefined;
  /** Why it is sent, once that is known to be something else than whoever began it knew. */
  why: Forwarded | undefined;
  readonly #stored = Promise.withResolvers<Entry | undefined>();
  #isOver = false;

  constructor(key: string, topic: string, x: Exchange, goesOn: boolean, flights: Flights, url = "") {
    this.key = key;
    this.url = url;
    this.topic = topic;
    this.x = x;
    this.since = flights.spoils;
    this.revision = flights.revision;
    this.goesOn = goesOn;
    this.#flights = flights;
  }

  /** True when nobody waits for it. */
  get isUnattended(): boolean {
    return this.#leader === undefined && this.#riders.length === 0;
  }

  /** True when nobody waits for it, and it would not go on all the same. */
  get isUnwanted(): boolean {
    return this.isUnattended && !this.goesOn;
  }

  /** True while the one waits for it whose request it is. */
  get isLed(): boolean {
    return this.#leader !== undefined;
  }

  /** Resolves with what it stored once that is done; with undefined when it stores nothing. */
  get stored(): Promise<Entry | undefined> {
    return this.#stored.promise;
  }

  onStored(entry: Entry | undefined): void {
    this.#stored.resolve(entry);
  }

  /** Waits for the head, as the one whose request it is. */
  lead(x: Exchange): Promise<Landing> {
    this.x.informant = x.informant;
    this.x.deadline = x.deadline;
    return new Promise((resolve, reject) => {
      this.#leader = new Rider(this, undefined, resolve as (landing: Landing | undefined) => void, reject);
      x.onAbort(this.#leader);
    });
  }

  /**
   * Waits for the head with others.
   * @returns undefined when the reply cannot be shared, or does not come in time
   */
  join(x: Exchange, waitMs: number): Promise<Landing | undefined> {
    return new Promise((resolve, reject) => {
      const rider = new Rider(this, waitMs, resolve, reject);
      this.#riders.push(rider);
      this.#flights.waiting++;
      x.onAbort(rider);
    });
  }

  /** @returns false when it was told already what came of it */
  leave(rider: Rider, reason: Error | undefined): boolean {
    if (rider === this.#leader) this.#leader = undefined;
    else {
      const at = this.#riders.indexOf(rider);
      if (at === -1) return false;
      this.#riders.splice(at, 1);
      this.#flights.waiting--;
    }
    if (reason !== undefined && this.isUnwanted) this.x.abort(reason);
    return true;
  }

  /**
   * The head is there.
   * @param isShared else those who wait with the leader go on by themselves, all at once
   */
  land(landing: Landing, isShared: boolean): void {
    this.landing = landing;
    if (!isShared) this.abandon();
    if (!isShared || landing.kind !== "stream") this.close();
    const leader = this.#leader;
    this.#leader = undefined;
    leader?.settle(landing);
    for (const rider of this.#takeRiders()) rider.settle(isShared ? landing : undefined);
  }

  /** Gives a reply to all who may have it; its body begins once each of them has had its turn. */
  landStream(landing: StreamLanding, isShared = true): void {
    this.land(landing, isShared);
    // Those who waited open their readers when this turn ends, and nothing may be let go before.
    process.nextTick(beginFill, landing.fill);
  }

  /** Gives a reply to the one whose request it was; nobody else may have it. */
  landOwn(landing: OwnLanding): void {
    const isWanted = this.isLed;
    this.land(landing, false);
    if (isWanted) return;
    discard(this.x, landing.reply.body);
    this.end();
  }

  /** There will be no head. */
  crash(error: unknown, isShared: boolean): void {
    this.close();
    const leader = this.#leader;
    this.#leader = undefined;
    leader?.fail(error);
    for (const rider of this.#takeRiders()) {
      if (isShared) rider.fail(error);
      else rider.settle(undefined);
    }
  }

  /** Whoever asks from now on asks anew. */
  close(): void {
    this.#flights.remove(this);
  }

  /** There is nothing to store: those who wait for that need wait no longer. */
  abandon(): void {
    this.turn?.abandon();
    this.turn = undefined;
    this.#stored.resolve(undefined);
  }

  /** What was begun for it has ended. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.close();
    this.abandon();
    this.x.end();
  }

  /** The exchange that has its reply for itself has ended. */
  onExchangeEnd(): void {
    this.end();
  }

  #takeRiders(): Rider[] {
    const riders = this.#riders;
    this.#riders = [];
    this.#flights.waiting -= riders.length;
    return riders;
  }
}

/** An exchange of its own for the request that `x` is now. Whoever made it calls `end`. */
export function forkFor(x: Exchange): Exchange {
  const fork = x.fork(x.body);
  fork.guards = x.guards?.slice();
  fork.scriptStates = x.scriptStates;
  fork.timings = x.timings;
  if (x.owner !== undefined) {
    x.owner.hold();
    fork.owner = x.owner;
  }
  return fork;
}

/** What became known about a request by sending it, for the logs of the one who waited for it. */
export function learn(x: Exchange, from: Exchange): void {
  x.upstream = from.upstream;
  x.target = from.target;
  x.attempts += from.attempts;
  if (from.upstreamMs >= 0) x.upstreamMs = Math.max(0, x.upstreamMs) + from.upstreamMs;
  if (from.failureHeaders !== undefined) x.failureHeaders = from.failureHeaders.clone();
}

/** The reply of a flight, for the one whose request it was. */
export function takeReply(x: Exchange, flight: Flight, landing: StreamLanding | OwnLanding): Reply {
  const { reply } = landing;
  if (landing.kind === "own") {
    x.onEnd(flight);
    x.onAbort(flight.x);
  } else if (reply.body !== null) reply.body = openFor(x, landing.fill);
  return reply;
}

/** Whether a failure is that of whoever would be asked for all who wait. */
export function isForAllWaiting(error: unknown): boolean {
  return error instanceof GatewayError && error.status >= 500 && error.code !== "DEADLINE_EXCEEDED";
}
