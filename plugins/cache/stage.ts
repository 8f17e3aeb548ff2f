/** What a cache does with requests: answers from what is stored, sends the others on, and keeps what comes back. */
import { createHash } from "node:crypto";
import { discard } from "../../core/discard.ts";
import { type Clock, type Exchange, GatewayError, HeaderList, Reply } from "../../core/plugin.ts";
import { addStatus, hit, sent } from "./cache-status.ts";
import { Carrier, type CarrierParts } from "./carrier.ts";
import { isNotModified, notModifiedHeaders } from "./conditional.ts";
import type { CacheCounts } from "./counts.ts";
import type { Entry } from "./entry.ts";
import { Flight, forkFor, learn, takeReply } from "./flight.ts";
import type { Flights } from "./flights.ts";
import { addressOf, isAuthorized } from "./head.ts";
import { HeadRequests } from "./head-requests.ts";
import { isUnsafe } from "./invalidation.ts";
import type { Landing } from "./landing.ts";
import type { FieldOf, MemoryLevel } from "./level.ts";
import type { Levels } from "./levels.ts";
import { Passage } from "./passage.ts";
import { LEAST_LENT_BYTES, type PassingBodies } from "./passing-bodies.ts";
import { type CacheRequest, readRequest, SILENT, withoutDirectives } from "./request.ts";
import { isDueEarly, judgeReuse } from "./reuse.ts";
import { RecentHits } from "./recent-hits.ts";
import type { CacheRules } from "./rules.ts";
import {
  foundReply,
  notModified,
  replyFrom,
  storedReply,
  ttlSeconds,
  wholeReply,
  withCookies,
} from "./serve.ts";
import { fits, mayShare, openFor, topicOf } from "./sharing.ts";
import { normalizedField } from "./vary.ts";
import type { Wanted } from "./wanted.ts";

/** Largest body of a POST that is looked up. */
const MAX_ASKED_BYTES = 64 * 1024;
/** How often a request waits for another whose reply turns out not to be for it. */
const MOST_WAITS = 3;

export class CacheStage {
  readonly #rules: CacheRules;
  readonly #levels: Levels;
  /** What is at hand. */
  readonly #memory: MemoryLevel;
  readonly #counts: CacheCounts;
  readonly #flights: Flights;
  readonly #carrier: Carrier;
  readonly #headRequests: HeadRequests;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #passage: Passage;
  readonly #passing: PassingBodies;
  readonly #recent = new RecentHits(storedReply);
  readonly #recentlySame = new RecentHits(notModified);
  /** Headers of the request that is being looked up: one function reads them all. */
  #headers: HeaderList = new HeaderList();
  readonly #fieldOf: FieldOf = (name) => normalizedField(this.#headers, name);

  constructor(parts: CarrierParts, random: () => number) {
    this.#rules = parts.rules;
    this.#levels = parts.levels;
    this.#memory = parts.levels.memory;
    this.#counts = parts.counts;
    this.#clock = parts.clock;
    this.#random = random;
    this.#flights = parts.flights;
    this.#passage = new Passage(parts);
    this.#headRequests = new HeadRequests({ ...parts, passage: this.#passage });
    this.#carrier = new Carrier(parts);
    this.#passing = parts.passing;
  }

  handle(x: Exchange): Reply | Promise<Reply> {
    const { method } = x;
    const { cachesPost, bypass } = this.#rules;
    if (method !== "GET" && method !== "HEAD" && !(cachesPost && method === "POST")) {
      return isUnsafe(method) ? this.#passage.change(x) : this.#passage.pass(x, "method");
    }
    for (let i = 0; i < bypass.length; i++) if (bypass[i]!(x)) return this.#passage.pass(x, "bypass");
    if (x.body !== null) return this.#askWithBody(x);
    if (method === "POST") return this.#look(x, `${this.#rules.keys.of(x)}\nbody`);
    return this.#look(x, this.#rules.keys.of(x));
  }

