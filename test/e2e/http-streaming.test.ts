/** Bodies flow as fast as the slower side takes them, and no more than a little waits in the gateway. */
import { once } from "node:events";
import type { Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { config, startGateway, type TestGateway } from "../support/gateway.ts";
import { get, openRaw, request } from "../support/raw-http.ts";
import { openBothEnds } from "../support/server-sockets.ts";
import {
  type IncomingMessage,
  type RequestListener,
  type ServerResponse,
  startUpstream,
} from "../support/upstream.ts";

const MB = 1024 * 1024;
const TOTAL = 200 * MB;
/** What may be under way: mostly in the kernel's buffers of two connections. */
const UNDER_WAY = 25 * MB;
/** What of it may be the gateway's. */
const IN_GATEWAY = MB;
const PIECE = Buffer.alloc(64 * 1024, "x");

async function start(handler: RequestListener) {
  const upstream = await startUpstream(handler);
  const gateway = await startGateway(
    config({
      upstreams: { main: { targets: [upstream.url] } },
      routes: [
        {
          name: "ping",
          match: { path: "/ping" },
          pipeline: [{ plugin: "respond", status: 200, body: "pong" }],
        },
        { name: "all", match: { path: "/*" }, upstream: "main" },
      ],
    }),
  );
  const stop = async (): Promise<void> => {
    await gateway.stop();
    await upstream.close();
  };
  return { gateway, [Symbol.asyncDispose]: stop };
}

/** Resolves when `count` does not grow any more while the gateway answers others. */
async function stalled(gateway: TestGateway, count: () => number): Promise<void> {
  await using pinger = await openRaw(gateway.port);
  for (let before = -1; before !== count(); ) {
    before = count();
    for (let i = 0; i < 50; i++) expect((await pinger.ask(get("/ping"))).status).toBe(200);
  }
}

/** Writes pieces, each with PIECE in it, until `TOTAL` bytes are written; gives a view of how many were. */
function pump(to: Socket | ServerResponse, onEnd: () => void, piece = PIECE): { sent: number } {
  const progress = { sent: 0 };
  const more = (): void => {
    while (progress.sent < TOTAL) {
      progress.sent += PIECE.length;
      if (!to.write(piece)) return;
    }
    to.off("drain", more);
    onEnd();
  };
  to.on("drain", more);
  more();
  return progress;
}

describe("Back-pressure", () => {
  it.each(["a length", "chunks"])(
    "holds an upstream back while the client does not read (%s)",
    async (framing) => {
      let download: { sent: number } | undefined;
      await using both = await start((_request, response) => {
        if (framing === "a length") response.setHeader("content-length", TOTAL);
        download = pump(response, () => response.end());
      });
      const { client, server } = await openBothEnds(both.gateway.port);
      client.socket.pause().removeAllListeners("data");
      void client.send(get("/big", ["Connection: close"]));
      await stalled(both.gateway, () => download?.sent ?? 0);
      expect(download!.sent).toBeGreaterThan(MB);
      expect(download!.sent).toBeLessThan(UNDER_WAY);
      expect(server.writableLength).toBeLessThan(IN_GATEWAY);
      let received = 0;
      client.socket.on("data", (chunk: Buffer) => (received += chunk.length)).resume();
      await client.closed;
      expect(received).toBeGreaterThan(TOTAL);
      expect(received).toBeLessThan(TOTAL * 1.01);
      expect(await both.gateway.logged((line) => line["path"] === "/big")).toMatchObject({ bytesOut: TOTAL });
    },
  );

  it.each(["a length", "chunks"])(
    "holds a client back while the upstream does not read (%s)",
    async (framing) => {
      let take!: (message: IncomingMessage) => void;
      const taken = new Promise<IncomingMessage>((resolve) => (take = resolve));
      await using both = await start((message, response) => {
        take(message);
        message.on("end", () => response.end("done"));
      });
      const { client, server } = await openBothEnds(both.gateway.port);
      let upload: { sent: number };
      if (framing === "a length") {
        void client.send(request("PUT", "/big", [`Content-Length: ${TOTAL}`]));
        upload = pump(client.socket, () => {});
      } else {
        void client.send(request("PUT", "/big", ["Transfer-Encoding: chunked"]));
        const size = Buffer.from(`${PIECE.length.toString(16)}\r\n`);
        const chunk = Buffer.concat([size, PIECE, Buffer.from("\r\n")]);
        upload = pump(client.socket, () => void client.socket.write("0\r\n\r\n"), chunk);
      }
      const message = await taken;
      await stalled(both.gateway, () => upload.sent);
      expect(upload.sent).toBeLessThan(UNDER_WAY);
      expect(server.readableLength).toBeLessThan(IN_GATEWAY);
      let received = 0;
      message.on("data", (chunk: Buffer) => (received += chunk.length));
      expect((await client.read()).body.toString()).toBe("done");
      expect(received).toBe(TOTAL);
      await client.close();
      expect(await both.gateway.logged((line) => line["path"] === "/big")).toMatchObject({ bytesIn: TOTAL });
    },
  );
});

describe("Streaming", () => {
  it("passes the pieces of a reply as they come", async () => {
    let take!: (response: ServerResponse) => void;
    const taken = new Promise<ServerResponse>((resolve) => (take = resolve));
    await using both = await start((_request, response) => take(response));
    await using client = await openRaw(both.gateway.port);
    void client.send(get("/events"));
    const upstreamReply = await taken;
    for (const piece of ["data: 1\n\n", "data: 2\n\n"]) {
      upstreamReply.write(piece);
      while (!client.rest.includes(piece)) await client.receive(client.rest.length + 1);
    }
    upstreamReply.end();
    expect((await client.read()).body.toString()).toBe("data: 1\n\ndata: 2\n\n");
  });

  it("passes the head of a reply before there is any body", async () => {
    const head = "HTTP/1.1 200 OK\r\nX-Latin: caf\xe9\r\nContent-Length: 2\r\n";
    await using both = await start((_request, { socket }) => void socket!.write(`${head}\r\n`, "latin1"));
    await using client = await openRaw(both.gateway.port);
    void client.send(get("/events"));
    while (!client.rest.includes("\r\n\r\n")) await client.receive(client.rest.length + 1);
    expect(client.rest.toString("latin1").slice(0, head.length)).toBe(head);
  });

  it("passes the pieces of a request as they come", async () => {
    let take!: (message: IncomingMessage) => void;
    const taken = new Promise<IncomingMessage>((resolve) => (take = resolve));
    await using both = await start((message, response) => {
      take(message);
      message.on("end", () => response.end("done"));
    });
    await using client = await openRaw(both.gateway.port);
    void client.send(request("POST", "/", ["Transfer-Encoding: chunked"], "1\r\na\r\n"));
    const message = await taken;
    expect(String((await once(message, "data"))[0])).toBe("a");
    void client.send("1\r\nb\r\n");
    expect(String((await once(message, "data"))[0])).toBe("b");
    void client.send("0\r\n\r\n");
    expect((await client.read()).body.toString()).toBe("done");
  });
});
