/** Sends what the cache cannot answer, and makes stored responses of the replies. */
import { discard } from "../../core/discard.ts";
import {
  BytesBody,
  type Clock,
  type Exchange,
  type Handler,
  type Log,
  type Reply,
} from "../../core/plugin.ts";
import type { Times } from "./age.ts";
import type { Forwarded, Sent } from "./cache-status.ts";
import { askToValidate } from "./conditional.ts";
import type { CacheCounts } from "./counts.ts";
import { bytesOf, type Entry } from "./entry.ts";
import { Delivery } from "./delivery.ts";
import { Fill } from "./fill.ts";
import { type Flight, isForAllWaiting } from "./flight.ts";
import type { Flights } from "./flights.ts";
import { freshen } from "./freshen.ts";
import { addressOf, askedOf, EMPTY, passingHead } from "./head.ts";
import { type Elsewhere, type Found, type Levels, reasonWith } from "./levels.ts";
import type { PassingBodies } from "./passing-bodies.ts";
import type { ReplyNotes } from "./reply-notes.ts";
import type { CacheRequest } from "./request.ts";
import { isUsable, mayServeOnError } from "./reuse.ts";
import type { CacheRules } from "./rules.ts";
import { ttlSeconds } from "./serve.ts";
import { mayShare } from "./sharing.ts";
import { isAboutRequest, judgeStorable } from "./storable.ts";
import { announce } from "./targeted.ts";
import { readVary } from "./vary.ts";

/** What a flight is for. */
export interface Trip {
  /** The exchange that it is for; its own may have been changed by the stages below. */
  readonly asker: Exchange;
  readonly request: CacheRequest;
  /** What there is, to be validated. */
  readonly stored: Entry | undefined;
  readonly why: Forwarded;
  /** Nobody waits: what is stored is refreshed. */
  readonly isRefresh: boolean;
}

export interface CarrierParts {
  readonly next: Handler;
  readonly rules: CacheRules;
  readonly levels: Levels;
  readonly flights: Flights;
  readonly counts: CacheCounts;
  readonly clock: Clock;
  readonly log: Log;
  readonly passing: PassingBodies;
  readonly notes: ReplyNotes;
}

export class Carrier {
  readonly #next: Handler;
  readonly #rules: CacheRules;
  readonly #levels: Levels;
  readonly #flights: Flights;
  readonly #counts: CacheCounts;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #passing: PassingBodies;
  readonly #notes: ReplyNotes;

  constructor(parts: CarrierParts) {
    this.#next = parts.next;
    this.#rules = parts.rules;
    this.#levels = parts.levels;
    this.#flights = parts.flights;
    this.#counts = parts.counts;
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#passing = parts.passing;
    this.#notes = parts.notes;
  }

  /** Brings a flight to its landing; never fails by itself. */
  async fly(flight: Flight, begun: Trip): Promise<void> {
    const isMarked = this.#flights.isMarked(flight.topic);
    let trip = begun;
    try {
      if (this.#levels.hasOthers && !isMarked && begun.why !== "request") {
        const elsewhere = await this.#levels.findElsewhere(flight, begun.asker, begun.request, begun.stored);
        if (elsewhere.found?.isUsable) return this.#onFound(flight, elsewhere.found);
        trip = withFound(begun, elsewhere);
        flight.why = trip.why;
      }
      if (flight.isUnwanted) flight.end();
      else await this.#send(flight, trip, isMarked);
    } catch (error) {
      this.#onFailure(flight, trip, error);
    }
  }

  /** Somebody else has it. */
  #onFound(flight: Flight, { entry, from }: Found): void {
    const ttl = ttlSeconds(entry, this.#clock.now());
    flight.onStored(entry);
    const sent = { why: "hit", ttlSeconds: ttl, detail: from } as const;
    flight.land({ kind: "entry", entry, sent, result: "hit" }, true);
    flight.end();
  }

