import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { BytesBody, type Body, QueuedBody, type Sink } from "../../../core/body.ts";
import { Replay } from "../../../plugins/retry/replay.ts";

/** What fills a body, and whether it has been told to wait or stop. */
class Source {
  paused = false;
  aborted: Error | undefined;
  readonly body: QueuedBody;

  constructor(length?: number) {
    this.body = new QueuedBody(this, length);
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
  abort(reason: Error): void {
    this.aborted = reason;
  }
}

/** A sink that takes as much as a test lets it. */
class Taker implements Sink {
  readonly chunks: Buffer[] = [];
  ended = false;
  failed: Error | undefined;
  trailers: string[] | undefined;
  /** Chunks until it blocks. */
  room: number;

  constructor(room = Number.POSITIVE_INFINITY) {
    this.room = room;
  }
  get text(): string {
    return Buffer.concat(this.chunks).toString("latin1");
  }
  write(chunk: Buffer): boolean {
    expect(this.ended || this.failed !== undefined).toBe(false);
    this.chunks.push(chunk);
    return --this.room > 0;
  }
  end(last?: Buffer, trailers?: string[]): void {
    expect(this.ended || this.failed !== undefined).toBe(false);
    if (last !== undefined) this.chunks.push(last);
    this.ended = true;
    this.trailers = trailers;
  }
  fail(error: Error): void {
    expect(this.ended || this.failed !== undefined).toBe(false);
    this.failed = error;
  }
}

const start = (body: Body, room?: number): Taker => {
  const taker = new Taker(room);
  body.start(taker);
  return taker;
};

describe("a body that is replayed", () => {
  it("gives each attempt the same bytes: what was recorded, then what still comes", () => {
    const source = new Source(6);
    const replay = new Replay(source.body, 100);
    const first = replay.open();
    const one = start(first);
    source.body.push(Buffer.from("ab"));
    source.body.push(Buffer.from("cd"));
    first.cancel();
    expect(one.text).toBe("abcd");
    expect(replay.isComplete).toBe(true);
    const second = replay.open();
    expect(second.length).toBe(6);
    const two = start(second);
    source.body.push(Buffer.from("ef"));
    source.body.finish(["x-sum", "1"]);
    expect([one.text, two.text, two.ended, two.trailers]).toEqual(["abcd", "abcdef", true, ["x-sum", "1"]]);
    expect(source.aborted).toBeUndefined();
  });

  it("gives a third attempt all of it when the second got it whole", () => {
    const source = new Source();
    const replay = new Replay(source.body, 100);
    const one = start(replay.open());
    source.body.push(Buffer.from("ab"));
    source.body.finish();
    expect([one.text, one.ended]).toEqual(["ab", true]);
    expect(start(replay.open())).toMatchObject({ text: "ab", ended: true });
    expect(start(replay.open())).toMatchObject({ text: "ab", ended: true });
  });

  it("is not complete any more when more than the cap was passed on", () => {
    const source = new Source();
    const replay = new Replay(source.body, 4);
    const taker = start(replay.open());
    source.body.push(Buffer.from("abcd"));
    expect(replay.isComplete).toBe(true);
    source.body.push(Buffer.from("e"));
    expect(replay.isComplete).toBe(false);
    source.body.push(Buffer.from("f"));
    source.body.finish();
    expect([taker.text, taker.ended]).toEqual(["abcdef", true]);
  });

  it("may be sent again whatever its length while nothing of it was read", () => {
    const source = new Source(1000);
    const replay = new Replay(source.body, 4);
    replay.open().cancel();
    expect(replay.isComplete).toBe(true);
    start(replay.open());
    expect(replay.isComplete).toBe(true);
    source.body.push(Buffer.from("a"));
    expect(replay.isComplete).toBe(false);
  });

  it("lets the client wait while the attempt takes nothing, and between attempts", () => {
    const source = new Source();
    const replay = new Replay(source.body, 100);
    const first = replay.open();
    start(first, 1);
    source.body.push(Buffer.from("a"));
    expect(source.paused).toBe(true);
    first.resume();
    expect(source.paused).toBe(false);
    first.cancel();
    source.body.push(Buffer.from("b"));
    expect(source.paused).toBe(true);
    expect(start(replay.open()).text).toBe("ab");
    expect(source.paused).toBe(false);
  });

  it("gives nothing more to an attempt that is over", () => {
    const source = new Source();
    const replay = new Replay(source.body, 100);
    const first = replay.open();
    const one = start(first);
    const second = replay.open();
    expect(one.failed).toBeInstanceOf(Error);
    first.resume();
    first.cancel();
    const late = new Taker();
    first.start(late);
    expect(late.failed).toBeInstanceOf(Error);
    const two = start(second);
    source.body.push(Buffer.from("a"));
    expect([one.text, two.text]).toEqual(["", "a"]);
  });

  it("tells an attempt that the client's body broke off, and is not complete then", () => {
    const source = new Source();
    const replay = new Replay(source.body, 100);
    const taker = start(replay.open());
    source.body.push(Buffer.from("a"));
    const error = new Error("gone");
    source.body.break(error);
    expect(taker.failed).toBe(error);
    expect(replay.isComplete).toBe(false);
    expect(start(replay.open()).failed?.message).toBe("gone");
  });

  it("keeps the client's body when an attempt cancels its own, and cancels it when no attempt follows", () => {
    const source = new Source();
    const replay = new Replay(source.body, 100);
    const first = replay.open();
    start(first);
    first.cancel();
    expect(source.aborted).toBeUndefined();
    const second = replay.open();
    start(second);
    replay.close();
    expect(source.aborted).toBeUndefined();
    const reason = new Error("enough");
    second.cancel(reason);
    expect(source.aborted).toBe(reason);
    expect(replay.isComplete).toBe(false);
  });

  it("cancels the client's body on closing when the last attempt has left already", () => {
    const source = new Source();
    const replay = new Replay(source.body, 100);
    replay.open().cancel();
    replay.close();
    expect(source.aborted).toBeInstanceOf(Error);
  });

  it("records nothing more once it is closed", () => {
    const source = new Source();
    const replay = new Replay(source.body, 100);
    const taker = start(replay.open());
    source.body.push(Buffer.from("a"));
    replay.close();
    expect(replay.isComplete).toBe(false);
    source.body.push(Buffer.from("b"));
    source.body.finish();
    expect([taker.text, taker.ended]).toEqual(["ab", true]);
  });

  it("cancels what is left of the client's body when the exchange ends, and lets a complete one be", () => {
    const source = new Source();
    const replay = new Replay(source.body, 100);
    const taker = start(replay.open());
    replay.onExchangeEnd();
    expect(source.aborted).toBeInstanceOf(Error);
    expect(taker.failed).toBeInstanceOf(Error);
    const cancel = vi.fn();
    const whole: Body = { length: 0, start: (sink) => sink.end(), resume: () => {}, cancel };
    const other = new Replay(whole, 100);
    start(other.open());
    other.onExchangeEnd();
    expect(cancel).not.toHaveBeenCalled();
  });

  it("takes bodies that deliver at once", () => {
    const replay = new Replay(new BytesBody(Buffer.from("abc")), 100);
    expect(start(replay.open())).toMatchObject({ text: "abc", ended: true });
    expect(start(replay.open())).toMatchObject({ text: "abc", ended: true });
  });

  it("gives every attempt that ends the same bytes, whatever comes when, and never loses any in silence", () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.record({ push: fc.uint8Array({ minLength: 1, maxLength: 40 }) }) },
      { weight: 3, arbitrary: fc.record({ room: fc.integer({ min: 1, max: 4 }) }) },
      { weight: 2, arbitrary: fc.constantFrom("next", "start", "cancel") },
      { weight: 1, arbitrary: fc.constantFrom("finish", "close") },
    );
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 60 }),
        fc.integer({ min: 0, max: 300 }),
        fc.boolean(),
        (steps, cap, isLengthKnown) => {
          const pushes = steps.flatMap((each) => (typeof each === "object" && "push" in each ? [each] : []));
          const length = pushes.reduce((sum, { push }) => sum + push.length, 0);
          const source = new Source(isLengthKnown ? length : undefined);
          const replay = new Replay(source.body, cap);
          const sent: Buffer[] = [];
          let finished = false;
          let closed = false;
          let body = replay.open();
          let taker: Taker | undefined;
          let cancelled = false;
          const takers: Taker[] = [];
          const begin = (): void => {
            if (taker !== undefined) return;
            taker = new Taker(2);
            takers.push(taker);
            body.start(taker);
          };
          const next = (): void => {
            if (closed || !replay.isComplete) return;
            body = replay.open();
            taker = undefined;
            cancelled = false;
          };
          for (const each of steps) {
            if (each === "next") next();
            else if (each === "start") begin();
            else if (each === "cancel") {
              cancelled = true;
              body.cancel();
            } else if (each === "close") {
              closed = true;
              replay.close();
            } else if (each === "finish") {
              if (!finished && source.aborted === undefined) source.body.finish();
              finished = true;
            } else if ("room" in each) {
              if (taker !== undefined && !taker.ended && taker.failed === undefined) {
                taker.room = each.room;
                body.resume();
              }
            } else if (!finished && source.aborted === undefined) {
              const chunk = Buffer.from(each.push);
              sent.push(chunk);
              source.body.push(chunk);
            }
            const all = Buffer.concat(sent).toString("latin1");
            for (const { text } of takers) expect(all.startsWith(text)).toBe(true);
          }
          if (!finished && source.aborted === undefined) source.body.finish();
          next();
          begin();
          while (taker !== undefined && taker.room <= 0 && !taker.ended && taker.failed === undefined) {
            taker.room = 5;
            body.resume();
          }
          const all = Buffer.concat(sent).toString("latin1");
          for (const { text, ended } of takers) if (ended) expect(text).toBe(all);
          if (cancelled) return;
          if (!closed) expect(taker!.ended).toBe(true);
          else expect(taker!.ended || taker!.failed !== undefined).toBe(true);
          if (length <= cap && !closed) expect(replay.isComplete).toBe(true);
        },
      ),
      { numRuns: 2000 },
    );
  });
});
