import { describe, expect, it, vi } from "vitest";
import { type Producer, QueuedBody, type Sink } from "../../../core/body.ts";
import { Fill, type FillListener } from "../../../plugins/cache/fill.ts";
import { PassingBodies } from "../../../plugins/cache/passing-bodies.ts";

/** A body that a test pushes, and what its source was told. */
function source(length?: number) {
  const told = { paused: false, aborted: false };
  const producer: Producer = {
    pause: () => void (told.paused = true),
    resume: () => void (told.paused = false),
    abort: () => void (told.aborted = true),
  };
  return { body: new QueuedBody(producer, length), told };
}

/** A reader's other end: it takes `quota` chunks, and more when told. */
class Client implements Sink {
  text = "";
  state: "open" | "ended" | "failed" = "open";
  trailers: string[] | undefined;
  quota = Number.POSITIVE_INFINITY;

  write(chunk: Buffer): boolean {
    this.text += chunk.toString();
    return --this.quota > 0;
  }

  end(last?: Buffer, trailers?: string[]): void {
    this.text += last?.toString() ?? "";
    this.trailers = trailers;
    this.state = "ended";
  }

  fail(): void {
    this.state = "failed";
  }
}

class Listener implements FillListener {
  stored: string | undefined;
  reason: string | undefined;
  done = 0;

  onFilled(bytes: Buffer): void {
    this.stored = bytes.toString();
  }

  onGivenUp(reason: string): void {
    this.reason = reason;
  }

  onDone(): void {
    this.done++;
  }
}

function fill({
  max = 1000,
  length,
  budget = new PassingBodies(1e6),
}: {
  max?: number;
  length?: number;
  budget?: PassingBodies;
} = {}) {
  const { body, told } = source(length);
  const listener = new Listener();
  return { body, told, listener, budget, fill: new Fill(body, max, listener, budget) };
}

/** A reader that is read at once. */
function read(from: Fill, quota = Number.POSITIVE_INFINITY) {
  const client = new Client();
  client.quota = quota;
  const reader = from.open();
  reader.start(client);
  return { client, reader };
}

const bytes = (text: string): Buffer => Buffer.from(text);
const KB64 = "x".repeat(64 * 1024);

