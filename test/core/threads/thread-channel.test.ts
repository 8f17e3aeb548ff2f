import { afterEach, describe, expect, it } from "vitest";
import { type ThreadChannel, ThreadChannels } from "../../../core/threads/thread-channel.ts";

const open: ThreadChannel[] = [];
afterEach(() => {
  for (const channel of open.splice(0)) channel.close();
});

let lines = 0;

/** Ends of a channel on as many threads, with what came to each. */
function openAll(threads: number, topic = "news") {
  const line = `line ${lines++}`;
  return Array.from({ length: threads }, (_, thread) => {
    const channels = new ThreadChannels(line, thread, threads);
    const inbox: { message: unknown; from: number }[] = [];
    const waiting: (() => void)[] = [];
    const channel = channels.open(topic, {
      onMessage(message, from) {
        inbox.push({ message, from });
        waiting.shift()?.();
      },
    });
    open.push(channel);
    const next = () => new Promise<void>((resolve) => waiting.push(resolve));
    return { channels, channel, inbox, next };
  });
}

describe("channels between threads", () => {
  it("reach all others, and not the one who posts", async () => {
    const [a, b, c] = openAll(3);
    const came = Promise.all([b!.next(), c!.next()]);
    a!.channel.post({ hello: 1 });
    await came;
    expect(b!.inbox).toEqual([{ message: { hello: 1 }, from: 0 }]);
    expect(c!.inbox).toEqual([{ message: { hello: 1 }, from: 0 }]);
    expect(a!.inbox).toEqual([]);
  });

  it("reach one when it is named", async () => {
    const [a, b, c] = openAll(3);
    const came = c!.next();
    a!.channel.post("for one", 2);
    const all = Promise.all([b!.next()]);
    b!.inbox.length = 0;
    a!.channel.post("for all");
    await Promise.all([came, all]);
    expect(b!.inbox).toEqual([{ message: "for all", from: 0 }]);
    expect(c!.inbox[0]).toEqual({ message: "for one", from: 0 });
  });

  it("give shared memory away without copying it", async () => {
    const [a, b] = openAll(2);
    const bytes = Buffer.from(new SharedArrayBuffer(4));
    const came = b!.next();
    a!.channel.post({ bytes });
    await came;
    bytes[0] = 7;
    expect((b!.inbox[0]!.message as { bytes: Uint8Array }).bytes[0]).toBe(7);
  });

  it("keep topics apart", async () => {
    const [a, b] = openAll(2);
    const other: unknown[] = [];
    open.push(b!.channels.open("sports", { onMessage: (message) => other.push(message) }));
    const came = b!.next();
    a!.channel.post("news");
    await came;
    expect(other).toEqual([]);
  });

  it("refuse a topic that is open, and take it when it was closed", () => {
    const [a] = openAll(2);
    const again = () => a!.channels.open("news", { onMessage() {} });
    expect(again).toThrow("the channel news is open");
    a!.channel.close();
    open.push(again());
  });

  it("go nowhere where there is one thread", () => {
    const channel = new ThreadChannels("alone", 0, 1).open("news", { onMessage() {} });
    channel.post("anybody?");
    channel.close();
  });
});
