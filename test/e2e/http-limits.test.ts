/** What a listener and a route allow a client: sizes, counts, times, each with its status and code. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Plugin } from "../../core/plugin.ts";
import { textReply } from "../../core/reply.ts";
import { config, proxyTo, startGateway } from "../support/gateway.ts";
import { get, header, openRaw, problemCode, request } from "../support/raw-http.ts";
import { closed, openBothEnds } from "../support/server-sockets.ts";
import { type IncomingMessage, startUpstream, type TestUpstream } from "../support/upstream.ts";

let upstream: TestUpstream;

beforeAll(async () => {
  upstream = await startUpstream();
});

afterAll(() => upstream.close());

/** A gateway before the upstream whose listener has these settings. */
const start = (listener: object, route: object = {}) =>
  startGateway(proxyTo(upstream.url, route, { listeners: [{ address: "127.0.0.1:0", ...listener }] }));

describe("limits.headerSize and headerCount", () => {
  it("let heads up to the limit pass and refuse larger ones with 431", async () => {
    await using gateway = await start({ limits: { headerSize: "1KB" } });
    await using client = await openRaw(gateway.port);
    expect((await client.ask(get("/", [`X: ${"a".repeat(900)}`]))).status).toBe(200);
    const reply = await client.ask(get("/", [`X: ${"a".repeat(1100)}`]));
    expect([reply.status, problemCode(reply)]).toEqual([431, "HEADERS_TOO_LARGE"]);
    await client.closed;
  });

  it("count the request line", async () => {
    await using gateway = await start({ limits: { headerSize: "1KB" } });
    await using client = await openRaw(gateway.port);
    expect((await client.ask(get(`/${"a".repeat(1100)}`))).status).toBe(431);
  });

  it("count many small lines", async () => {
    await using gateway = await start({ limits: { headerSize: "1KB" } });
    await using client = await openRaw(gateway.port);
    expect((await client.ask(get("/", Array(180).fill("A: b")))).status).toBe(431);
  });

  it("refuse more lines than allowed, and lose none below that", async () => {
    await using gateway = await start({ limits: { headerCount: 3000, headerSize: "64KB" } });
    Object.assign(upstream.server, { maxHeadersCount: 0 });
    await using client = await openRaw(gateway.port);
    expect((await client.ask(get("/many", Array(2999).fill("A: b")))).status).toBe(200);
    const { rawHeaders } = upstream.seen.find(({ url }) => url === "/many")!;
    expect(rawHeaders.filter((name) => name === "A")).toHaveLength(2999);
    const reply = await client.ask(get("/", Array(3000).fill("A: b")));
    expect([reply.status, problemCode(reply)]).toEqual([431, "HEADERS_TOO_LARGE"]);
  });
});

describe("limits.bodySize", () => {
  const ten = (lines: string[]) => request("POST", "/ten", lines, "0123456789");

  it.each([
    ["a listener", { limits: { bodySize: "10B" } }, {}],
    ["a route", {}, { limits: { bodySize: "10B" } }],
    ["a route, above its listener's", { limits: { bodySize: "5B" } }, { limits: { bodySize: "10B" } }],
  ])(
    "of %s lets bodies of just that size pass and refuses larger ones with 413",
    async (_name, listener, route) => {
      await using gateway = await start(listener, route);
      await using client = await openRaw(gateway.port);
      expect((await client.ask(ten(["Content-Length: 10"]))).status).toBe(200);
      expect(
        (
          await client.ask(
            request("POST", "/", ["Transfer-Encoding: chunked"], "a\r\n0123456789\r\n0\r\n\r\n"),
          )
        ).status,
      ).toBe(200);
      upstream.seen.length = 0;
      const declared = await client.ask(request("POST", "/", ["Content-Length: 11"], "0123456789a"));
      expect([declared.status, problemCode(declared)]).toEqual([413, "BODY_TOO_LARGE"]);
      const chunked = await client.ask(
        request("POST", "/", ["Transfer-Encoding: chunked"], "a\r\n0123456789\r\n1\r\na\r\n0\r\n\r\n"),
      );
      expect([chunked.status, problemCode(chunked)]).toEqual([413, "BODY_TOO_LARGE"]);
      expect(upstream.seen).toEqual([]);
      expect((await client.ask(get("/next"))).status).toBe(200);
    },
  );

  it("cuts off who sends a megabyte more after the refusal", async () => {
    await using gateway = await start({ limits: { bodySize: "10B" } });
    await using client = await openRaw(gateway.port);
    const reply = await client.ask(request("POST", "/", ["Content-Length: 100000000"]));
    expect(reply.status).toBe(413);
    const piece = Buffer.alloc(65_536);
    let sent = 0;
    while (!client.socket.destroyed && sent < 100_000_000) {
      await Promise.race([client.send(piece), client.closed]);
      sent += piece.length;
    }
    await client.closed;
    expect(sent).toBeLessThan(50_000_000);
  });
});

describe("limits.requestsPerConnection", () => {
  it("ends a connection after so many", async () => {
    await using gateway = await start({ limits: { requestsPerConnection: 2 } });
    await using client = await openRaw(gateway.port);
    expect(header(await client.ask(get("/1")), "connection")).toBe("keep-alive");
    expect(header(await client.ask(get("/2")), "connection")).toBe("close");
    await client.closed;
  });
});

