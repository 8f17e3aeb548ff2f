import { once } from "node:events";
import { PassThrough, Readable } from "node:stream";
import { describe, expect, it } from "vitest";
import { monotonicMs } from "../../../core/clock.ts";
import { type Body, BytesBody, collect, type Sink, StreamBody } from "../../../core/body.ts";
import { GatewayError } from "../../../core/errors.ts";
import type { Exchange, ExchangeInit } from "../../../core/exchange.ts";
import { NO_ROUTE } from "../../../core/exchange.ts";
import { Peer } from "../../../core/peer.ts";
import type { Reply } from "../../../core/reply.ts";
import { type Destination, forward } from "../../../core/upstream/forward.ts";
import { outgoingHeaders } from "../../../core/upstream/outgoing-headers.ts";
import { ConnectError } from "../../../core/upstream/connector.ts";
import { Pool, PoolClosed, type PoolHandler, type PoolOptions } from "../../../core/upstream/pool.ts";
import { bodyText, exchange, type RequestInit } from "../../support/harness.ts";
import { startRawUpstream, startUpstream } from "../../support/upstream.ts";

const peer = (address = "192.0.2.7"): Peer => new Peer(address, 8080, "http", () => false);

const request = (headers: string[], init: Partial<ExchangeInit> = {}, more: RequestInit = {}) =>
  exchange({
    headers,
    ...more,
    init: { authority: "api.example.com", peer: peer(), clientAddress: "192.0.2.7", ...init },
  });

/** What the gateway adds to every request of {@link request}. */
const OWN = {
  "x-forwarded-for": "192.0.2.7",
  "x-forwarded-proto": "http",
  "x-forwarded-host": "api.example.com",
  "x-forwarded-port": "8080",
  forwarded: 'for=192.0.2.7;host="api.example.com";proto=http',
  via: "1.1 sluice",
};

function pairs(flat: readonly string[]): [string, string][] {
  const list: [string, string][] = [];
  for (let i = 0; i < flat.length; i += 2) list.push([flat[i]!, flat[i + 1]!]);
  return list;
}

