/**
 * The other threads of this gateway, as a cache has them: a directory that all see says which thread has an entry or is
 * fetching it, and that thread is asked before the upstream is. Its body is not copied: it is in memory that all see.
 */
import type { ChannelListener, Clock, SharedState, ThreadChannel } from "../../core/plugin.ts";
import { HeaderList } from "../../core/headers.ts";
import type { Entry } from "./entry.ts";

/** What a thread has for a request: nothing, or `others`, if that is only for requests with other values, by Vary. */
export type Held = Entry | "others" | undefined;

/** Whether what another thread has will do. */
type IsEnough = (entry: Entry) => boolean;

/** Threads that are asked for the same, one after the other, while each takes it from the one before. */
const MOST_ASKED = 3;

/** What this thread has. */
export interface Holder {
  /** The entry for a request with these headers, at hand or when what is under way has come; stale, if there is no other. */
  lookUp(key: string, headers: HeaderList): Held | Promise<Entry | undefined>;
  /** Takes an entry in the place of its like: the same, with its body where all threads see it. */
  replace(entry: Entry, same: Entry): void;
  /**
   * What is stored for a key, or on its way to be, is out of date.
   * @param url as entries have it, if it was changed: then so is all else that there is of it
   */
  drop(key: string, url: string | undefined): void;
}

/** What threads say to each other. */
type Message =
  | { readonly ask: number; readonly key: string; readonly headers: readonly string[] }
  | { readonly answer: number; readonly held: Held }
  /** There will be an answer. */
  | { readonly wait: number }
  /** It is out of date, and what else there is of the URL. */
  | { readonly drop: string; readonly url: string | undefined };

/** A question that waits for its answer. */
interface Question {
  readonly holder: number;
  /** When it is given up, whatever was said. */
  readonly until: number;
  readonly held: Promise<Held>;
  readonly resolve: (held: Held) => void;
  timer: NodeJS.Timeout;
  /** Whoever is asked has said that it is fetching, and is still there. */
  isFetched: boolean;
}

/** How long a thread is written down for a key; then the next who needs it is. */
const WRITTEN_MS = 60_000;
/** A thread that says nothing for so long is not there, or hangs. */
const SILENCE_MS = 1000;
/** Those who only look wait for so long. */
const LOOK_MS = 500;

export class Neighbours implements ChannelListener {
  readonly #topic: string;
  readonly #shared: SharedState;
  readonly #clock: Clock;
  readonly #holder: Holder;
  readonly #channel: ThreadChannel;
  readonly #questions = new Map<number, Question>();
  #next = 1;

  /** @param topic names the cache: the same on all threads */
  constructor(topic: string, shared: SharedState, clock: Clock, holder: Holder) {
    this.#topic = topic;
    this.#shared = shared;
    this.#clock = clock;
    this.#holder = holder;
    this.#channel = shared.openChannel(topic, this);
  }

