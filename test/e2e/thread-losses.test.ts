/** What is lost when a thread goes while clients ask without a pause: what it had in hand, and nothing else. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Load, startLoad } from "../support/load.ts";
import { connectTo, hostileConfig, startThreaded, type ThreadedGateway } from "../support/threads.ts";

const CLIENTS = 8;

let gateway: ThreadedGateway;
let load: Load;

beforeEach(async () => {
  gateway = await startThreaded(hostileConfig({ text: "1" }, { log: { access: false } }));
  load = startLoad(gateway.url, CLIENTS, (status, body) =>
    status === 200 && /^[01] \d+$/.test(body) ? undefined : `${status} ${body}`,
  );
  await load.answeredMore(200);
});

afterEach(async () => {
  await load.stop();
  await gateway[Symbol.asyncDispose]();
});

const isReplaced = (line: Record<string, unknown>): boolean => line["msg"] === "a new data thread serves";

describe("under load", () => {
  it("a hundred swaps over two threads lose nothing", async () => {
    for (let n = 2; n <= 100; n++) {
      gateway.source = hostileConfig({ text: String(n) }, { log: { access: false } });
      expect(await gateway.control.reload()).toMatchObject({ result: "activated" });
    }
    await load.answeredMore(100);
    expect(load.failures).toEqual([]);
  });

  it("swaps that one thread cannot build lose nothing, and nobody sees them", async () => {
    for (let n = 0; n < 20; n++) {
      gateway.source = hostileConfig({ text: "not a number", refuseOn: n % 2 }, { log: { access: false } });
      expect(await gateway.control.reload()).toMatchObject({ result: "refused", generation: 1 });
    }
    await load.answeredMore(100);
    expect(load.failures).toEqual([]);
  });

  it.each(["exit", "stall"])(
    "a thread that goes by %s loses at most one request of each client",
    async (how) => {
      const connection = await connectTo(1, gateway.url);
      await connection.ask(how).catch(() => {});
      connection.close();
      await gateway.logged(isReplaced);
      const lost = load.failures.length;
      expect(lost).toBeLessThanOrEqual(CLIENTS);
      await load.answeredMore(400);
      expect(load.failures).toHaveLength(lost);
    },
  );
});