describe("the headers sent upstream", () => {
  it("are the client's, in order and with their case, after the target's Host and before the gateway's own", () => {
    const x = request(["X-B", "2", "Accept", "*/*", "x-a", "1", "X-B", "3"]);
    expect(pairs(outgoingHeaders(x, "target:81"))).toEqual([
      ["host", "target:81"],
      ["X-B", "2"],
      ["Accept", "*/*"],
      ["x-a", "1"],
      ["X-B", "3"],
      ...Object.entries(OWN),
    ]);
  });

  it.each<[string, string[], Record<string, string | undefined>]>([
    ["drop Connection", ["Connection", "close"], { connection: undefined }],
    ["drop Keep-Alive", ["Keep-Alive", "timeout=5"], { "keep-alive": undefined }],
    ["drop Proxy-Connection", ["Proxy-Connection", "close"], { "proxy-connection": undefined }],
    ["drop Proxy-Authorization", ["Proxy-Authorization", "Basic x"], { "proxy-authorization": undefined }],
    ["drop TE", ["TE", "trailers"], { te: undefined }],
    ["drop Trailer", ["Trailer", "x-a"], { trailer: undefined }],
    ["drop Transfer-Encoding", ["Transfer-Encoding", "chunked"], { "transfer-encoding": undefined }],
    ["drop Upgrade", ["Upgrade", "websocket"], { upgrade: undefined }],
    ["drop Expect", ["Expect", "100-continue"], { expect: undefined }],
    ["drop a Content-Length without a body", ["Content-Length", "0"], { "content-length": undefined }],
    ["keep what only looks like them", ["x-te", "1", "expires", "0"], { "x-te": "1", expires: "0" }],
    [
      "keep names as long as special ones",
      ["abc", "3", "abcd", "4", "abcdef", "6", "abcdefghi", "9", "a234567890abcd", "14"],
      { abc: "3", abcd: "4", abcdef: "6", abcdefghi: "9", a234567890abcd: "14" },
    ],
    [
      "keep longer ones too",
      ["a23456789012345", "15", "a234567890123456", "16", "a2345678901234567", "17"],
      { a23456789012345: "15", a234567890123456: "16", a2345678901234567: "17" },
    ],
    ["drop the client's Host", ["Host", "api.example.com"], { host: "target" }],
    ["keep a Host that a stage set", ["host", "other.example.com"], { host: "other.example.com" }],
    ["add to Via", ["Via", "1.0 one"], { via: "1.0 one, 1.1 sluice" }],
    ["join Via lines", ["via", "1.0 a", "via", "1.1 b"], { via: "1.0 a, 1.1 b, 1.1 sluice" }],
    [
      "add to X-Forwarded-For",
      ["X-Forwarded-For", "203.0.113.9"],
      { "x-forwarded-for": "203.0.113.9, 192.0.2.7" },
    ],
    [
      "join X-Forwarded-For lines",
      ["x-forwarded-for", "a", "x-forwarded-for", "b"],
      { "x-forwarded-for": "a, b, 192.0.2.7" },
    ],
    ["keep X-Forwarded-Proto", ["X-Forwarded-Proto", "https"], { "x-forwarded-proto": "https" }],
    ["keep X-Forwarded-Host", ["X-Forwarded-Host", "a.b"], { "x-forwarded-host": "a.b" }],
    ["keep X-Forwarded-Port", ["X-Forwarded-Port", "443"], { "x-forwarded-port": "443" }],
    [
      "add to Forwarded",
      ["Forwarded", "for=203.0.113.9"],
      { forwarded: `for=203.0.113.9, ${OWN.forwarded}` },
    ],
  ])("%s", (_what, headers, expected) => {
    const out = pairs(outgoingHeaders(request(headers), "target"));
    for (const [name, value] of Object.entries(expected)) {
      const values = out.filter(([n]) => n.toLowerCase() === name).map(([, v]) => v);
      expect([name, values]).toEqual([name, value === undefined ? [] : [value]]);
    }
    for (const name of Object.keys(OWN)) {
      expect(out.filter(([n]) => n.toLowerCase() === name)).toHaveLength(1);
    }
  });

  it("keep the client's Host where the route preserves it", () => {
    const x = request(["Host", "api.example.com"]);
    x.route = { ...NO_ROUTE, preserveHost: true };
    expect(outgoingHeaders(x, "target").slice(0, 2)).toEqual(["host", "api.example.com"]);
  });

  it("say the scheme that the client used, the version it spoke, and an IPv6 address in brackets", () => {
    const x = request([], { scheme: "https", httpVersion: "1.0", peer: peer("2001:db8::1") });
    const out = Object.fromEntries(pairs(outgoingHeaders(x, "target")));
    expect(out).toMatchObject({
      "x-forwarded-for": "2001:db8::1",
      "x-forwarded-proto": "https",
      forwarded: 'for="[2001:db8::1]";host="api.example.com";proto=http',
      via: "1.0 sluice",
    });
  });

  it("give the length of a streaming body that is known, and leave that of bytes to the client", () => {
    const lengthOf = (body: Body): string | undefined => {
      const out = pairs(outgoingHeaders(request(["content-length", "99"], {}, { body }), "target"));
      return Object.fromEntries(out)["content-length"];
    };
    expect(lengthOf(new StreamBody(Readable.from([]), 5))).toBe("5");
    expect(lengthOf(new StreamBody(Readable.from([])))).toBeUndefined();
    expect(lengthOf(new BytesBody(Buffer.from("abc")))).toBeUndefined();
  });
});

function destination(origin: string, more: Partial<PoolOptions> = {}, basePath = "") {
  const answered: number[] = [];
  const ends: string[] = [];
  const pool = new Pool({
    origin,
    connections: 4,
    connectTimeoutMs: 2000,
    headersTimeoutMs: 5000,
    bodyTimeoutMs: 5000,
    keepAliveMs: 4000,
    maxHeaderBytes: 16_384,
    ...more,
  });
  const to: Destination = {
    pool,
    basePath,
    host: new URL(origin).host,
    onStart: () => void ends.push("start"),
    onAnswered: (ms) => answered.push(ms),
    onEnd: (status, failure) => void ends.push(`${status} ${failure ?? ""}`.trim()),
  };
  return { ...to, answered, ends, [Symbol.asyncDispose]: () => pool.close() };
}

/** An upstream that writes `text` for every request. */
const rawReply = (text: string, end = false) =>
  startRawUpstream((socket) => {
    socket.on("data", () => (end ? socket.end(text, "latin1") : socket.write(text, "latin1")));
  });

