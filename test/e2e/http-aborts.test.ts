/** When one side goes away, the other hears of it: at once, and never as if all was well. */
import { type EventEmitter, once } from "node:events";
import { describe, expect, it } from "vitest";
import { proxyTo, startGateway } from "../support/gateway.ts";
import { get, openRaw, problemCode, request } from "../support/raw-http.ts";
import { startScriptedUpstream } from "../support/scripted-upstream.ts";
import { type IncomingMessage, type ServerResponse, startUpstream } from "../support/upstream.ts";

/** Starts an upstream that hands over the first request. */
async function startOnce() {
  let take!: (call: { message: IncomingMessage; response: ServerResponse }) => void;
  const first = new Promise<{ message: IncomingMessage; response: ServerResponse }>(
    (resolve) => (take = resolve),
  );
  const upstream = await startUpstream((message, response) => {
    message.on("error", () => {});
    take({ message, response });
    if (message.url === "/next") response.end("next");
  });
  const gateway = await startGateway(proxyTo(upstream.url));
  const isOver = async (): Promise<void> => {
    await gateway.stop();
    await upstream.close();
  };
  return { upstream, gateway, first, [Symbol.asyncDispose]: isOver };
}

const closed = (stream: EventEmitter): Promise<unknown> =>
  new Promise((resolve) => stream.once("close", resolve));
const gone = (line: Record<string, unknown>): boolean => line["path"] === "/x" && line["status"] === 499;

describe("A client that goes away aborts the upstream's request", () => {
  it("before the reply", async () => {
    await using both = await startOnce();
    const client = await openRaw(both.gateway.port);
    void client.send(get("/x"));
    const { response } = await both.first;
    client.socket.destroy();
    await closed(response);
    expect(await both.gateway.logged(gone)).toMatchObject({ code: "CLIENT_CLOSED", route: "all" });
  });

  it("by a reset before the reply", async () => {
    await using both = await startOnce();
    const client = await openRaw(both.gateway.port);
    void client.send(get("/x"));
    const { response } = await both.first;
    client.socket.resetAndDestroy();
    await closed(response);
    await both.gateway.logged(gone);
  });

  it("by half-closing, which cannot be told from going away", async () => {
    await using both = await startOnce();
    await using client = await openRaw(both.gateway.port);
    void client.send(get("/x"));
    const { response } = await both.first;
    client.socket.end();
    await closed(response);
    await both.gateway.logged(gone);
    await client.closed;
  });

  it("while it uploads", async () => {
    await using both = await startOnce();
    const client = await openRaw(both.gateway.port);
    void client.send(request("POST", "/x", ["Content-Length: 1000"], "abc"));
    const { message } = await both.first;
    await once(message, "data");
    client.socket.destroy();
    await closed(message);
    expect(message.complete).toBe(false);
    expect(await both.gateway.logged(gone)).toMatchObject({ bytesIn: 3 });
  });

  it("while it uploads in chunks", async () => {
    await using both = await startOnce();
    const client = await openRaw(both.gateway.port);
    void client.send(request("POST", "/x", ["Transfer-Encoding: chunked"], "3\r\nabc\r\n"));
    const { message } = await both.first;
    await once(message, "data");
    client.socket.destroy();
    await closed(message);
    expect(message.complete).toBe(false);
    await both.gateway.logged(gone);
  });

  it("while it downloads", async () => {
    await using both = await startOnce();
    const client = await openRaw(both.gateway.port);
    void client.send(get("/x"));
    const { response } = await both.first;
    response.write("some");
    while (!client.rest.includes("some")) await client.receive(client.rest.length + 1);
    client.socket.destroy();
    await closed(response);
    expect(await both.gateway.logged(gone)).toMatchObject({ bytesOut: 4 });
  });

  it("while it waits for a connection to the upstream", async () => {
    await using both = await startOnce();
    await using gateway = await startGateway(proxyTo(both.upstream.url, {}, {}, { connections: 1 }));
    await using busy = await openRaw(gateway.port);
    void busy.send(get("/busy"));
    const { response } = await both.first;
    const client = await openRaw(gateway.port);
    void client.send(get("/x"));
    client.socket.end();
    await client.closed;
    await gateway.logged(gone);
    response.end();
    expect((await busy.read()).status).toBe(200);
    expect((await busy.ask(get("/next"))).status).toBe(200);
  });
});

