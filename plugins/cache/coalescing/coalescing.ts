/** Sends one of any number of the same requests that come at the same time, and gives its reply to all; keeps nothing. */
import {
  BytesBody,
  type Clock,
  type Exchange,
  type Handler,
  HeaderList,
  Reply,
} from "../../../core/plugin.ts";
import { addStatus, sent } from "../cache-status.ts";
import type { Entry } from "../entry.ts";
import { Fill } from "../fill.ts";
import { Flight, forkFor, isForAllWaiting, learn, takeReply } from "../flight.ts";
import { askedOf, EMPTY, passingHead } from "../head.ts";
import type { Keys } from "../key.ts";
import type { Landing } from "../landing.ts";
import { PassingBodies } from "../passing-bodies.ts";
import { type CacheRequest, readRequest } from "../request.ts";
import type { Held } from "../neighbours.ts";
import { fits, mayShare, openFor } from "../sharing.ts";
import type { Asked } from "../storable.ts";
import { hasSecret, keyOf } from "./asking.ts";
import { judgeAudience } from "./audience.ts";
import type { Gateways } from "./gateways.ts";
import { HandOver } from "./hand-over.ts";
import type { KeptCoalescing } from "./kept.ts";

/** How often a request waits for another whose reply turns out not to be for it. */
const MOST_WAITS = 3;
/** Most memory of bodies that are on their way to other threads. */
const MOST_BYTES = 32 * 1024 ** 2;
const EVENTS = /^text\/event-stream\b/i;

/** The reply to a request that was sent elsewhere. */
interface Found {
  readonly entry: Entry;
  readonly from: "thread" | "store";
}

export class Coalescing {
  readonly #next: Handler;
  readonly #keys: Keys;
  readonly #kept: KeptCoalescing;
  readonly #gateways: Gateways | undefined;
  readonly #maxBytes: number;
  readonly #clock: Clock;
  readonly #passing = new PassingBodies(MOST_BYTES);

  /** @param maxBytes of bodies that are given to other threads and gateways */
  constructor(
    next: Handler,
    keys: Keys,
    kept: KeptCoalescing,
    gateways: Gateways | undefined,
    maxBytes: number,
    clock: Clock,
  ) {
    this.#next = next;
    this.#keys = keys;
    this.#kept = kept;
    this.#gateways = gateways;
    this.#maxBytes = maxBytes;
    this.#clock = clock;
  }

  handle(x: Exchange): Reply | Promise<Reply> {
    const { method } = x;
    if ((method !== "GET" && method !== "HEAD") || x.body !== null) return this.#alone(x);
    const request = readRequest(x.headers);
    if (!mayShare(request) || request.hasPrecondition) return this.#alone(x);
    return this.#ask(x, request, keyOf(x, request, this.#keys), 0);
  }

