import { beforeEach, expect, it } from "vitest";
import { type Answer, StaleConnection } from "../../core/ask.ts";
import { AskError, Asker } from "../../core/asker.ts";
import { FakeHost } from "../support/harness.ts";
import { startRawUpstream, startUpstream } from "../support/upstream.ts";

let host: FakeHost;
beforeEach(() => {
  host = new FakeHost();
});

const open = (): Asker & Disposable => {
  const asker = new Asker("the oracle", { name: "sluice_asked_total", help: "" }, host);
  return Object.assign(asker, { [Symbol.dispose]: () => asker.close() });
};
const question = (url: string) =>
  ({ url: new URL(url), method: "GET", headers: {}, timeoutMs: 5000, maxBytes: 1000 }) as const;
const statusOf = ({ status }: Answer): number => {
  if (status !== 200) throw new Error(`it is ${status}`);
  return status;
};
const messages = (): string[] => host.log.lines.map(({ level, message }) => `${level} ${message}`);

it("keeps its connection", async () => {
  let connections = 0;
  await using server = await startUpstream();
  server.server.on("connection", () => connections++);
  using asker = open();
  for (let i = 0; i < 3; i++) await asker.ask(question(server.url), statusOf);
  expect(connections).toBe(1);
});

it("asks once more on a connection of its own when the one that was kept is closed", async () => {
  let connections = 0;
  await using server = await startRawUpstream((socket) => {
    connections++;
    socket.once("data", () => {
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
      socket.once("data", () => socket.destroy());
    });
  });
  using asker = open();
  await asker.ask(question(server.url), statusOf);
  expect(await asker.ask(question(server.url), statusOf)).toBe(200);
  expect(connections).toBe(2);
});

it("does not ask again when a new connection breaks", async () => {
  let connections = 0;
  await using server = await startRawUpstream((socket) => {
    connections++;
    socket.once("data", () => socket.destroy());
  });
  using asker = open();
  const failure = await asker.ask(question(server.url), statusOf).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(AskError);
  expect((failure as Error).cause).not.toBeInstanceOf(StaleConnection);
  expect(connections).toBe(1);
});

it("logs once that it fails, and once that it is over, and counts all", async () => {
  let status = 500;
  await using server = await startUpstream((_, response) => {
    response.statusCode = status;
    response.end();
  });
  using asker = open();
  for (let i = 0; i < 3; i++)
    await expect(asker.ask(question(server.url), statusOf)).rejects.toThrow("it is 500");
  status = 200;
  for (let i = 0; i < 2; i++) await asker.ask(question(server.url), statusOf);
  expect(messages()).toEqual(["warn the oracle cannot be asked", "info the oracle answers again"]);
  expect(host.log.lines[0]?.fields).toEqual({ host: `127.0.0.1:${server.port}`, why: "it is 500" });
  expect([...host.counts.values()]).toEqual([3, 2]);
});

it("ends what it waits for when it is closed, and does not complain of that", async () => {
  const asker = open();
  await using server = await startRawUpstream((socket) => {
    socket.once("data", () => asker.close());
  });
  await expect(asker.ask(question(server.url), statusOf)).rejects.toThrow(AskError);
  expect(messages()).toEqual([]);
});