/** A sink that keeps what it gets, and says when. */
class KeepingSink implements Sink {
  readonly chunks: string[] = [];
  trailers: string[] | undefined;
  readonly #done = Promise.withResolvers<void>();
  readonly done = this.#done.promise;
  write(chunk: Buffer): boolean {
    this.chunks.push(chunk.toString());
    return true;
  }
  end(last?: Buffer, trailers?: string[]): void {
    if (last !== undefined) this.chunks.push(last.toString());
    this.trailers = trailers;
    this.#done.resolve();
  }
  fail(error: Error): void {
    this.#done.reject(error);
  }
}

const failure = async (promise: Promise<Reply>): Promise<GatewayError> => {
  const error: unknown = await promise.then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(GatewayError);
  return error as GatewayError;
};

describe("the time that is left", () => {
  const sent = (at: number, header: string | undefined): string | undefined => {
    const x = request(["X-Deadline", "9999"]);
    x.deadline = { at, header };
    const all = pairs(outgoingHeaders(x, "t")).filter(([name]) => /^x-(deadline|left)$/i.test(name));
    return all.find(([name]) => name === header)?.[1];
  };

  it("is told in milliseconds when a header is named, and is never below 0", () => {
    const left = Number(sent(monotonicMs() + 5000, "x-left"));
    expect(left).toBeGreaterThan(4000);
    expect(left).toBeLessThanOrEqual(5000);
    expect(Number.isInteger(left)).toBe(true);
    expect(sent(monotonicMs() - 5000, "x-left")).toBe("0");
    expect(sent(monotonicMs() + 5000, undefined)).toBeUndefined();
  });

  it("is told once, whatever the client said of it", () => {
    const x = request(["X-Left", "9999", "x-a", "1"]);
    x.deadline = { at: monotonicMs() + 1000, header: "x-left" };
    const told = pairs(outgoingHeaders(x, "t")).filter(([name]) => name.toLowerCase() === "x-left");
    expect(told.map(([, value]) => Number(value) <= 1000)).toEqual([true]);
  });
});