describe("limits.connections", () => {
  it("closes those beyond at once, until one ends", async () => {
    await using gateway = await start({ limits: { connections: 1 } });
    const first = await openRaw(gateway.port);
    expect((await first.ask(get("/"))).status).toBe(200);
    await using second = await openRaw(gateway.port);
    await second.closed;
    expect(second.rest.length).toBe(0);
    expect((await first.ask(get("/"))).status).toBe(200);
    await first.close();
    for (;;) {
      await using third = await openRaw(gateway.port);
      const status = await third.ask(get("/")).then(
        (reply) => reply.status,
        () => 0,
      );
      if (status === 200) break; // the gateway may not have heard of the end yet
    }
  });
});

describe("timeouts", () => {
  it("headers: a head that takes longer is refused with 408", async () => {
    await using gateway = await start({ timeouts: { headers: "100ms" } });
    await using client = await openRaw(gateway.port);
    void client.send("GET / HTTP/1.1\r\nHost: a");
    const reply = await client.read();
    expect([reply.status, problemCode(reply)]).toEqual([408, "REQUEST_TIMEOUT"]);
    expect(header(reply, "connection")).toBe("close");
    await client.closed;
  });

  it("body: a body that stalls is refused with 408, and the upstream hears of it", async () => {
    let aborted!: () => void;
    const isAborted = new Promise<void>((resolve) => (aborted = resolve));
    await using stalled = await startUpstream((message) => message.resume().on("error", () => aborted()));
    await using gateway = await startGateway(
      proxyTo(stalled.url, {}, { listeners: [{ address: "127.0.0.1:0", timeouts: { body: "100ms" } }] }),
    );
    await using client = await openRaw(gateway.port);
    const reply = await client.ask(request("POST", "/", ["Content-Length: 10"], "0"));
    expect([reply.status, problemCode(reply)]).toEqual([408, "REQUEST_TIMEOUT"]);
    await isAborted;
    await client.closed;
  });

  it("body: a body that comes in small pieces is not too slow", async () => {
    await using gateway = await start({ timeouts: { body: "500ms" } });
    await using client = await openRaw(gateway.port);
    void client.send(request("POST", "/", ["Transfer-Encoding: chunked"]));
    for (let i = 0; i < 200; i++) {
      await client.send("1\r\na\r\n");
      await new Promise((resolve) => setImmediate(resolve));
    }
    void client.send("0\r\n\r\n");
    expect((await client.read()).status).toBe(200);
    expect(upstream.seen.at(-1)!.body.length).toBe(200);
  });

  it("body: a client that waits for a slow upstream is not too slow", async () => {
    let take!: (message: IncomingMessage) => void;
    const taken = new Promise<IncomingMessage>((resolve) => (take = resolve));
    await using slow = await startUpstream((message, response) => {
      take(message);
      message.on("end", () => response.end());
    });
    await using gateway = await startGateway(
      proxyTo(slow.url, {}, { listeners: [{ address: "127.0.0.1:0", timeouts: { body: "300ms" } }] }),
    );
    await using client = await openRaw(gateway.port);
    const size = 32 * 1024 * 1024;
    void client.send(request("POST", "/", [`Content-Length: ${size}`]));
    void client.send(Buffer.alloc(size));
    const message = await taken;
    // Another client's connection times out meanwhile, twice.
    for (let i = 0; i < 2; i++) {
      await using stalls = await openRaw(gateway.port);
      expect((await stalls.ask(request("POST", "/", ["Content-Length: 2"], "a"))).status).toBe(408);
    }
    message.resume();
    expect((await client.read()).status).toBe(200);
  });

  it("keepAlive: an idle connection is closed in silence", async () => {
    await using gateway = await start({ timeouts: { keepAlive: "100ms" } });
    await using client = await openRaw(gateway.port);
    expect((await client.ask(get("/"))).status).toBe(200);
    await client.closed;
    expect(client.rest.length).toBe(0);
  });

  it("send: a client that takes nothing of a stream is dropped, and its upstream", async () => {
    let dropped!: () => void;
    const isDropped = new Promise<void>((resolve) => (dropped = resolve));
    const piece = Buffer.alloc(65_536);
    await using endless = await startUpstream((_request, response) => {
      const more = (): void => {
        while (!response.destroyed && response.write(piece));
      };
      response.on("drain", more).on("close", () => dropped());
      more();
    });
    await using gateway = await startGateway(
      proxyTo(endless.url, {}, { listeners: [{ address: "127.0.0.1:0", timeouts: { send: "200ms" } }] }),
    );
    const { client, server } = await openBothEnds(gateway.port);
    client.socket.pause();
    void client.send(get("/endless"));
    await closed(server);
    await isDropped;
    expect((await gateway.logged((line) => line["path"] === "/endless"))["status"]).toBe(499);
    await client.close();
  });

  it("send: a client that takes nothing of a reply in memory is dropped", async () => {
    const big: Plugin = {
      name: "big",
      terminal: true,
      schema: { type: "object", properties: {}, additionalProperties: false },
      build: () => () => () => textReply(200, "a".repeat(32 * 1024 * 1024)),
    };
    const serveBig = (send: string) => {
      const listeners = [{ address: "127.0.0.1:0", timeouts: { send } }];
      const routes = [{ name: "big", match: {}, pipeline: [{ plugin: "big" }] }];
      return startGateway(config({ listeners, routes }), { plugins: [big] });
    };
    await using strict = await serveBig("200ms");
    const { client, server } = await openBothEnds(strict.port);
    client.socket.pause();
    void client.send(get("/"));
    await closed(server);
    await client.close();
    // One that takes it gets it, and the connection goes on.
    await using lenient = await serveBig("5s");
    await using good = await openRaw(lenient.port);
    expect((await good.ask(get("/"))).body.length).toBe(32 * 1024 * 1024);
    expect((await good.ask(get("/"))).status).toBe(200);
  });
});
