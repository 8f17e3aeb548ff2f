import { once } from "node:events";
import { Agent } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { describe, expect, it } from "vitest";
import { type Answer, ask, type Question, StaleConnection } from "../../core/ask.ts";
import { createAuthority } from "../support/certificates.ts";
import { startRawUpstream, startUpstream } from "../support/upstream.ts";

const question = (url: string, more: Partial<Question> = {}): Question => ({
  url: new URL(url),
  method: "GET",
  headers: {},
  timeoutMs: 5000,
  maxBytes: 1000,
  ...more,
});
const fetchFrom = (url: string, signal?: AbortSignal): Promise<Answer> =>
  ask(question(url), undefined, signal);

const answering = (text: string) =>
  startRawUpstream((socket) => {
    socket.once("data", () => socket.end(text));
  });

describe("an answer", () => {
  it("is what the server says, whatever its status", async () => {
    await using server = await answering("HTTP/1.1 404 No\r\nX-A: 1\r\ncontent-length: 4\r\n\r\nbody");
    const { status, headers, body } = await fetchFrom(server.url);
    expect([status, headers.get("x-a"), body]).toEqual([404, "1", "body"]);
  });

  it("is to the question as it was asked", async () => {
    await using server = await startUpstream();
    await ask(question(`${server.url}/a?b`, { method: "POST", headers: { "x-a": "1" }, body: "c=d" }));
    expect(server.seen).toMatchObject([{ method: "POST", url: "/a?b", body: Buffer.from("c=d") }]);
    expect(server.seen[0]?.headers).toMatchObject({ "x-a": "1", "content-length": "3" });
  });

  it("is no redirect that would be followed", async () => {
    await using server = await answering(
      "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
    );
    expect((await fetchFrom(server.url)).status).toBe(302);
  });

  it.each([
    [
      "another protocol",
      "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
      "closed",
    ],
    ["half of one", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", "aborted"],
    ["no HTTP", "keys\r\n\r\n", "Parse Error"],
    ["nothing", "", "socket hang up"],
    ["too much", `HTTP/1.1 200 OK\r\n\r\n${"x".repeat(1001)}`, "more than 1000 bytes"],
  ])("is not taken from %s", async (_, text, why) => {
    await using server = await answering(text);
    await expect(fetchFrom(server.url)).rejects.toThrow(why);
  });

  it("is not taken from somebody whose certificate nobody vouches for", async () => {
    const { cert, key } = await (await createAuthority()).issue(["127.0.0.1"]);
    const server = createServer({ cert, key }, (_, response) => response.end("keys")).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    await expect(fetchFrom(`https://127.0.0.1:${port}`)).rejects.toThrow("certificate");
    server.close();
    await once(server, "close");
  });

  it("is not waited for when it goes on and on", async () => {
    await using server = await startRawUpstream((socket) => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      const more = (): void => void (socket.writable && socket.write("x".repeat(1000), more));
      more();
    });
    await expect(fetchFrom(server.url)).rejects.toThrow("more than");
  });

  it.each(["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"])(
    "is not waited for too long after %j",
    async (text) => {
      await using silent = await startRawUpstream((socket) => void socket.write(text));
      await expect(ask(question(silent.url, { timeoutMs: 50 }))).rejects.toThrow(
        "it was not done within 0.05 s",
      );
    },
  );

  it("is given up when nobody wants it", async () => {
    const abort = new AbortController();
    await using silent = await startRawUpstream((socket) => {
      socket.once("data", () => abort.abort());
    });
    await expect(fetchFrom(silent.url, abort.signal)).rejects.toThrow("aborted");
  });
});

it("tells a connection that was kept for too long from others that break", async () => {
  const agent = new Agent({ keepAlive: true });
  await using server = await startRawUpstream((socket) => {
    socket.once("data", () => {
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
      socket.once("data", () => socket.destroy());
    });
  });
  await ask(question(server.url), agent);
  await expect(ask(question(server.url), agent)).rejects.toThrow(StaleConnection);
  agent.destroy();
});

it("leaves no timer behind", async () => {
  const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
  await using server = await answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
  const before = timers();
  for (let i = 0; i < 30; i++) await fetchFrom(server.url);
  expect(timers() - before).toBeLessThan(10);
});
