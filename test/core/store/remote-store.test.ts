import { MessageChannel } from "node:worker_threads";
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { MemoryStore } from "../../../core/store/memory.ts";
import { answerStore, RemoteStore, type StoreCalls } from "../../../core/store/remote-store.ts";
import { type AnswerMessage, answerCall, Caller, type CallMessage } from "../../../core/threads/calls.ts";
import { FakeClock } from "../../support/harness.ts";

describe("a store that another thread has", () => {
  it("is asked there, with everything that a call says", async () => {
    const store = new MemoryStore(1e6, new FakeClock());
    const calls: StoreCalls = {
      askStore: async (id, call) => answerStore(id === "main" ? store : never(), call),
    };
    const { port1, port2 } = new MessageChannel();
    onTestFinished(() => port1.close());
    const caller = new Caller<StoreCalls>(port1);
    port1.on("message", (message: AnswerMessage) => caller.onAnswer(message));
    port2.on("message", (message: CallMessage) => void answerCall(calls, message, port2));

    const remote = new RemoteStore(caller, "main");
    expect(await remote.get("a")).toBeUndefined();
    expect(await remote.set("a", "1", { ttlMs: 1000 })).toBe(true);
    expect(await remote.set("a", "2", { ifAbsent: true })).toBe(false);
    expect(await remote.set("a", "1", { ifValue: "2" })).toBe(false);
    expect(await remote.incr("a", 4)).toBe(5);
    expect(await remote.get("a")).toBe("5");
    expect(await remote.delete("a")).toBe(true);
    await remote.set("a", "text");
    await expect(remote.incr("a", 1)).rejects.toMatchObject({ code: "STORE_VALUE_INVALID" });
  });

  describe("when that thread does not answer", () => {
    beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
    afterEach(() => void vi.useRealTimers());

    it("is unavailable after a second, and at once for more than ten thousand calls", async () => {
      const posted: unknown[] = [];
      const caller = new Caller<StoreCalls>({ postMessage: (message) => void posted.push(message) });
      const remote = new RemoteStore(caller, "main");
      const first = remote.get("a").catch((error: unknown) => error);
      for (let i = 0; i < 9999; i++) remote.get("b").catch(() => {});
      await expect(remote.get("c")).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
      expect(posted).toHaveLength(10_000);
      await vi.advanceTimersByTimeAsync(1000);
      expect(await first).toMatchObject({
        code: "STORE_UNAVAILABLE",
        cause: { message: "no answer in 1000 ms" },
      });
    });
  });
});

function never(): never {
  throw new Error("another store");
}