  #look(x: Exchange, key: string): Reply | Promise<Reply> {
    let request = readRequest(x.headers);
    if (this.#rules.ignoresRequests && request !== SILENT) request = withoutDirectives(request);
    if (request.hasPrecondition) return this.#passage.pass(x, "request");
    this.#headers = x.headers;
    const entry = this.#memory.find(key, this.#fieldOf);
    if (entry === undefined) {
      const why = this.#memory.peek(key).length === 0 ? "uri-miss" : "vary-miss";
      return this.#miss({ x, request, key, stored: undefined, why });
    }
    const nowMs = this.#clock.now();
    const reuse = judgeReuse(entry, request, nowMs, false);
    if (reuse === "stale" || reuse === "request") {
      const stored = entry.part === undefined ? entry : undefined;
      return this.#miss({ x, request, key, stored, why: reuse });
    }
    const ttl = ttlSeconds(entry, nowMs);
    if (reuse === "use" && ttl >= 0 && isPlain(x, request) && entry.part === undefined) {
      this.#counts.requests.hit++;
      if (isDueEarly(entry, nowMs, this.#rules.earliness, this.#random))
        this.#refresh(x, request, key, entry);
      const recent = isNotModified(entry, request, nowMs) ? this.#recentlySame : this.#recent;
      return this.#lend(x, entry, recent.reply(entry, nowMs));
    }
    const reply = replyFrom(
      entry,
      x,
      request,
      nowMs,
      hit(ttl, reuse === "refresh" ? "stale-while-revalidate" : undefined),
    );
    if (reply === undefined) return this.#miss({ x, request, key, stored: undefined, why: "partial" });
    this.#counts.requests[ttl < 0 ? "stale" : "hit"]++;
    if (reuse === "refresh" || isDueEarly(entry, nowMs, this.#rules.earliness, this.#random))
      this.#refresh(x, request, key, entry);
    return this.#lend(x, entry, reply);
  }

  /** A large body that goes from memory meanwhile is counted until the client has it. */
  #lend(x: Exchange, { body }: Entry, reply: Reply): Reply {
    if (body.length >= LEAST_LENT_BYTES && reply.body !== null) x.onEnd(this.#passing.lend(body));
    return reply;
  }

  #refresh(x: Exchange, request: CacheRequest, key: string, stored: Entry): void {
    const topic = this.#topicOf(x, request, key, stored.vary);
    if (stored.part !== undefined || !this.#flights.mayRefresh(topic)) return;
    const flight = new Flight(key, topic, forkFor(x), true, this.#flights, addressOf(x, this.#rules.keys));
    flight.x.method = "GET";
    this.#flights.add(flight);
    const own = { ...SILENT, isAuthorized: request.isAuthorized };
    void this.#carrier.fly(flight, { asker: x, request: own, stored, why: "stale", isRefresh: true });
  }

  /** Somebody has to be asked, or is being asked already. */
  #miss(wanted: Wanted): Promise<Reply> {
    const { x, request, key, stored } = wanted;
    if (request.onlyIfCached) return this.#findOnly(wanted);
    const known = stored ?? this.#memory.peek(key)[0];
    return this.#ask(wanted, this.#topicOf(x, request, key, known?.vary ?? []), 0);
  }

  /** Only what somebody has already will do. */
  async #findOnly(wanted: Wanted): Promise<Reply> {
    const { x, request } = wanted;
    const { found } = await this.#levels.peekElsewhere(wanted);
    const reply = found?.isUsable ? foundReply(found, x, request, this.#clock.now()) : undefined;
    if (reply === undefined) throw new GatewayError("NOT_CACHED");
    this.#counts.requests.hit++;
    return reply;
  }

  #topicOf(x: Exchange, request: CacheRequest, key: string, vary: readonly string[]): string {
    return topicOf(key, x.headers, vary, isAuthorized(x, request, this.#rules.keys));
  }

  /** @param waits how often it has waited in vain */
  #ask(wanted: Wanted, topic: string, waits: number): Promise<Reply> {
    const { x, request, key } = wanted;
    const flights = this.#flights;
    const isShared = mayShare(request) && !flights.isMarked(topic);
    const flight = isShared ? flights.find(topic) : undefined;
    if (flight !== undefined && waits < MOST_WAITS) {
      const { landing } = flight;
      if (landing === undefined) {
        if (flights.hasRoom) return this.#wait(wanted, flight, waits);
      } else if (landing.kind === "stream" && landing.fill.isWhole) {
        const reply = this.#share(wanted, landing);
        if (reply !== undefined) return Promise.resolve(reply);
        return this.#ask(wanted, this.#topicOf(x, request, key, landing.head.vary), waits + 1);
      }
    }
    if (x.method === "HEAD") return this.#headRequests.ask(wanted, flights.isMarked(topic));
    return this.#lead(wanted, topic, isShared && flight === undefined);
  }

  async #wait(wanted: Wanted, flight: Flight, waits: number): Promise<Reply> {
    const { x, request, key } = wanted;
    const landing = await flight.join(x, this.#flights.patience.waitMs);
    if (landing === undefined || landing.kind === "own") return this.#ask(wanted, flight.topic, MOST_WAITS);
    const reply = this.#share(wanted, landing);
    if (reply !== undefined) return reply;
    const { vary } = landing.kind === "stream" ? landing.head : landing.entry;
    return this.#ask(wanted, this.#topicOf(x, request, key, vary), waits + 1);
  }

  /** The reply to another request, if it is for this one too. */
  #share({ x, request }: Wanted, landing: Exclude<Landing, { kind: "own" }>): Reply | undefined {
    const entry = landing.kind === "stream" ? landing.head : landing.entry;
    if (!fits(entry, x.headers)) return undefined;
    const nowMs = this.#clock.now();
    const status = sent({ ...landing.sent, collapsed: true });
    let reply: Reply | undefined;
    if (landing.kind === "entry") reply = replyFrom(entry, x, request, nowMs, status);
    else if (isNotModified(entry, request, nowMs)) reply = notModified(entry, nowMs, status);
    else if (x.method === "HEAD") reply = wholeReply(entry, null, nowMs, status);
    else if (landing.fill.isWhole) reply = wholeReply(entry, openFor(x, landing.fill), nowMs, status);
    if (reply === undefined) return undefined;
    this.#counts.requests.collapsed++;
    return this.#lend(x, entry, reply);
  }

  /** Sends the request. @param isOpen others with the topic wait for it */
  async #lead(wanted: Wanted, topic: string, isOpen: boolean): Promise<Reply> {
    const { x, request, key, stored, why } = wanted;
    const goesOn = !request.noStore && request.range === undefined && !this.#flights.isMarked(topic);
    const flight = new Flight(key, topic, forkFor(x), goesOn, this.#flights, addressOf(x, this.#rules.keys));
    if (isOpen) this.#flights.add(flight);
    const landed = flight.lead(x);
    void this.#carrier.fly(flight, { asker: x, request, stored, why, isRefresh: false });
    try {
      const landing = await landed;
      this.#counts.requests[landing.kind === "entry" ? landing.result : "miss"]++;
      return this.#replyOf(wanted, flight, landing);
    } catch (error) {
      x.failureHeaders ??= new HeaderList();
      addStatus(x.failureHeaders, sent({ why: flight.why ?? why }));
      throw error;
    } finally {
      learn(x, flight.x);
    }
  }

  #replyOf({ x, request }: Wanted, flight: Flight, landing: Landing): Reply {
    const nowMs = this.#clock.now();
    const status = sent(landing.sent);
    if (landing.kind === "entry") {
      // What it was asked to validate is whole: some reply can be made of it.
      const made = replyFrom(landing.entry, x, request, nowMs, status)!;
      return withCookies(this.#lend(x, landing.entry, made), landing.cookies ?? []);
    }
    const { reply } = landing;
    addStatus(reply.headers, status);
    if (landing.kind === "stream") {
      const { head } = landing;
      return isNotModified(head, request, nowMs)
        ? withCookies(notModified(head, nowMs, status), reply.headers.getAll("set-cookie"))
        : takeReply(x, flight, landing);
    }
    takeReply(x, flight, landing);
    const facts = { status: reply.status, headers: reply.headers.raw, respondedAtMs: nowMs };
    if (x.method !== "GET" || !isNotModified(facts, request, nowMs)) return reply;
    discard(flight.x, reply.body);
    return new Reply(304, new HeaderList(notModifiedHeaders(facts)));
  }

  /** GET with a body means nothing that is known; POST, where it is cached, is told apart by it. */
  async #askWithBody(x: Exchange): Promise<Reply> {
    const { length } = x.body!;
    if (x.method !== "POST" || length === undefined || length > MAX_ASKED_BYTES) {
      return this.#passage.pass(x, "bypass", "body");
    }
    const bytes = await x.bufferBody(MAX_ASKED_BYTES);
    const digest = createHash("sha256").update(bytes).digest("base64url");
    const type = x.headers.getJoined("content-type") ?? "";
    const coding = x.headers.getJoined("content-encoding") ?? "";
    return this.#look(x, `${this.#rules.keys.of(x)}\nbody ${digest} ${type}\n${coding}`);
  }
}

/** A request for all that there is. */
function isPlain(x: Exchange, { range }: CacheRequest): boolean {
  return range === undefined && x.method === "GET";
}