  async #send(flight: Flight, trip: Trip, isMarked: boolean): Promise<void> {
    const { x } = flight;
    const { version } = this.#levels.purges;
    const beganAt = this.#clock.monotonic();
    prepare(x, trip.stored, isMarked);
    announce(x.headers);
    const requestedAtMs = this.#clock.now();
    const reply = await this.#next(x);
    const times = { requestedAtMs, respondedAtMs: this.#clock.now() };
    const tags = this.#notes.takeTags(reply.headers);
    const purging = this.#notes.obey(x, reply.headers);
    if (purging !== undefined) await purging;
    if (trip.stored !== undefined && reply.status === 304) {
      this.#onValidated(flight, trip, reply, tags, times, version);
    } else if (reply.status < 500 || !this.#fallBack(flight, trip, reply.status)) {
      this.#onReply(flight, trip, reply, tags, times, version, beganAt);
    } else discard(x, reply.body);
  }

  /** What is stored is still right. */
  #onValidated(
    flight: Flight,
    trip: Trip,
    reply: Reply,
    tags: readonly string[],
    times: Times,
    version: number,
  ): void {
    discard(flight.x, reply.body);
    const asked = askedOf(trip.asker, trip.request, this.#rules.keys);
    const known = trip.stored!;
    // Purges that were known do not concern it any more.
    const stored = { ...known, version, tags: tags.length > 0 ? tags : known.tags };
    const { entry, refusal } = freshen(stored, reply.headers, asked, times, this.#rules.freshness);
    const isStored = refusal === undefined && !this.#flights.isSpoiled(flight);
    const isShared = refusal === undefined && isUsable(entry, times.respondedAtMs);
    this.#remember(flight, trip, isShared);
    if (isStored) this.#levels.keep(entry, flight);
    else if (refusal !== undefined) {
      this.#counts.refuse(stored.url, refusal);
      if (isAboutRequest(refusal)) this.#levels.onNothing(flight);
      else this.#levels.drop(flight.key);
    }
    if (trip.isRefresh) this.#counts.refreshes.ok++;
    const ttl = ttlSeconds(entry, times.respondedAtMs);
    const sent = { why: trip.why, status: 304, ttlSeconds: ttl, stored: isStored, detail: refusal };
    const cookies = reply.headers.getAll("set-cookie");
    flight.land({ kind: "entry", entry, sent, result: "revalidated", cookies }, isShared);
    flight.end();
  }

  /** Whether those who ask next are to wait for each other. What was asked for in a way of its own says nothing of it. */
  #remember({ topic }: Flight, { request }: Trip, isShared: boolean): void {
    if (isShared) this.#flights.unmark(topic);
    else if (mayShare(request)) this.#flights.mark(topic);
  }

  /** Has what is stored used although it is stale, if it may be. */
  #fallBack(flight: Flight, trip: Trip, status: number | undefined): boolean {
    const { stored, request, why } = trip;
    const nowMs = this.#clock.now();
    if (stored === undefined || !mayServeOnError(stored, request, nowMs)) return false;
    if (trip.isRefresh) this.#onRefreshFailed(flight);
    const ttl = ttlSeconds(stored, nowMs);
    const sent = { why, status, ttlSeconds: ttl, detail: "stale-if-error" };
    flight.land({ kind: "entry", entry: stored, sent, result: "stale" }, true);
    flight.end();
    return true;
  }

  #onFailure(flight: Flight, trip: Trip, error: unknown): void {
    const isShared = isForAllWaiting(error);
    if (isShared && this.#fallBack(flight, trip, undefined)) return;
    if (trip.isRefresh) this.#onRefreshFailed(flight, error);
    this.#levels.onNothing(flight);
    flight.crash(error, isShared);
    flight.end();
  }

  #onRefreshFailed(flight: Flight, error?: unknown): void {
    this.#counts.refreshes.failed++;
    this.#flights.pause(flight.topic);
    const { upstream, target, id } = flight.x;
    const fields = { err: error, upstream, target: target?.url, requestId: id };
    this.#log.debug(fields, "a stored response could not be refreshed");
  }

  #onReply(
    flight: Flight,
    trip: Trip,
    reply: Reply,
    tags: readonly string[],
    times: Times,
    version: number,
    beganAt: number,
  ): void {
    const { stored, why, isRefresh } = trip;
    const { freshness, maxBodyBytes, maxEntryBytes } = this.#rules;
    const asked = askedOf(trip.asker, trip.request, this.#rules.keys);
    const url = addressOf(trip.asker, this.#rules.keys);
    const judged = judgeStorable(asked, reply.status, reply.headers, times, freshness);
    if (isRefresh && reply.status < 500) this.#counts.refreshes.ok++;
    else if (isRefresh) this.#onRefreshFailed(flight);
    const facts = {
      key: flight.key,
      status: reply.status,
      reason: reply.reason,
      body: EMPTY,
      fillMs: 0,
      version,
    };
    if (judged.isStorable) {
      const { isStorable: _, ...said } = judged;
      const head = { ...said, ...facts, url, tags };
      const sent = { why, stored: true, ttlSeconds: ttlSeconds(head, times.respondedAtMs) };
      // What is never fresh is for others only once the upstream has said so to each of them.
      const isShared = isUsable(head, times.respondedAtMs);
      this.#remember(flight, trip, isShared);
      const maxBytes = Math.max(0, Math.min(maxBodyBytes, maxEntryBytes - bytesOf(head)));
      return this.#stream(flight, reply, head, sent, maxBytes, beganAt, isShared);
    }
    // What is there is out of date: the origin has something else now, or says that it is not to be stored.
    if (stored !== undefined && reply.status < 500 && !isAboutRequest(judged.reason)) {
      this.#levels.drop(flight.key);
    } else this.#levels.onNothing(flight);
    this.#counts.refuse(url, judged.reason);
    const sent = { why, detail: judged.reason };
    if (judged.reason === "no-freshness" && reply.status >= 500 && !reply.headers.has("set-cookie")) {
      const vary = readVary(reply.headers.getJoined("vary"));
      if (vary !== undefined) {
        const head = passingHead(reply, asked, times, vary);
        return this.#stream(flight, reply, head, sent, -1, beganAt, true);
      }
    }
    this.#remember(flight, trip, false);
    flight.landOwn({ kind: "own", reply, sent });
  }

  /** Gives a reply to those who may have it, while it is stored, if it is. */
  #stream(
    flight: Flight,
    reply: Reply,
    head: Entry,
    sent: Sent,
    maxBytes: number,
    beganAt: number,
    isShared: boolean,
  ): void {
    const parts = { levels: this.#levels, flights: this.#flights, counts: this.#counts, clock: this.#clock };
    const delivery = new Delivery(flight, head, beganAt, maxBytes, parts);
    const fill = new Fill(reply.body ?? new BytesBody(EMPTY), maxBytes, delivery, this.#passing);
    const status = fill.isKept || maxBytes < 0 ? sent : { ...sent, stored: false, detail: "too-large" };
    flight.landStream({ kind: "stream", head, fill, reply, sent: status }, isShared);
  }
}

/**
 * Makes a request one whose reply can be stored, and that asks whether what is stored is still right.
 * @param isMarked its reply is not expected to be stored: it is sent as it came
 */
function prepare({ headers, method }: Exchange, stored: Entry | undefined, isMarked: boolean): void {
  if (stored !== undefined) return askToValidate(headers, stored);
  if (isMarked || method === "HEAD" || headers.has("range")) return;
  headers.delete("if-none-match");
  headers.delete("if-modified-since");
}

/** What was found elsewhere is newer than what is here. */
function withFound(trip: Trip, elsewhere: Elsewhere): Trip {
  const { found } = elsewhere;
  return { ...trip, stored: found?.entry ?? trip.stored, why: reasonWith(trip.why, elsewhere) };
}