  /**
   * Asks the thread that is written down for a key. If there is none, or what it has is not enough, it is this one from
   * now on, and others ask it.
   * @param waitMs longest that what others are fetching is waited for
   * @returns the best there is; undefined at once when there is nobody to ask
   */
  find(key: string, headers: HeaderList, waitMs: number, isEnough: IsEnough): Promise<Held> | undefined {
    if (this.#shared.threads === 1) return undefined;
    const holder = this.#write(key, 0);
    if (holder === this.#shared.thread) return undefined;
    return this.#findAt(holder, key, headers, this.#clock.monotonic() + waitMs, isEnough);
  }

  /**
   * Asks the thread that is written down for a key, for somebody who will not fetch it, nor wait for long until another
   * has.
   */
  peek(key: string, headers: HeaderList): Promise<Held> | undefined {
    if (this.#shared.threads === 1) return undefined;
    const cell = this.#locate(key);
    const holder = cell === -1 ? -1 : Atomics.load(this.#shared.directory.words, cell) - 1;
    if (holder === -1 || holder === this.#shared.thread) return undefined;
    return this.#ask(key, headers, holder, this.#clock.monotonic() + LOOK_MS).held;
  }

  /** This thread has the newest entry of a key. */
  claim(key: string): void {
    if (this.#shared.threads === 1) return;
    const cell = this.#locate(key);
    if (cell !== -1) Atomics.store(this.#shared.directory.words, cell, this.#shared.thread + 1);
  }

  /** Nothing has come of what this thread was fetching. */
  release(key: string): void {
    if (this.#shared.threads === 1) return;
    const cell = this.#locate(key);
    if (cell !== -1) Atomics.compareExchange(this.#shared.directory.words, cell, this.#shared.thread + 1, 0);
  }

  /**
   * Has all other threads drop what they have of a key. Whoever needs it next is written down for it.
   * @param url of which they drop all else, too
   */
  drop(key: string, url?: string): void {
    if (this.#shared.threads === 1) return;
    const cell = this.#locate(key);
    if (cell !== -1) Atomics.store(this.#shared.directory.words, cell, 0);
    this.#channel.post({ drop: key, url } satisfies Message);
  }

  close(): void {
    this.#channel.close();
    for (const id of [...this.#questions.keys()]) this.#settle(id, undefined);
  }

  onMessage(sent: unknown, from: number): void {
    const message = sent as Message;
    if ("drop" in message) return this.#holder.drop(message.drop, message.url);
    if ("ask" in message) return this.#answer(message.ask, message.key, message.headers, from);
    if ("answer" in message) return this.#settle(message.answer, asOwn(message.held));
    const question = this.#questions.get(message.wait);
    if (question === undefined) return;
    question.isFetched = true;
    this.#arm(message.wait, question, Number.POSITIVE_INFINITY);
  }

  onGone(thread: number): void {
    for (const [id, question] of this.#questions) {
      if (question.holder !== thread) continue;
      question.isFetched = false;
      this.#settle(id, undefined);
    }
  }

  async #findAt(
    first: number,
    key: string,
    headers: HeaderList,
    until: number,
    isEnough: IsEnough,
  ): Promise<Held> {
    let best: Held;
    let holder = first;
    for (let asked = 0; asked < MOST_ASKED; asked++) {
      const question = this.#ask(key, headers, holder, until);
      const held = await question.held;
      if (typeof held === "object" && isEnough(held)) return held;
      if (rank(held) > rank(best)) best = held;
      // Others need not ask it in vain; whoever came first is fetching it.
      holder = this.#write(key, holder + 1);
      if (holder === -1) holder = this.#write(key, 0);
      if (holder === this.#shared.thread) break;
      // What one has fetched for itself only, the next fetches for itself, too: nobody need wait for that.
      if (held === undefined && question.isFetched) break;
    }
    return best;
  }

  #ask(key: string, headers: HeaderList, holder: number, until: number): Question {
    const { promise, resolve } = Promise.withResolvers<Held>();
    const ask = this.#next++;
    const timer = undefined as unknown as NodeJS.Timeout;
    const question: Question = { holder, until, held: promise, resolve, timer, isFetched: false };
    this.#questions.set(ask, question);
    this.#arm(ask, question, SILENCE_MS);
    this.#channel.post({ ask, key, headers: headers.raw } satisfies Message, holder);
    return question;
  }

  #arm(id: number, question: Question, mostMs: number): void {
    clearTimeout(question.timer);
    const ms = Math.min(mostMs, question.until - this.#clock.monotonic());
    question.timer = setTimeout(() => this.#settle(id, undefined), Math.max(0, ms));
  }

  #settle(id: number, held: Held): void {
    const question = this.#questions.get(id);
    if (question === undefined) return;
    this.#questions.delete(id);
    clearTimeout(question.timer);
    question.resolve(held);
  }

  #answer(answer: number, key: string, headers: readonly string[], to: number): void {
    const found = this.#holder.lookUp(key, new HeaderList([...headers]));
    if (!(found instanceof Promise)) return this.#send(answer, found, to);
    this.#channel.post({ wait: answer } satisfies Message, to);
    found.then(
      (entry) => this.#send(answer, entry, to),
      () => this.#send(answer, undefined, to),
    );
  }

  #send(answer: number, held: Held, to: number): void {
    let sent = held;
    if (typeof held === "object" && !(held.body.buffer instanceof SharedArrayBuffer)) {
      sent = { ...held, body: toShared(held.body) };
      this.#holder.replace(held, sent); // so that the bytes are there once
    }
    this.#channel.post({ answer, held: sent } satisfies Message, to);
  }

  /**
   * Writes this thread down for a key, where so far `expected` is written: a thread's number + 1, or 0 for none.
   * @returns the thread that is written down now
   */
  #write(key: string, expected: number): number {
    const own = this.#shared.thread + 1;
    const cell = this.#locate(key);
    if (cell === -1) return own - 1;
    const found = Atomics.compareExchange(this.#shared.directory.words, cell, expected, own);
    return found === expected ? own - 1 : found - 1;
  }

  #locate(key: string): number {
    return this.#shared.directory.locate(`${this.#topic} ${key}`, WRITTEN_MS, this.#clock.monotonic());
  }
}

/** The newest is the best; any is better than what is for other requests, and that tells more than nothing. */
function rank(held: Held): number {
  return held === undefined ? -1 : held === "others" ? 0 : held.respondedAtMs;
}

/** A copy that all threads see. */
export function toShared(body: Buffer): Buffer {
  const shared = Buffer.from(new SharedArrayBuffer(body.length));
  body.copy(shared);
  return shared;
}

/** What another thread sent: bodies arrive as plain bytes. */
function asOwn(held: Held): Held {
  if (typeof held !== "object") return held;
  const { buffer, byteOffset, byteLength } = held.body;
  return { ...held, body: Buffer.from(buffer, byteOffset, byteLength) };
}
