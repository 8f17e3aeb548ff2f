/** Connections on both sides: reused, pipelined, ended. */
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { proxyTo, startGateway } from "../support/gateway.ts";
import { get, header, openRaw, request } from "../support/raw-http.ts";
import { startScriptedUpstream } from "../support/scripted-upstream.ts";
import { closed } from "../support/server-sockets.ts";
import { type IncomingMessage, type ServerResponse, startUpstream } from "../support/upstream.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

describe("Keep-alive", () => {
  it("serves many requests over one connection, and asks the upstream over one", async () => {
    await using upstream = await startScriptedUpstream(() => OK);
    await using gateway = await startGateway(proxyTo(upstream.url));
    await using client = await openRaw(gateway.port);
    for (let i = 0; i < 20; i++) {
      const reply = await client.ask(get(`/${i}`));
      expect([reply.status, header(reply, "connection")]).toEqual([200, "keep-alive"]);
    }
    expect(upstream.heads).toHaveLength(20);
    expect(upstream.sockets).toHaveLength(1);
  });

  it("shares upstream connections between clients", async () => {
    await using upstream = await startScriptedUpstream(() => OK);
    await using gateway = await startGateway(proxyTo(upstream.url));
    for (let i = 0; i < 5; i++) {
      await using client = await openRaw(gateway.port);
      await client.ask(get("/", ["Connection: close"]));
      await client.closed;
    }
    expect(upstream.sockets).toHaveLength(1);
  });

  it("ends when the client says so", async () => {
    await using upstream = await startUpstream();
    await using gateway = await startGateway(proxyTo(upstream.url));
    for (const value of ["close", "Close", "x, close"]) {
      await using client = await openRaw(gateway.port);
      const reply = await client.ask(get("/", [`Connection: ${value}`]));
      expect(header(reply, "connection")).toBe("close");
      await client.closed;
    }
  });

  it("of the client goes on when the upstream ends its own", async () => {
    await using upstream = await startScriptedUpstream((_head, socket) => {
      socket.end("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    });
    await using gateway = await startGateway(proxyTo(upstream.url));
    await using client = await openRaw(gateway.port);
    for (let i = 0; i < 3; i++) {
      const reply = await client.ask(get("/"));
      expect([reply.status, header(reply, "connection")]).toEqual([200, "keep-alive"]);
    }
    expect(upstream.sockets).toHaveLength(3);
  });

  it("ends with the reply that was under way when the gateway stopped, not at drainTimeout", async () => {
    await using upstream = await startScriptedUpstream((_head, socket) => {
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no");
    });
    await using gateway = await startGateway(proxyTo(upstream.url, {}, { drainTimeout: "60s" }));
    const { port } = gateway;
    await using client = await openRaw(port);
    await client.send(get("/"));
    await client.receive(1);
    const stopped = gateway.stop();
    await expect.poll(() => openRaw(port).then((other) => other.close(), String)).toContain("ECONNREFUSED");
    upstream.sockets[0]!.write("k");
    await client.closed;
    expect((await client.read()).body.toString()).toBe("ok");
    await stopped;
  });

  it("of the upstream is opened again when it ended between requests", async () => {
    await using upstream = await startScriptedUpstream(() => OK);
    await using gateway = await startGateway(proxyTo(upstream.url));
    await using client = await openRaw(gateway.port);
    for (let i = 0; i < 3; i++) {
      expect((await client.ask(get("/"))).status).toBe(200);
      const socket = upstream.sockets.at(-1)!;
      socket.end();
      await closed(socket); // the gateway has closed its side too
    }
    expect(upstream.sockets).toHaveLength(3);
  });

  it("of the upstream is as long as the upstream says", async () => {
    await using upstream = await startScriptedUpstream(
      () => "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\nok",
    );
    await using gateway = await startGateway(proxyTo(upstream.url, {}, {}, { keepAlive: "1h" }));
    await using client = await openRaw(gateway.port);
    await client.ask(get("/"));
    await closed(upstream.sockets[0]!);
  });

  it("of the upstream lasts as long as its `keepAlive`", async () => {
    await using upstream = await startScriptedUpstream(() => OK);
    await using gateway = await startGateway(proxyTo(upstream.url, {}, {}, { keepAlive: "100ms" }));
    await using client = await openRaw(gateway.port);
    await client.ask(get("/"));
    await closed(upstream.sockets[0]!);
    expect((await client.ask(get("/"))).status).toBe(200);
  });
});

describe("Pipelining", () => {
  /** Starts an upstream that keeps its replies until told. */
  async function startHolding() {
    const waiting: { message: IncomingMessage; response: ServerResponse }[] = [];
    let wake: (() => void) | undefined;
    const upstream = await startUpstream((message, response) => {
      waiting.push({ message, response });
      wake?.();
    });
    const arrived = async (count: number): Promise<void> => {
      while (waiting.length < count) await new Promise<void>((resolve) => (wake = resolve));
    };
    return { upstream, waiting, arrived };
  }

  it("answers in order whatever order the upstream answers in", async () => {
    const { upstream, waiting, arrived } = await startHolding();
    await using _upstream = upstream;
    await using gateway = await startGateway(proxyTo(upstream.url));
    await using client = await openRaw(gateway.port);
    void client.send(["/1", "/2", "/3"].map((target) => get(target)).join(""));
    await arrived(3);
    for (const { message, response } of waiting.reverse())
      response.end(`${message.url} ${"x".repeat(100_000)}`);
    for (const target of ["/1", "/2", "/3"]) {
      expect((await client.read()).body.toString()).toBe(`${target} ${"x".repeat(100_000)}`);
    }
  });

  it("keeps bodies apart", async () => {
    await using upstream = await startUpstream();
    await using gateway = await startGateway(proxyTo(upstream.url));
    await using client = await openRaw(gateway.port);
    const texts = Array.from({ length: 20 }, (_, i) =>
      i % 2 === 0
        ? request("POST", `/${i}`, ["Content-Length: 2"], `#${i}`.slice(-2))
        : request("PUT", `/${i}`, ["Transfer-Encoding: chunked"], `1\r\n${i % 10}\r\n0\r\n\r\n`),
    );
    void client.send(texts.join(""));
    for (let i = 0; i < 20; i++) {
      const seen = JSON.parse((await client.read()).body.toString());
      expect([seen.url, seen.body]).toEqual([`/${i}`, i % 2 === 0 ? `#${i}`.slice(-2) : String(i % 10)]);
    }
  });

  it("aborts everything that is under way when the client goes", async () => {
    const { upstream, waiting, arrived } = await startHolding();
    await using _upstream = upstream;
    await using gateway = await startGateway(proxyTo(upstream.url));
    const client = await openRaw(gateway.port);
    void client.send(get("/1") + get("/2"));
    await arrived(2);
    const gone = waiting.map(({ response }) => once(response, "close"));
    await client.close();
    await Promise.all(gone);
    await gateway.logged((line) => line["path"] === "/1" && line["status"] === 499);
    await gateway.logged((line) => line["path"] === "/2" && line["status"] === 499);
  });
});