describe("a fill", () => {
  it("gives each chunk to all readers at once, and stores the whole", () => {
    const { body, fill: filling, listener, budget } = fill();
    const { client: a } = read(filling);
    const { client: b } = read(filling);
    filling.begin();
    body.push(bytes("one "));
    expect([a.text, b.text]).toEqual(["one ", "one "]);
    expect(budget.bytes).toBe(4);
    body.push(bytes("two"));
    body.finish(["x-sum", "7"]);
    expect([a.text, a.state, a.trailers]).toEqual(["one two", "ended", ["x-sum", "7"]]);
    expect([b.text, b.state]).toEqual(["one two", "ended"]);
    expect(listener).toMatchObject({ stored: "one two", reason: undefined, done: 1 });
    expect(budget.bytes).toBe(0);
  });

  it("has stored before any reader sees the end", () => {
    const { body, fill: filling, listener } = fill();
    const seen: (string | undefined)[] = [];
    filling.open().start({ write: () => true, end: () => void seen.push(listener.stored), fail: () => {} });
    filling.begin();
    body.push(bytes("whole"));
    body.finish();
    expect(seen).toEqual(["whole"]);
  });

  it("stores an empty body", () => {
    const { body, fill: filling, listener } = fill();
    const { client } = read(filling);
    filling.begin();
    body.finish();
    expect(listener.stored).toBe("");
    expect(client).toMatchObject({ text: "", state: "ended" });
  });

  it("goes on at the pace of the upstream while it is kept, however slow a reader is", () => {
    const { body, told, fill: filling, listener } = fill({ max: 1e6 });
    const { client: slow, reader } = read(filling, 1);
    const { client: fast } = read(filling);
    filling.begin();
    for (let i = 0; i < 8; i++) body.push(bytes(KB64));
    body.finish();
    expect(told.paused).toBe(false);
    expect(listener.stored).toHaveLength(8 * KB64.length);
    expect(fast.state).toBe("ended");
    expect(slow.text).toHaveLength(KB64.length);
    expect(listener.done).toBe(0);
    slow.quota = Number.POSITIVE_INFINITY;
    reader.resume();
    expect(slow.text).toHaveLength(8 * KB64.length);
    expect(slow.state).toBe("ended");
    expect(listener.done).toBe(1);
  });

  it("lets the slowest reader set the pace once it is too large, and drops what all have: until then it counts", () => {
    const { body, told, fill: filling, listener, budget } = fill({ max: 100_000 });
    const { client: slow, reader } = read(filling, 1);
    const { client: fast } = read(filling);
    filling.begin();
    body.push(bytes(KB64));
    body.push(bytes(KB64));
    expect(listener).toMatchObject({ reason: "too-large", stored: undefined });
    expect(budget.bytes).toBe(2 * KB64.length);
    expect(fast.text).toHaveLength(2 * KB64.length);
    expect(filling.isWhole).toBe(false);
    expect(told.paused).toBe(true);
    slow.quota = Number.POSITIVE_INFINITY;
    reader.resume();
    expect(told.paused).toBe(false);
    expect(budget.bytes).toBe(0);
    body.push(bytes("end"));
    body.finish();
    expect(slow.text).toBe(fast.text);
    expect([slow.state, fast.state, listener.done]).toEqual(["ended", "ended", 1]);
  });

  it("lets the next slowest set the pace when the slowest goes away", () => {
    const { body, told, fill: filling } = fill({ max: -1 });
    const { reader } = read(filling, 0);
    const { client: fast } = read(filling);
    filling.begin();
    body.push(bytes(KB64));
    body.push(bytes(KB64));
    expect(told.paused).toBe(true);
    reader.cancel();
    expect(told).toEqual({ paused: false, aborted: false });
    body.finish();
    expect(fast).toMatchObject({ state: "ended", text: KB64 + KB64 });
  });

  it("does not keep what says that it is too large", () => {
    const { fill: filling, listener } = fill({ max: 10, length: 11 });
    expect(listener.reason).toBe("too-large");
    expect(filling.isWhole).toBe(true);
  });

  it("stores what nobody reads any more", () => {
    const { body, told, fill: filling, listener } = fill();
    const { reader } = read(filling);
    filling.begin();
    body.push(bytes("one "));
    reader.cancel();
    body.push(bytes("two"));
    body.finish();
    expect(told.aborted).toBe(false);
    expect(listener).toMatchObject({ stored: "one two", done: 1 });
  });

  it("is stopped when nobody reads it and it takes too long, or gets too large", () => {
    vi.useFakeTimers();
    const late = fill();
    late.fill.begin();
    vi.advanceTimersByTime(29_999);
    expect(late.told.aborted).toBe(false);
    vi.advanceTimersByTime(1);
    vi.useRealTimers();
    expect(late.told.aborted).toBe(true);
    expect(late.listener).toMatchObject({ reason: "abandoned", done: 1 });
    const large = fill({ max: 3 });
    large.fill.begin();
    large.body.push(bytes("four"));
    expect(large.told.aborted).toBe(true);
    expect(large.listener).toMatchObject({ reason: "too-large", done: 1 });
  });

  it("is stopped when it is not kept and nobody reads it any more", () => {
    const { body, told, fill: filling, listener } = fill({ max: -1 });
    const { reader } = read(filling);
    const { reader: other } = read(filling);
    filling.begin();
    body.push(bytes("one"));
    reader.cancel();
    expect(told.aborted).toBe(false);
    other.cancel();
    expect(told.aborted).toBe(true);
    expect(listener.done).toBe(1);
  });

  it("fails all readers when it breaks off, those that come to it later too, and stores nothing", () => {
    const { body, fill: filling, listener } = fill();
    const { client } = read(filling);
    const late = filling.open();
    filling.begin();
    body.push(bytes("one"));
    body.break(new Error("reset"));
    const sink = new Client();
    late.start(sink);
    expect([client.state, sink.state]).toEqual(["failed", "failed"]);
    expect(listener).toMatchObject({ stored: undefined, reason: "broken", done: 1 });
  });

  it("does not store what has another length than its head says", () => {
    const { body, fill: filling, listener } = fill({ length: 9 });
    const { client } = read(filling);
    filling.begin();
    body.push(bytes("four"));
    body.finish();
    expect(client.state).toBe("ended");
    expect(listener).toMatchObject({ stored: undefined, reason: "broken", done: 1 });
  });

  it("gives readers that come while it is whole everything from the first byte on", () => {
    const { body, fill: filling } = fill();
    read(filling);
    filling.begin();
    body.push(bytes("one "));
    expect(filling.isWhole).toBe(true);
    const { client } = read(filling);
    body.push(bytes("two"));
    body.finish();
    expect(client).toMatchObject({ text: "one two", state: "ended" });
  });

  it("holds for slow readers the very bytes that are stored", () => {
    const { body, fill: one, listener, budget } = fill();
    let stored: Buffer | undefined;
    listener.onFilled = (bytes) => void (stored = bytes);
    const taken: Buffer[] = [];
    const slow = { write: () => false, end: (last?: Buffer) => void taken.push(last!), fail: () => {} };
    const reader = one.open();
    reader.start(slow);
    one.begin();
    body.push(Buffer.from("123"));
    body.push(Buffer.from("456"));
    body.finish();
    reader.resume();
    expect(taken[0]!.buffer).toBe(stored!.buffer);
    expect(budget.bytes).toBe(0);
  });

  it("stops keeping when all fills together take too much memory", () => {
    const budget = new PassingBodies(10);
    const first = fill({ budget });
    const second = fill({ budget });
    read(first.fill);
    read(second.fill);
    first.fill.begin();
    second.fill.begin();
    first.body.push(bytes("123456"));
    second.body.push(bytes("123456"));
    expect(second.listener.reason).toBe("memory");
    expect(budget.bytes).toBe(6);
    first.body.finish();
    expect(first.listener.stored).toBe("123456");
    expect(budget.bytes).toBe(0);
  });
});