describe("forward", () => {
  it("sends method, path, query and body as they are, and gives the reply as it came", async () => {
    await using upstream = await startUpstream();
    await using to = destination(upstream.url, {}, "/base");
    const x = exchange({ method: "PUT", target: "/a%2fb//c?x=%20&x", body: "hello" });
    const reply = await forward(x, to);
    expect(reply.status).toBe(200);
    expect(reply.reason).toBe("OK");
    expect(JSON.parse(await bodyText(reply))).toMatchObject({
      method: "PUT",
      url: "/base/a%2fb//c?x=%20&x",
      body: "hello",
    });
    expect(upstream.seen[0]!.headers).toMatchObject({
      "content-length": "5",
      host: new URL(upstream.url).host,
    });
    expect(to.answered).toHaveLength(1);
    expect(x.upstreamMs).toBe(to.answered[0]);
  });

  it("adds up the time of several attempts", async () => {
    await using upstream = await startUpstream();
    await using to = destination(upstream.url);
    const x = exchange();
    for (let i = 0; i < 2; i++) await bodyText(await forward(x, to));
    expect(x.upstreamMs).toBeCloseTo(to.answered[0]! + to.answered[1]!, 6);
  });

  it("streams a request body of unknown length, chunked, holding back while the upstream does not read", async () => {
    await using upstream = await startUpstream();
    await using to = destination(upstream.url);
    const chunks = Array.from({ length: 64 }, (_, i) => Buffer.alloc(16_384, i));
    const x = exchange({ method: "POST", body: new StreamBody(Readable.from(chunks)) });
    await bodyText(await forward(x, to));
    expect(upstream.seen[0]!.body.equals(Buffer.concat(chunks))).toBe(true);
    expect(upstream.seen[0]!.headers).toMatchObject({ "transfer-encoding": "chunked" });
  });

  it("streams a request body of known length with that length", async () => {
    await using upstream = await startUpstream();
    await using to = destination(upstream.url);
    const stream = new PassThrough();
    const x = exchange({ method: "POST", body: new StreamBody(stream, 6) });
    const reply = forward(x, to);
    stream.write("abc");
    setImmediate(() => stream.end("def"));
    await bodyText(await reply);
    expect(upstream.seen[0]!.body.toString()).toBe("abcdef");
    expect(upstream.seen[0]!.headers).toMatchObject({ "content-length": "6" });
  });

  it("holds the request body back while the upstream does not read", async () => {
    const read = Promise.withResolvers<void>();
    await using upstream = await startUpstream(async (request, response) => {
      await read.promise;
      let bytes = 0;
      for await (const chunk of request) bytes += (chunk as Buffer).length;
      response.end(String(bytes));
    });
    await using to = destination(upstream.url);
    const [chunk, count] = [Buffer.alloc(65_536), 512];
    let written = 0;
    const held = Promise.withResolvers<void>();
    let sink: Sink | undefined;
    const pump = (): void => {
      while (written < count) {
        written++;
        if (!sink!.write(chunk)) return held.resolve();
      }
      sink?.end();
      sink = undefined;
    };
    const body: Body = {
      length: undefined,
      start(to) {
        sink = to;
        pump();
      },
      resume: pump,
      cancel() {},
    };
    const reply = forward(exchange({ method: "POST", body }), to);
    await held.promise;
    expect(written).toBeLessThan(count);
    read.resolve();
    expect(await bodyText(await reply)).toBe(String(65_536 * count));
  });

  it("fails with what the request body failed with", async () => {
    await using upstream = await startUpstream();
    await using to = destination(upstream.url);
    const body: Body = {
      length: undefined,
      start(sink) {
        sink.write(Buffer.from("abc"));
        setImmediate(() => sink.fail(new GatewayError("REQUEST_TIMEOUT")));
      },
      resume() {},
      cancel() {},
    };
    const error = await failure(forward(exchange({ method: "POST", body }), to));
    expect(error.code).toBe("REQUEST_TIMEOUT");
    expect(upstream.seen).toEqual([]);
  });

  it("does not blame the target for a body that a stage made, and that broke off", async () => {
    await using upstream = await startUpstream();
    await using to = destination(upstream.url);
    const broken = Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" });
    const body: Body = { length: undefined, start: (sink) => sink.fail(broken), resume() {}, cancel() {} };
    const error = await failure(forward(exchange({ method: "POST", body }), to));
    expect([error.code, error.cause]).toEqual(["STAGE_FAILED", broken]);
    expect(to.ends).toEqual(["start", "0"]);
  });

  it("cancels the request body when the upstream answers without reading it and hangs up", async () => {
    await using upstream = await startRawUpstream((socket) => {
      socket.once("data", () =>
        socket.end("HTTP/1.1 413 Too Big\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"),
      );
    });
    await using to = destination(upstream.url);
    const cancelled = Promise.withResolvers<void>();
    const body: Body = {
      length: 1000,
      start: (sink) => void sink.write(Buffer.alloc(10)),
      resume() {},
      cancel: () => cancelled.resolve(),
    };
    const outcome = await forward(exchange({ method: "POST", body }), to).then(
      (reply) => reply.status,
      (error: GatewayError) => error.status,
    );
    expect([413, 502]).toContain(outcome);
    await cancelled.promise;
  });

  it("gives a reply without a body for HEAD, 204 and 304", async () => {
    for (const [method, status] of [
      ["HEAD", 200],
      ["GET", 204],
      ["GET", 304],
    ] as const) {
      await using upstream = await startUpstream((_request, response) => {
        response.writeHead(status, method === "HEAD" ? { "content-length": "7" } : {});
        response.end();
      });
      await using to = destination(upstream.url);
      const reply = await forward(exchange({ method }), to);
      expect([reply.status, reply.body]).toEqual([status, null]);
    }
  });

  it("knows the length of a body that says it", async () => {
    await using upstream = await startUpstream((request, response) => {
      if (request.url === "/known") response.setHeader("content-length", "2");
      else response.flushHeaders();
      response.end("ab");
    });
    await using to = destination(upstream.url);
    const known = await forward(exchange({ target: "/known" }), to);
    expect(known.body!.length).toBe(2);
    await bodyText(known);
    const unknown = await forward(exchange(), to);
    expect(unknown.body!.length).toBeUndefined();
    await bodyText(unknown);
  });

  it("drops the reply's hop-by-hop fields and those that its Connection names, and adds Via", async () => {
    await using upstream = await rawReply(
      "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nConnection: x-Other\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nx-other: 2\r\n" +
        "Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nX-Stays: caf\xe9\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nVia: 1.1 x\r\ncontent-length: 2\r\n\r\nok",
    );
    await using to = destination(upstream.url);
    const reply = await forward(exchange(), to);
    expect(await bodyText(reply)).toBe("ok");
    expect(pairs(reply.headers.raw)).toEqual([
      ["X-Stays", "caf\xe9"],
      ["Set-Cookie", "a=1"],
      ["Set-Cookie", "b=2"],
      ["Via", "1.1 x"],
      ["content-length", "2"],
      ["via", "1.1 sluice"],
    ]);
  });

  it("passes informational replies on to whoever takes them", async () => {
    await using upstream = await rawReply(
      "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nkeep-alive: timeout=5\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    );
    await using to = destination(upstream.url);
    const informed: unknown[] = [];
    const x = exchange();
    x.informant = { inform: (status, headers) => void informed.push([status, headers]) };
    expect((await forward(x, to)).status).toBe(200);
    expect(informed).toEqual([[103, ["link", "</a>"]]]);
    expect((await forward(exchange(), to)).status).toBe(200); // nobody takes them: dropped
  });

  it("passes trailers on, but not those that must not come as trailers", async () => {
    const chunked = (trailers: string): string =>
      `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n${trailers}\r\n`;
    const trailersOf = async (text: string): Promise<string[] | undefined> => {
      await using upstream = await rawReply(chunked(text));
      await using to = destination(upstream.url);
      const sink = new KeepingSink();
      (await forward(exchange(), to)).body!.start(sink);
      await sink.done;
      expect(sink.chunks.join("")).toBe("ok");
      return sink.trailers;
    };
    expect(await trailersOf("x-sum: 7\r\nSet-Cookie: a=1\r\n")).toEqual(["x-sum", "7"]);
    expect(await trailersOf("Set-Cookie: a=1\r\n")).toBeUndefined();
    expect(await trailersOf("")).toBeUndefined();
  });

  it("holds the upstream back while nobody reads its body", async () => {
    let written = 0;
    await using upstream = await startRawUpstream((socket) => {
      socket.once("data", () => {
        socket.write("HTTP/1.1 200 OK\r\n\r\n");
        const fill = (): void => {
          while (written < 64e6 && socket.writable) {
            written += 65_536;
            if (!socket.write(Buffer.alloc(65_536))) return;
          }
          socket.end();
        };
        socket.on("drain", fill);
        fill();
      });
    });
    await using to = destination(upstream.url);
    const reply = await forward(exchange(), to);
    let before = -1;
    await expect.poll(() => before === (before = written), { interval: 100 }).toBe(true);
    expect(written).toBeLessThan(32e6);
    expect((await collect(reply.body!, 1e9)).length).toBe(written);
    expect(written).toBeGreaterThanOrEqual(64e6);
  });

  it("stops the upstream when the body is not wanted", async () => {
    const closed = Promise.withResolvers<void>();
    await using upstream = await startUpstream((_request, response) => {
      response.write("a");
      response.on("close", () => closed.resolve());
    });
    await using to = destination(upstream.url);
    const reply = await forward(exchange(), to);
    reply.body!.cancel();
    await closed.promise;
    const sink = new KeepingSink();
    reply.body!.start(sink);
    await expect(sink.done).rejects.toThrow();
  });

  it.each([
    ["resets before the head", "", "UPSTREAM_RESET"],
    ["says nothing of HTTP", "SSH-2.0-x\r\n\r\n", "UPSTREAM_REPLY_INVALID"],
    ["sends a bad header", "HTTP/1.1 200 OK\r\nbad header\r\n\r\n", "UPSTREAM_REPLY_INVALID"],
    [
      "sends too many header bytes",
      `HTTP/1.1 200 OK\r\nx: ${"x".repeat(20_000)}\r\n\r\n`,
      "UPSTREAM_REPLY_INVALID",
    ],
  ])("fails when the upstream %s", async (_what, text, code) => {
    await using upstream = await rawReply(text, true);
    await using to = destination(upstream.url);
    const error = await failure(forward(exchange(), to));
    expect(error.code).toBe(code);
    expect(error.cause).toBeInstanceOf(Error);
    expect(to.answered).toEqual([]);
  });

  it.each([
    ["is cut off", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", "UPSTREAM_RESET"],
    [
      "is chunked wrongly",
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
      "UPSTREAM_REPLY_INVALID",
    ],
  ])("breaks the reply's body when the upstream's %s", async (_what, text, code) => {
    await using upstream = await rawReply(text, true);
    await using to = destination(upstream.url);
    const outcome = forward(exchange(), to).then((reply) => collect(reply.body!, 100));
    await expect(outcome).rejects.toMatchObject({ code });
  });

  it("fails when nothing listens there", async () => {
    const upstream = await startUpstream();
    await upstream.close();
    for (const origin of [upstream.url, upstream.url.replace("127.0.0.1", "localhost")]) {
      await using to = destination(origin);
      expect((await failure(forward(exchange(), to))).code).toBe("UPSTREAM_CONNECT_FAILED");
    }
  });

  it("fails when the upstream takes too long for its head", async () => {
    await using upstream = await startRawUpstream(() => {});
    await using to = destination(upstream.url, { headersTimeoutMs: 20 });
    expect((await failure(forward(exchange(), to))).code).toBe("UPSTREAM_TIMEOUT");
  });

  it("fails a request that cannot be written", async () => {
    await using upstream = await startUpstream();
    await using to = destination(upstream.url);
    const x = exchange();
    x.path = "/a b";
    expect((await failure(forward(x, to))).code).toBe("REQUEST_INVALID");
  });

  it("does nothing for an exchange that was given up", async () => {
    await using upstream = await startUpstream();
    await using to = destination(upstream.url);
    const x = exchange();
    x.abort(new GatewayError("CLIENT_CLOSED"));
    expect((await failure(forward(x, to))).code).toBe("CLIENT_CLOSED");
    expect((to.pool as Pool).size).toBe(0);
  });

  it("gives a request up while it waits for its head, and hangs up", async () => {
    const [arrived, closed] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    await using upstream = await startUpstream((request) => {
      request.socket.on("close", () => closed.resolve());
      arrived.resolve();
    });
    await using to = destination(upstream.url);
    const x = exchange();
    const outcome = failure(forward(x, to));
    await arrived.promise;
    x.abort(new GatewayError("CLIENT_CLOSED"));
    expect((await outcome).code).toBe("CLIENT_CLOSED");
    await closed.promise;
  });

  it("gives a request up before its connection is open", async () => {
    await using upstream = await startUpstream();
    await using to = destination(upstream.url);
    const x = exchange();
    const outcome = failure(forward(x, to));
    x.abort(new GatewayError("CLIENT_CLOSED"));
    expect((await outcome).code).toBe("CLIENT_CLOSED");
    await bodyText(await forward(exchange(), to));
    expect(upstream.seen).toHaveLength(1);
  });

  it("gives a request up while it waits for a connection", async () => {
    const held: (() => void)[] = [];
    const arrived = Promise.withResolvers<void>();
    await using upstream = await startUpstream((_request, response) => {
      held.push(() => response.end());
      arrived.resolve();
    });
    await using to = destination(upstream.url, { connections: 1 });
    const first = forward(exchange(), to);
    const x = exchange();
    const outcome = failure(forward(x, to));
    await arrived.promise;
    x.abort(new GatewayError("CLIENT_CLOSED"));
    expect((await outcome).code).toBe("CLIENT_CLOSED");
    held[0]!();
    await bodyText(await first);
    expect(held).toHaveLength(1);
  });

  it("breaks the reply's body when the exchange is given up meanwhile, and not after", async () => {
    await using upstream = await startUpstream((request, response) => {
      response.write("a");
      if (request.url === "/whole") response.end();
    });
    await using to = destination(upstream.url);
    const x = exchange();
    const reply = await forward(x, to);
    const rest = collect(reply.body!, 100);
    x.abort(new GatewayError("CLIENT_CLOSED"));
    await expect(rest).rejects.toMatchObject({ code: "CLIENT_CLOSED" });

    const whole = exchange({ target: "/whole" });
    const other = await forward(whole, to);
    expect(await bodyText(other)).toBe("a");
    whole.abort(new GatewayError("CLIENT_CLOSED"));
  });

  const because = (code = ""): NodeJS.ErrnoException => Object.assign(new Error(code), { code });

  it.each<[string, Error, string]>([
    ["of no known kind", new Error("?"), "UPSTREAM_RESET"],
    ["of a connection that stood", because("ETIMEDOUT"), "UPSTREAM_RESET"],
    ["of the gateway", new GatewayError("BODY_TOO_LARGE"), "BODY_TOO_LARGE"],
    ["of TLS, later", because("ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED"), "UPSTREAM_TLS_FAILED"],
    ["of TLS, from the system", because("EPROTO"), "UPSTREAM_TLS_FAILED"],
    ["of a pool that is closed", new PoolClosed(), "UPSTREAM_CONNECT_FAILED"],
    ["connecting", new ConnectError(because("ECONNREFUSED"), "connect"), "UPSTREAM_CONNECT_FAILED"],
    ["connecting, unknown", new ConnectError(because(), "connect"), "UPSTREAM_CONNECT_FAILED"],
    ["connecting, time", new ConnectError(because("ETIMEDOUT"), "connect"), "UPSTREAM_CONNECT_TIMEOUT"],
    [
      "connecting to several addresses",
      new ConnectError(new AggregateError([because("EHOSTUNREACH")]), "connect"),
      "UPSTREAM_CONNECT_FAILED",
    ],
    [
      "connecting to several addresses, time",
      new ConnectError(new AggregateError([because("EHOSTUNREACH"), because("ETIMEDOUT")]), "connect"),
      "UPSTREAM_CONNECT_TIMEOUT",
    ],
    ["in the handshake", new ConnectError(because("ECONNRESET"), "handshake"), "UPSTREAM_TLS_FAILED"],
    [
      "in the handshake, time",
      new ConnectError(because("ETIMEDOUT"), "handshake"),
      "UPSTREAM_CONNECT_TIMEOUT",
    ],
  ])("knows the code of an error: %s", async (_what, error, code) => {
    const pool = { dispatch: (_: unknown, handler: PoolHandler) => handler.onResponseError(null, error) };
    const ends: unknown[] = [];
    const to = {
      pool: pool as unknown as Pool,
      basePath: "",
      host: "t",
      onStart() {},
      onAnswered() {},
      onEnd: (...end: unknown[]) => void ends.push(end),
    };
    expect((await failure(forward(exchange(), to))).code).toBe(code);
    expect(ends).toEqual([[0, code.startsWith("UPSTREAM_") ? code : undefined]]);
  });

  it("takes a number of informational replies, and no more", async () => {
    const interim = "HTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\n";
    for (const [count, outcome] of [
      [32, 200],
      [33, "UPSTREAM_REPLY_INVALID"],
    ] as const) {
      await using upstream = await rawReply(
        `${interim.repeat(count)}HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n`,
      );
      await using to = destination(upstream.url);
      const x = exchange();
      let informed = 0;
      x.informant = { inform: () => void informed++ };
      const result = await forward(x, to).then(
        ({ status }) => status,
        (error: GatewayError) => error.code,
      );
      expect([result, informed]).toEqual([outcome, 32]);
    }
  });

  it("tells the target of how it ended: the client and stages are not its failure, a given up attempt is", async () => {
    await using upstream = await startUpstream((request, response) => {
      if (request.url === "/head") response.writeHead(200).flushHeaders();
    });
    for (const path of ["/none", "/head"]) {
      for (const [code, giveUp] of [
        [undefined, (x: Exchange) => x.abort(new GatewayError("CLIENT_CLOSED"))],
        [undefined, (x: Exchange) => x.abortSince(0, new GatewayError("UPSTREAM_BODY_TOO_LARGE"))],
        ["UPSTREAM_TIMEOUT", (x: Exchange) => x.abortSince(0, new GatewayError("UPSTREAM_TIMEOUT"))],
      ] as const) {
        await using to = destination(upstream.url);
        const sent = once(upstream.server, "request");
        const x = exchange({ target: path });
        const outcome = forward(x, to);
        outcome.catch(() => {});
        await sent;
        if (path === "/head") {
          const { body } = await outcome;
          giveUp(x);
          await expect(collect(body!, 1)).rejects.toBeInstanceOf(GatewayError);
        } else {
          giveUp(x);
          await expect(outcome).rejects.toBeInstanceOf(GatewayError);
        }
        expect(to.ends).toEqual(["start", `${path === "/head" ? 200 : 0} ${code ?? ""}`.trim()]);
      }
    }
  });
});
