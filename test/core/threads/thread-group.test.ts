/** Real threads, real sockets, and plugins that hang, eat memory and end their thread. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { STALLING } from "../../support/hostile-plugins.ts";
import {
  type Connection,
  connectTo,
  hostileConfig,
  startThreaded,
  type ThreadedGateway,
} from "../../support/threads.ts";

let gateway: ThreadedGateway;
let connections: Connection[] = [];

beforeEach(async () => {
  gateway = await startThreaded(hostileConfig({ text: "one" }));
});

afterEach(async () => {
  for (const connection of connections) connection.close();
  connections = [];
  await gateway[Symbol.asyncDispose]();
});

/** A connection to each of the two threads. */
async function connectBoth(): Promise<[Connection, Connection]> {
  const both = [await connectTo(0, gateway.url), await connectTo(1, gateway.url)] as const;
  connections.push(...both);
  return [...both];
}

const isReplaced = (line: Record<string, unknown>): boolean => line["msg"] === "a new data thread serves";
const deathOf = (line: Record<string, unknown>): boolean => line["reason"] !== undefined;

describe("two data threads", () => {
  it("serve on one port, and say in each line of the log which they are", async () => {
    const [first, second] = await connectBoth();
    expect([await first.ask(), await second.ask()]).toEqual(["0 one", "1 one"]);
    for (const thread of [0, 1]) {
      const line = await gateway.logged((each) => each["msg"] === "request" && each["thread"] === thread);
      expect(line).toMatchObject({ status: 200, route: "all" });
    }
  });

  it("swap together", async () => {
    const both = await connectBoth();
    gateway.source = hostileConfig({ text: "two" });
    expect(await gateway.control.reload()).toEqual({ result: "activated", generation: 2 });
    await expect.poll(() => Promise.all(both.map((each) => each.ask()))).toEqual(["0 two", "1 two"]);
  });

  it.each([0, 1])("keep what serves, both, when thread %i cannot build the next", async (thread) => {
    const both = await connectBoth();
    gateway.source = hostileConfig({ text: "two", refuseOn: thread });
    expect(await gateway.control.reload()).toMatchObject({
      result: "refused",
      generation: 1,
      problems: [{ message: `not on thread ${thread}`, pointer: "/routes/0/pipeline/1/refuseOn" }],
    });
    expect(await Promise.all(both.map((each) => each.ask()))).toEqual(["0 one", "1 one"]);
    gateway.source = hostileConfig({ text: "three" });
    expect(await gateway.control.reload()).toMatchObject({ result: "activated" });
    await expect.poll(() => Promise.all(both.map((each) => each.ask()))).toEqual(["0 three", "1 three"]);
  });

  it("keep what serves when one dies while it builds the next; it is replaced", async () => {
    const [first] = await connectBoth();
    gateway.source = hostileConfig({ text: "two", dieOn: 1 });
    expect(await gateway.control.reload()).toMatchObject({ result: "refused", generation: 1 });
    await gateway.logged(isReplaced);
    expect(await first.ask()).toBe("0 one");
    const [, again] = await connectBoth();
    expect(await again.ask()).toBe("1 one");
  });

  it("swap although one happens to die while it builds the next", async () => {
    const both = await connectBoth();
    gateway.source = hostileConfig({ text: "two", dieOnceOn: 1 });
    expect(await gateway.control.reload()).toEqual({ result: "activated", generation: 2 });
    await expect.poll(() => both[0].ask()).toBe("0 two");
    const [, again] = await connectBoth();
    expect(await again.ask()).toBe("1 two");
  });

  it("drain together: requests under way end, and how many did not is told", async () => {
    const [first, second] = await connectBoth();
    const waiting = [first.ask("wait"), second.ask("wait")].map((ask) =>
      ask.catch((error) => error as Error),
    );
    await Promise.all(
      [0, 1].map((thread) =>
        gateway.logged((line) => line["msg"] === "waiting" && line["thread"] === thread),
      ),
    );
    expect(await gateway.control.stop()).toBe(2);
    expect((await Promise.all(waiting)).every((each) => each instanceof Error)).toBe(true);
  });
});

