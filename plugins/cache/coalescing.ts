/** Sends one of any number of the same requests that come at the same time, and gives its reply to all; keeps nothing. */
import { createHash } from "node:crypto";
import {
  BytesBody,
  type Clock,
  type Exchange,
  type Handler,
  HeaderList,
  type Host,
  Reply,
} from "../../core/plugin.ts";
import { addStatus, sent } from "./cache-status.ts";
import { Fill, FillBudget, type FillListener } from "./fill.ts";
import {
  Flight,
  forkFor,
  isForAllWaiting,
  type Landing,
  learn,
  type OwnLanding,
  type StreamLanding,
  takeReply,
} from "./flight.ts";
import { Flights, type Patience } from "./flights.ts";
import type { FreshnessRules } from "./freshness.ts";
import { askedOf, EMPTY, passingHead } from "./head.ts";
import { type Keys, shorten } from "./key.ts";
import { type CacheRequest, readRequest } from "./request.ts";
import { fits, mayShare, openFor, topicOf } from "./sharing.ts";
import { judgeStorable, type NotStorable, type Storable } from "./storable.ts";
import { readVary } from "./vary.ts";

/** How often a request waits for another whose reply turns out not to be for it. */
const MOST_WAITS = 3;
/** Keys of which something is remembered. */
const MOST_KNOWN = 10_000;

/** What replies say themselves, and nothing else: from Last-Modified follows nothing. */
const AS_TOLD: FreshnessRules = {
  ttlMs: 0,
  statusTtlMs: new Map(),
  ignoreCacheControl: false,
  staleWhileRevalidateMs: 0,
  staleIfErrorMs: 0,
};

/** Nothing is kept, so that nothing is counted. */
const NO_BUDGET = new FillBudget(0);

/** What is known of a key from the last reply. */
interface Known {
  /** What its Vary named, as entries have it, without the values. */
  readonly vary: readonly string[];
  /** It was the same whoever asks: a shared cache might have stored it. */
  readonly isForAll: boolean;
}

/** `collapsed` got the reply to another request; `alone` could not, and nobody could have its. */
export type CoalesceResult = "sent" | "collapsed" | "alone";

/** Shared by generations. */
export class CoalesceCounts {
  readonly requests: Record<CoalesceResult, number> = { sent: 0, collapsed: 0, alone: 0 };
}

export class Coalescing {
  readonly #next: Handler;
  readonly #keys: Keys;
  readonly #flights: Flights;
  readonly #counts: CoalesceCounts;
  readonly #clock: Clock;
  /** The oldest first. */
  readonly #known = new Map<string, Known>();

  constructor(next: Handler, keys: Keys, patience: Patience, counts: CoalesceCounts, { clock }: Host) {
    this.#next = next;
    this.#keys = keys;
    this.#flights = new Flights(patience, clock);
    this.#counts = counts;
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
    this.#counts.requests.alone++;
    return this.#next(x);
  }

  /** @param waits how often it has waited in vain */
  #ask(x: Exchange, request: CacheRequest, key: string, waits: number): Reply | Promise<Reply> {
    const flights = this.#flights;
    const topic = this.#topicOf(x, key);
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
    const landing = await flight.join(x, this.#flights.patience.waitMs);
    const reply = landing && this.#share(x, landing);
    if (reply !== undefined) return reply;
    // Its reply is for others, or it does not come in time.
    return this.#ask(x, request, key, flight.landing === undefined ? MOST_WAITS : waits + 1);
  }

