import { availableParallelism } from "node:os";
import { expect, it } from "vitest";
import { canReusePort, countThreads } from "../../../core/threads/count.ts";
import { FakeLog } from "../../support/harness.ts";

const yes = async (): Promise<boolean> => true;
const no = async (): Promise<boolean> => false;

it("is as configured, and as many as the machine has for auto", async () => {
  const log = new FakeLog();
  expect(await countThreads(3, log, yes)).toBe(3);
  expect(await countThreads("auto", log, yes)).toBe(availableParallelism());
  expect(log.lines).toEqual([]);
});

it("is one, with a clear line in the log, where ports cannot be shared", async () => {
  const log = new FakeLog();
  expect(await countThreads(3, log, no)).toBe(1);
  expect(log.lines).toEqual([
    { level: "warn", fields: { threads: 3 }, message: expect.stringContaining("SO_REUSEPORT") },
  ]);
});

it("does not ask the system when one thread is wanted", async () => {
  const log = new FakeLog();
  expect(await countThreads(1, log, no)).toBe(1);
  expect(log.lines).toEqual([]);
});

it("finds out that this system can share ports", async () => {
  expect(await canReusePort()).toBe(process.platform === "linux" || process.platform === "freebsd");
});
