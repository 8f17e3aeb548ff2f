import { once } from "node:events";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { describe, expect, it, vi } from "vitest";
import { fetchDocument } from "../../../../plugins/auth/jwt/fetch-document.ts";
import { createAuthority } from "../../../support/certificates.ts";
import { startRawUpstream } from "../../../support/upstream.ts";

const fetchFrom = (url: string, signal = new AbortController().signal): Promise<string> =>
  fetchDocument(new URL(url), signal);

const answering = (text: string) =>
  startRawUpstream((socket) => {
    socket.once("data", () => socket.end(text));
  });

describe("a document", () => {
  it("is fetched", async () => {
    await using server = await answering("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nkeys");
    expect(await fetchFrom(server.url)).toBe("keys");
  });

  it.each([
    ["another status", "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "status 404"],
    [
      "a redirect",
      "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
      "status 302",
    ],
    [
      "another protocol",
      "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
      "closed",
    ],
    ["half of a document", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", "aborted"],
    ["no HTTP", "keys\r\n\r\n", "Parse Error"],
    ["nothing", "", "socket hang up"],
    ["too much", `HTTP/1.1 200 OK\r\n\r\n${"x".repeat(256 * 1024 + 1)}`, "more than 262144 bytes"],
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

  it("is not waited for too long", async () => {
    const limit = new AbortController();
    const timeout = vi.spyOn(AbortSignal, "timeout").mockReturnValue(limit.signal);
    await using silent = await startRawUpstream((socket) => {
      socket.once("data", () => {
        socket.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf");
        limit.abort();
      });
    });
    await expect(fetchFrom(silent.url)).rejects.toThrow("it was not done within 5 s");
    expect(timeout).toHaveBeenCalledWith(5000);
    timeout.mockRestore();
  });

  it("is given up when nobody wants it", async () => {
    const abort = new AbortController();
    await using silent = await startRawUpstream((socket) => {
      socket.once("data", () => abort.abort());
    });
    await expect(fetchFrom(silent.url, abort.signal)).rejects.toThrow("aborted");
  });
});