  /** The reply to another request, if it is for this one too. */
  #share(x: Exchange, landing: Landing): Reply | undefined {
    if (landing.kind !== "stream" || !landing.fill.isWhole || !fits(landing.head, x.headers))
      return undefined;
    const { head, fill } = landing;
    const headers = new HeaderList(head.headers.slice());
    const reply = new Reply(head.status, headers, x.method === "HEAD" ? null : openFor(x, fill));
    reply.reason = head.reason;
    addStatus(headers, sent({ ...landing.sent, collapsed: true }));
    this.#counts.requests.collapsed++;
    return reply;
  }

  async #lead(x: Exchange, request: CacheRequest, key: string, topic: string): Promise<Reply> {
    const flight = new Flight(key, topic, forkFor(x), false, this.#flights);
    flight.x.informant = x.informant;
    flight.x.deadline = x.deadline;
    this.#flights.add(flight);
    this.#counts.requests.sent++;
    const landed = flight.lead(x);
    void this.#fly(flight, x, request);
    try {
      return takeReply(x, flight, (await landed) as StreamLanding | OwnLanding);
    } finally {
      learn(x, flight.x);
    }
  }

  async #fly(flight: Flight, x: Exchange, request: CacheRequest): Promise<void> {
    const asked = askedOf(x, request, this.#keys);
    const requestedAtMs = this.#clock.now();
    try {
      const reply = await this.#next(flight.x);
      const times = { requestedAtMs, respondedAtMs: this.#clock.now() };
      const judged = judgeStorable(asked, reply.status, reply.headers, times, AS_TOLD);
      const isForSame = mayBeShared(reply, judged, credentialsOf(x) !== "");
      const isForAll =
        isForSame && judged.isStorable && !judged.alwaysValidate && judged.initialAgeMs < judged.freshMs;
      const vary = readVary(reply.headers.getJoined("vary")) ?? [];
      const head = passingHead(reply, asked, times, vary);
      this.#learn(flight.key, { vary: head.vary.map((text, i) => (i % 2 === 0 ? text : "")), isForAll });
      const answer = { why: "uri-miss" } as const;
      if (isForAll || (isForSame && !flight.topic.endsWith(FOR_ALL))) {
        const fill = new Fill(reply.body ?? new BytesBody(EMPTY), -1, new End(flight), NO_BUDGET);
        flight.landStream({ kind: "stream", head, fill, reply, sent: answer });
      } else {
        if (!isForSame) this.#flights.mark(flight.topic);
        flight.landOwn({ kind: "own", reply, sent: answer });
      }
    } catch (error) {
      flight.crash(error, isForAllWaiting(error));
      flight.end();
    }
  }

  /** What requests have in common that may have the same reply, as far as it is known. */
  #topicOf(x: Exchange, key: string): string {
    const known = this.#known.get(key);
    if (known === undefined) return key + credentialsOf(x);
    const topic = topicOf(key, x.headers, known.vary);
    return known.isForAll ? topic + FOR_ALL : topic + credentialsOf(x);
  }

  #learn(key: string, known: Known): void {
    const all = this.#known;
    all.delete(key);
    if (known.vary.length === 0 && !known.isForAll) return;
    all.set(key, known);
    if (all.size > MOST_KNOWN) all.delete(all.keys().next().value!);
  }
}

/** At the end of topics that do not tell who asks. */
const FOR_ALL = "\nfor all";

/** Ends a flight with the body that it brought. */
class End implements FillListener {
  readonly #flight: Flight;

  constructor(flight: Flight) {
    this.#flight = flight;
  }

  onFilled(): void {}

  onGivenUp(): void {}

  onDone(): void {
    this.#flight.end();
  }
}

function keyOf(x: Exchange, { ifNoneMatch, ifModifiedSince }: CacheRequest, keys: Keys): string {
  let key = `${x.method} ${keys.of(x)}`;
  if (ifNoneMatch !== undefined) key += `\nif-none-match:${ifNoneMatch}`;
  if (ifModifiedSince !== undefined) key += `\nif-modified-since:${ifModifiedSince}`;
  return shorten(key);
}

/** Fields by which upstreams are known to tell who asks. */
const CREDENTIAL = /auth|cookie|token|api-?key|session|secret|credential/i;

/** Tells those who ask from each other, without saying who they are; empty for those who do not say. */
function credentialsOf({ headers, consumer }: Exchange): string {
  const { raw } = headers;
  const parts: (string | undefined)[] = [];
  for (let i = 0; i < raw.length; i += 2) {
    if (CREDENTIAL.test(raw[i]!)) parts.push(raw[i]!.toLowerCase(), raw[i + 1]!);
  }
  if (consumer !== undefined) parts.push("", consumer.name, consumer.credential);
  if (parts.length === 0) return "";
  return `\nby ${createHash("sha256").update(JSON.stringify(parts)).digest("base64url")}`;
}

/** Whether a reply may be given to those with the same credentials. Without any, they are not the same person. */
function mayBeShared(reply: Reply, judged: Storable | NotStorable, hasCredentials: boolean): boolean {
  if (reply.headers.has("set-cookie")) return false;
  if (judged.isStorable) return true;
  switch (judged.reason) {
    case "no-store":
    case "vary":
      return false;
    case "private":
      return hasCredentials;
    case "status":
      return reply.status === 304;
    default:
      return true;
  }
}