describe("An upstream that goes away mid-body breaks the client's connection", () => {
  it.each([
    ["chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"],
    ["a length", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"],
    ["a chunk that is not complete", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc"],
    ["a bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nxyz\r\n"],
  ])("with %s", async (_name, text) => {
    await using upstream = await startScriptedUpstream((_head, socket) => {
      socket.write(text);
      setImmediate(() => socket.end());
    });
    await using gateway = await startGateway(proxyTo(upstream.url));
    await using client = await openRaw(gateway.port);
    await client.send(get("/x"));
    await client.closed;
    const received = client.rest.toString();
    // The head may have gone out or not; the end of the body has not.
    expect(received).not.toContain("0\r\n\r\n");
    if (received !== "") expect(received).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    const line = await gateway.logged(({ path }) => path === "/x");
    expect(["UPSTREAM_RESET", "UPSTREAM_REPLY_INVALID"]).toContain(line["code"]);
    await using next = await openRaw(gateway.port);
    await next.send(get("/y"));
    await next.closed; // the gateway lives
  });

  it("by a reset, after the client saw the beginning", async () => {
    await using upstream = await startScriptedUpstream(
      () => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    );
    await using gateway = await startGateway(proxyTo(upstream.url));
    await using client = await openRaw(gateway.port);
    void client.send(get("/x"));
    while (!client.rest.includes("abc")) await client.receive(client.rest.length + 1);
    upstream.sockets[0]!.resetAndDestroy();
    await client.closed;
    expect(client.rest.toString()).not.toContain("0\r\n\r\n");
    expect(await gateway.logged(({ path }) => path === "/x")).toMatchObject({
      status: 200,
      code: "UPSTREAM_RESET",
    });
  });

  it("also where the length is told by the end, if it was not a clean end", async () => {
    await using upstream = await startScriptedUpstream(() => "HTTP/1.1 200 OK\r\n\r\nabc");
    await using gateway = await startGateway(proxyTo(upstream.url));
    await using client = await openRaw(gateway.port);
    void client.send(get("/x"));
    while (!client.rest.includes("abc")) await client.receive(client.rest.length + 1);
    upstream.sockets[0]!.resetAndDestroy();
    await client.closed;
    expect(client.rest.toString()).not.toContain("0\r\n\r\n");
  });
});

describe("An upstream that answers before it has the whole body", () => {
  it("is heard at once, and the connection goes on when the client has sent the rest", async () => {
    await using upstream = await startScriptedUpstream((head) =>
      head.startsWith("POST") ? "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno" : undefined,
    );
    await using gateway = await startGateway(proxyTo(upstream.url));
    await using client = await openRaw(gateway.port);
    void client.send(request("POST", "/x", ["Content-Length: 100000"], "a".repeat(1000)));
    const reply = await client.read();
    expect([reply.status, reply.body.toString()]).toEqual([403, "no"]);
    void client.send("a".repeat(99_000));
    const next = await client.ask(request("POST", "/y", ["Content-Length: 1"], "b"));
    expect(next.status).toBe(403);
  });

  it("and closes: the client hears it all the same", async () => {
    await using upstream = await startScriptedUpstream((_head, socket) => {
      socket.end("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig");
    });
    await using gateway = await startGateway(proxyTo(upstream.url));
    await using client = await openRaw(gateway.port);
    void client.send(request("POST", "/x", ["Transfer-Encoding: chunked"], "5\r\nhello\r\n"));
    const reply = await client.read();
    expect([reply.status, reply.body.toString(), problemCode(reply)]).toEqual([413, "big", undefined]);
  });
});
