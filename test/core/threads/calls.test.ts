import { MessageChannel } from "node:worker_threads";
import { expect, it, onTestFinished } from "vitest";
import { ConfigError, GatewayError } from "../../../core/errors.ts";
import { type AnswerMessage, answerCall, Caller, type CallMessage } from "../../../core/threads/calls.ts";

type Table = {
  add(a: number, b: number): Promise<number>;
  refuse(): number;
  fail(how: string): number;
  beDown(): number;
};

/** A caller on one side of a real channel, a table on the other. */
function setUp() {
  const { port1, port2 } = new MessageChannel();
  onTestFinished(() => port1.close());
  const table: Table = {
    add: async (a, b) => a + b,
    refuse: () => {
      throw new ConfigError("cannot", "/routes/0");
    },
    beDown: () => {
      throw new GatewayError("STORE_UNAVAILABLE", {
        headers: ["retry-after", "1"],
        cause: new Error("no answer"),
      });
    },
    fail: (how) => {
      if (how === "text") throw "a text";
      throw Object.assign(new TypeError("oops"), { code: "E_OOPS" });
    },
  };
  const caller = new Caller<Table>(port1);
  port1.on("message", (message: AnswerMessage) => caller.onAnswer(message));
  port2.on("message", (message: CallMessage) => void answerCall(table, message, port2));
  return caller;
}

it("gives each call its own answer", async () => {
  const caller = setUp();
  expect(await Promise.all([caller.call("add", 1, 2), caller.call("add", 3, 4)])).toEqual([3, 7]);
});

it("fails as the other side did: with problems of the configuration, or with its error", async () => {
  const caller = setUp();
  const refused = await caller.call("refuse").catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(ConfigError);
  expect((refused as ConfigError).problems).toMatchObject([{ message: "cannot", pointer: "/routes/0" }]);
  await expect(caller.call("fail", "error")).rejects.toMatchObject({
    name: "TypeError",
    message: "oops",
    code: "E_OOPS",
    stack: expect.stringContaining("calls.test.ts"),
  });
  const plain = await caller.call("fail", "text").catch((error: unknown) => error);
  expect(plain).toMatchObject({ message: "a text" });
  expect(plain).not.toHaveProperty("code");
});

it("fails with the gateway's own errors as such, and with what was underneath", async () => {
  const caller = setUp();
  const down = await caller.call("beDown").catch((error: unknown) => error);
  expect(down).toBeInstanceOf(GatewayError);
  expect(down).toMatchObject({
    code: "STORE_UNAVAILABLE",
    status: 503,
    headers: ["retry-after", "1"],
    detail: undefined,
    cause: { message: "no answer" },
  });
});

it("fails calls that wait, and those to come, when the other side is gone", async () => {
  const posted: unknown[] = [];
  const caller = new Caller<Table>({ postMessage: (message) => void posted.push(message) });
  const waiting = caller.call("add", 1, 2);
  caller.fail(new Error("gone"));
  await expect(waiting).rejects.toThrow("gone");
  await expect(caller.call("add", 1, 2)).rejects.toThrow("gone");
  expect(posted).toHaveLength(1);
  caller.onAnswer({ answer: 1, result: 3 }); // too late: nobody waits
});