  #alone(x: Exchange): Reply | Promise<Reply> {
    this.#kept.requests.alone++;
    return this.#next(x);
  }

  /** @param waits how often it has waited in vain */
  #ask(x: Exchange, request: CacheRequest, key: string, waits: number): Reply | Promise<Reply> {
    const { flights } = this.#kept;
    const topic = this.#kept.topicOf(x, key);
    if (waits >= MOST_WAITS || flights.isMarked(topic)) return this.#alone(x);
    const flight = flights.find(topic);
    if (flight === undefined) return this.#lead(x, request, key, topic);
    if (flight.landing !== undefined) {
      return this.#share(x, flight.landing) ?? this.#lead(x, request, key, topic);
    }
    return flights.hasRoom ? this.#wait(x, request, key, flight, waits) : this.#alone(x);
  }

  async #wait(
    x: Exchange,
    request: CacheRequest,
    key: string,
    flight: Flight,
    waits: number,
  ): Promise<Reply> {
    const landing = await flight.join(x, this.#kept.flights.patience.waitMs);
    const reply = landing && this.#share(x, landing);
    if (reply !== undefined) return reply;
    // Its reply is for others, or it does not come in time.
    return this.#ask(x, request, key, flight.landing === undefined ? MOST_WAITS : waits + 1);
  }

  /** The reply to another request, if it is for this one too. */
  #share(x: Exchange, landing: Landing): Reply | undefined {
    if (landing.kind === "own") return undefined;
    const head = landing.kind === "stream" ? landing.head : landing.entry;
    if (!fits(head, x.headers)) return undefined;
    if (landing.kind === "stream" && !landing.fill.isWhole) return undefined;
    const headers = new HeaderList(head.headers.slice());
    const reply = new Reply(head.status, headers);
    if (landing.kind === "entry") reply.body = head.body.length === 0 ? null : new BytesBody(head.body);
    else if (x.method !== "HEAD") reply.body = openFor(x, landing.fill);
    reply.reason = head.reason;
    addStatus(headers, sent({ ...landing.sent, collapsed: true }));
    this.#kept.requests.collapsed++;
    return reply;
  }

  async #lead(x: Exchange, request: CacheRequest, key: string, topic: string): Promise<Reply> {
    const { flights } = this.#kept;
    const flight = new Flight(key, topic, forkFor(x), false, flights);
    flights.add(flight);
    const landed = flight.lead(x);
    void this.#fly(flight, x, request);
    try {
      const landing = await landed;
      // What others gave was judged to be for this request.
      return landing.kind === "entry" ? this.#share(x, landing)! : takeReply(x, flight, landing);
    } finally {
      learn(x, flight.x);
    }
  }

  async #fly(flight: Flight, x: Exchange, request: CacheRequest): Promise<void> {
    const asked = askedOf(x, request, this.#keys);
    const hasCredentials = hasSecret(x);
    try {
      const finding = this.#findElsewhere(flight, asked, hasCredentials);
      const found = finding && (await finding);
      if (found !== undefined) landFound(flight, found);
      else if (flight.isUnwanted) flight.end();
      else await this.#send(flight, asked, hasCredentials);
    } catch (error) {
      flight.crash(error, isForAllWaiting(error));
      flight.end();
    }
    if (flight.landing?.kind !== "stream" || !flight.landing.fill.isKept) {
      this.#kept.neighbours.release(flight.topic);
    }
  }

  /** What other threads or gateways send already; undefined at once when there is nobody to ask. */
  #findElsewhere(
    flight: Flight,
    asked: Asked,
    hasCredentials: boolean,
  ): Promise<Found | undefined> | undefined {
    const { neighbours, flights } = this.#kept;
    const { waitMs } = flights.patience;
    const isFor = (entry: Entry): boolean => this.#isFor(flight, asked, entry, hasCredentials);
    const theirs = neighbours.find(flight.topic, asked.headers, waitMs, isFor);
    if (theirs === undefined && this.#gateways === undefined) return undefined;
    return this.#await(flight, theirs, isFor, this.#clock.monotonic() + waitMs);
  }

  async #await(
    flight: Flight,
    theirs: Promise<Held> | undefined,
    isFor: (entry: Entry) => boolean,
    until: number,
  ): Promise<Found | undefined> {
    const held = await theirs;
    if (typeof held === "object" && isFor(held)) return { entry: held, from: "thread" };
    if (this.#gateways === undefined || flight.isUnwanted) return undefined;
    const leftMs = Math.max(0, until - this.#clock.monotonic());
    const { entry, turn } = await this.#gateways.claim(flight.topic, leftMs);
    flight.turn = turn;
    return entry !== undefined && isFor(entry) ? { entry, from: "store" } : undefined;
  }

  /** Whether what another thread or gateway has is for a request, too. */
  #isFor(flight: Flight, asked: Asked, entry: Entry, hasCredentials: boolean): boolean {
    const reply = { status: entry.status, headers: new HeaderList(entry.headers.slice()) };
    const audience = judgeAudience(asked, reply, entry, hasCredentials);
    this.#kept.learn(flight.key, audience);
    return this.#kept.isFor(flight.topic, audience) && fits(entry, asked.headers);
  }

  async #send(flight: Flight, asked: Asked, hasCredentials: boolean): Promise<void> {
    this.#kept.requests.sent++;
    const requestedAtMs = this.#clock.now();
    const reply = await this.#next(flight.x);
    const times = { requestedAtMs, respondedAtMs: this.#clock.now() };
    const audience = judgeAudience(asked, reply, times, hasCredentials);
    this.#kept.learn(flight.key, audience);
    const answer = { why: "uri-miss" } as const;
    if (!this.#kept.isFor(flight.topic, audience)) {
      if (!audience.isForSame) this.#kept.flights.mark(flight.topic);
      return flight.landOwn({ kind: "own", reply, sent: answer });
    }
    const head = passingHead(reply, asked, times, audience.vary);
    const isAwaited = flight.goesOn || flight.turn !== undefined;
    // Events have no end that others could wait for.
    const isEndless = EVENTS.test(reply.headers.get("content-type") ?? "");
    if (isEndless) flight.abandon();
    const maxBytes = isAwaited && !isEndless ? this.#maxBytes : -1;
    const handOver = new HandOver(flight, head, this.#kept.neighbours, this.#gateways);
    const fill = new Fill(reply.body ?? new BytesBody(EMPTY), maxBytes, handOver, this.#passing);
    flight.landStream({ kind: "stream", head, fill, reply, sent: answer });
  }
}

/** Somebody else has sent the request. */
function landFound(flight: Flight, { entry, from }: Found): void {
  flight.onStored(entry);
  const told = { why: "uri-miss", detail: from } as const;
  flight.land({ kind: "entry", entry, sent: told, result: "collapsed" }, true);
  flight.end();
}