describe("a data thread", () => {
  it.each([
    ["hangs", "stall", "stall", /has not come round/],
    ["ends", "exit", "exit", /status 3/],
    ["waits for ever", "block", "stall", /has not come round/],
  ])(
    "that %s is replaced; the other goes on, and only its connections are lost",
    async (_, query, reason, message) => {
      const [victim, other] = await connectBoth();
      const lost = victim.ask(query).catch((error: unknown) => error);
      const death = await gateway.logged(deathOf);
      expect(death).toMatchObject({
        level: "error",
        thread: 0,
        reason,
        route: "all",
        msg: expect.stringMatching(message),
      });
      if (query === "stall") expect(death["at"]).toMatch(/\.ts:\d+\)$/);
      expect(await lost).toBeInstanceOf(Error);
      expect(await other.ask()).toBe("1 one");
      await gateway.logged(isReplaced);
      const again = await connectTo(0, gateway.url);
      connections.push(again);
      expect(await again.ask()).toBe("0 one");
      expect(await other.ask()).toBe("1 one");
    },
  );

  it("that runs a script which nothing stops is replaced soon, and all leave that script alone", async () => {
    const [victim, other] = await connectBoth();
    const lost = victim.ask("script").catch((error: unknown) => error);
    const { script, version, file } = { ...STALLING, script: STALLING.name };
    expect(await gateway.logged((line) => line["reason"] === "stall")).toMatchObject({
      level: "error",
      script,
      version,
      file,
      forMs: 30_000,
      msg: "script quarantined: a thread was lost while it ran",
    });
    expect(await gateway.logged((line) => line["thread"] === 0 && line["reason"] === "stall")).toMatchObject({
      level: "error",
      route: "all",
      script,
      file,
      msg: expect.stringMatching(
        /^a data thread is replaced: the script stalling has kept it for \d{4,5} ms$/,
      ),
    });
    expect(await lost).toBeInstanceOf(Error);
    expect(await other.ask()).toBe("1 one");
    await gateway.logged(isReplaced);
    expect(await readMetric('sluice_thread_replacements_total{reason="stall"}')).toBe(1);
  });

  it("that fills its heap is replaced, and the process goes on", async () => {
    const [victim, other] = await connectBoth();
    const lost = victim.ask("memory").catch((error: unknown) => error);
    // Near the end it does little but collect garbage: it may be found to hang before its heap is full.
    const { thread, reason } = await gateway.logged(deathOf);
    expect([thread, reason]).toEqual([0, expect.stringMatching(/^(memory|stall)$/)]);
    expect(await lost).toBeInstanceOf(Error);
    await gateway.logged(isReplaced);
    expect(await other.ask()).toBe("1 one");
  });

  it("that takes the place of another serves what the others do", async () => {
    const [victim, other] = await connectBoth();
    gateway.source = hostileConfig({ text: "two" });
    await gateway.control.reload();
    await victim.ask("exit").catch(() => {});
    await gateway.logged(isReplaced);
    const again = await connectTo(0, gateway.url);
    connections.push(again);
    expect([await again.ask(), await other.ask()]).toEqual(["0 two", "1 two"]);
  });

  it("leaves what it has counted behind", async () => {
    const [victim, other] = await connectBoth();
    await Promise.all([victim.ask(), other.ask()]);
    const before = await readMetric("sluice_test_served_total");
    expect(before).toBeGreaterThanOrEqual(4);
    await victim.ask("exit").catch(() => {});
    await gateway.logged(isReplaced);
    expect(await readMetric("sluice_test_served_total")).toBe(before);
    expect(await readMetric('sluice_thread_replacements_total{reason="exit"}')).toBe(1);
    expect(await readMetric("sluice_threads")).toBe(2);
    await other.ask();
    expect(await readMetric("sluice_test_served_total")).toBe(before + 1);
  });

  it("survives an error that nobody catches", async () => {
    const [first] = await connectBoth();
    expect(await first.ask("throw")).toBe("0 one");
    const line = await gateway.logged((each) => /please report/.test(String(each["msg"])));
    expect(line).toMatchObject({ level: "error", thread: 0, err: { message: "nobody catches this" } });
    expect(await first.ask()).toBe("0 one");
  });
});

/** The value of a series, as the admin listener would tell it. */
async function readMetric(series: string): Promise<number> {
  const { text } = await gateway.control.metrics.render();
  const line = text.split("\n").find((each) => each.startsWith(`${series} `));
  return Number(line?.slice(series.length));
}
