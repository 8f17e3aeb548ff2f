import { EventEmitter } from "node:events";
import type { ServerResponse } from "node:http";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  Pool,
  type PoolController,
  type PoolHandler,
  type PoolOptions,
  type PoolRequest,
} from "../../../core/upstream/pool.ts";
import { startRawUpstream, startUpstream } from "../../support/upstream.ts";

const options = (origin: string, more: Partial<PoolOptions> = {}): PoolOptions => ({
  origin,
  connections: 2,
  connectTimeoutMs: 5000,
  headersTimeoutMs: 5000,
  bodyTimeoutMs: 5000,
  keepAliveMs: 60_000,
  maxHeaderBytes: 16_384,
  ...more,
});

/** A request's callbacks as promises. */
class Call implements PoolHandler {
  done = false;
  status = 0;
  text = "";
  controller: PoolController | undefined;
  /** Runs when the request is written. */
  onStart: (() => void) | undefined;
  readonly #end = Promise.withResolvers<void>();
  readonly #head = Promise.withResolvers<void>();
  /** Resolves when the reply is complete, rejects when the request failed. */
  readonly ended = this.#end.promise;
  readonly answered = this.#head.promise;

  constructor() {
    this.ended.catch(() => {});
    this.answered.catch(() => {});
  }

  onRequestStart(controller: PoolController): void {
    this.controller = controller;
    this.onStart?.();
  }
  onResponseStart(_controller: PoolController, status: number): void {
    this.status = status;
    this.#head.resolve();
  }
  onResponseData(_controller: PoolController, chunk: Buffer): void {
    this.text += chunk;
  }
  onResponseEnd(): void {
    this.done = true;
    this.#end.resolve();
  }
  onResponseError(_controller: PoolController | null, error: Error): void {
    this.done = true;
    this.#head.reject(error);
    this.#end.reject(error);
  }
}

const get = (path = "/", more: Partial<PoolRequest> = {}): PoolRequest => ({
  method: "GET",
  path,
  headers: [],
  body: null,
  ...more,
});

function send(pool: Pool, request: PoolRequest = get()): Call {
  const call = new Call();
  pool.dispatch(request, call);
  return call;
}

/** A connection is free one turn of the event loop after its reply has ended. */
const freed = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** An upstream whose replies are given by hand, in the order of requests. */
async function startHeldUpstream() {
  const held: { url: string; connection: number | undefined; response: ServerResponse }[] = [];
  let arrived = Promise.withResolvers<void>();
  const upstream = await startUpstream((request, response) => {
    held.push({ url: request.url!, connection: request.socket.remotePort, response });
    arrived.resolve();
  });
  const waitFor = async (count: number): Promise<void> => {
    while (held.length < count) {
      arrived = Promise.withResolvers();
      await arrived.promise;
    }
  };
  return { ...upstream, held, waitFor, [Symbol.asyncDispose]: upstream.close };
}

/** The least of a stream, which fails as soon as it is asked for anything. */
class FailingUpload extends EventEmitter {
  destroyed = false;
  resume(): this {
    this.emit("error", new Error("the client broke off"));
    return this;
  }
  pause(): this {
    return this;
  }
  pipe(): void {}
  destroy(): this {
    this.destroyed = true;
    return this;
  }
}

describe("a pool", () => {
  it("uses the connection that became idle last", async () => {
    await using upstream = await startHeldUpstream();
    const pool = new Pool(options(upstream.url));
    const calls = [send(pool, get("/0")), send(pool, get("/1"))];
    await upstream.waitFor(2);
    expect(pool.size).toBe(2);
    for (const { url, response } of upstream.held) {
      response.end();
      await calls[Number(url.slice(1))]!.ended;
      await freed();
    }
    for (let i = 2; i < 5; i++) {
      const call = send(pool);
      await upstream.waitFor(i + 1);
      expect(upstream.held[i]!.connection).toBe(upstream.held[1]!.connection);
      upstream.held[i]!.response.end();
      await call.ended;
      await freed();
    }
    expect(pool.size).toBe(2);
    await pool.close();
  });

  it("opens no more connections than the maximum; further requests wait in order", async () => {
    await using upstream = await startHeldUpstream();
    const pool = new Pool(options(upstream.url, { connections: 2 }));
    const calls = ["/0", "/1", "/2", "/3", "/4"].map((path) => send(pool, get(path)));
    await upstream.waitFor(2);
    expect(pool.size).toBe(2);
    for (let i = 0; i < 5; i++) {
      await upstream.waitFor(Math.min(i + 2, 5));
      expect(upstream.held.length).toBe(Math.min(i + 2, 5));
      upstream.held[i]!.response.end();
      await calls[Number(upstream.held[i]!.url.slice(1))]!.ended;
    }
    expect(upstream.held.slice(2).map(({ url }) => url)).toEqual(["/2", "/3", "/4"]);
    expect(new Set(upstream.held.map(({ connection }) => connection)).size).toBe(2);
    await pool.close();
  });

  it("fails a request that found no free connection in time, and goes on with the others", async () => {
    await using upstream = await startHeldUpstream();
    const pool = new Pool(options(upstream.url, { connections: 1, connectTimeoutMs: 30 }));
    const first = send(pool, get("/first"));
    await upstream.waitFor(1);
    const late = send(pool, get("/late"));
    await expect(late.ended).rejects.toMatchObject({ code: "SLUICE_QUEUE_TIMEOUT" });
    const next = send(pool, get("/next"));
    upstream.held[0]!.response.end();
    await first.ended;
    await upstream.waitFor(2);
    expect(upstream.held[1]!.url).toBe("/next");
    upstream.held[1]!.response.end();
    await next.ended;
    await pool.close();
  });

  it("passes over a request that was given up while it waited", async () => {
    await using upstream = await startHeldUpstream();
    const pool = new Pool(options(upstream.url, { connections: 1, connectTimeoutMs: 50 }));
    const first = send(pool, get("/first"));
    const gone = send(pool, get("/gone"));
    const next = send(pool, get("/next"));
    await upstream.waitFor(1);
    gone.done = true;
    upstream.held[0]!.response.end();
    await first.ended;
    await upstream.waitFor(2);
    expect(upstream.held[1]!.url).toBe("/next");
    upstream.held[1]!.response.end();
    await next.ended;
    await pool.close();
  });

  it("does not time out a request that was given up while it waited", async () => {
    await using upstream = await startHeldUpstream();
    const pool = new Pool(options(upstream.url, { connections: 1, connectTimeoutMs: 20 }));
    send(pool);
    await upstream.waitFor(1);
    const gone = send(pool);
    let failures = 0;
    gone.ended.catch(() => failures++);
    gone.done = true;
    await expect(send(pool).ended).rejects.toThrow("no connection became free");
    expect(failures).toBe(0);
    upstream.held[0]!.response.end();
    await pool.close();
  });

  it("frees the connection of a request that failed", async () => {
    let requests = 0;
    await using upstream = await startUpstream((request, response) => {
      if (++requests % 2 === 1) request.socket.destroy();
      else response.end("well");
    });
    const pool = new Pool(options(upstream.url, { connections: 1 }));
    for (let i = 0; i < 3; i++) {
      const [bad, good] = [send(pool), send(pool)];
      await expect(bad.ended).rejects.toThrow();
      await good.ended;
      expect(good.text).toBe("well");
    }
    expect(pool.size).toBe(1);
    await pool.close();
  });

  it("frees the place of a connection that could not be opened", async () => {
    const upstream = await startUpstream();
    await upstream.close();
    const pool = new Pool(options(upstream.url, { connections: 1 }));
    for (let i = 0; i < 3; i++) {
      const calls = [send(pool), send(pool)];
      for (const call of calls) await expect(call.ended).rejects.toMatchObject({ code: "ECONNREFUSED" });
    }
    await using again = await startUpstream((_request, response) => void response.end(), upstream.port);
    await send(pool).ended;
    expect(again.port).toBe(upstream.port);
    await pool.close();
  });

  it("frees the connection of a request that is refused as malformed", async () => {
    await using upstream = await startUpstream((_request, response) => void response.end());
    const pool = new Pool(options(upstream.url, { connections: 1 }));
    for (let i = 0; i < 3; i++) {
      const bad = send(pool, get("/", { headers: ["x", "a\r\nb"] }));
      await expect(bad.ended).rejects.toMatchObject({ code: "UND_ERR_INVALID_ARG" });
      await send(pool).ended;
    }
    expect(pool.size).toBe(1);
    await pool.close();
  });

  it("counts a connection free once, also when its request fails while it is being sent", async () => {
    await using upstream = await startHeldUpstream();
    const pool = new Pool(options(upstream.url, { connections: 2 }));
    const warm = send(pool);
    await upstream.waitFor(1);
    upstream.held[0]!.response.end();
    await warm.ended;
    await freed();
    const failing = [
      () => send(pool, get("/", { method: "POST", body: new FailingUpload() })),
      () => {
        const call = new Call();
        call.onStart = () => call.controller!.abort(new Error("given up"));
        pool.dispatch(get(), call);
        return call;
      },
    ];
    for (const fail of failing) {
      await expect(fail().ended).rejects.toThrow();
      const before = upstream.held.length;
      const both = [send(pool, get("/a")), send(pool, get("/b"))];
      await upstream.waitFor(before + 2); // would hang if both had been given to the same connection
      for (const { response } of upstream.held.slice(before)) response.end();
      await Promise.all(both.map((call) => call.ended));
      await freed();
      expect(pool.size).toBe(2);
    }
    await pool.close();
  });

  it("forgets an idle connection that its target closed", async () => {
    let sockets = 0;
    await using upstream = await startUpstream((_request, response) => {
      response.setHeader("connection", "close");
      response.end();
    });
    upstream.server.on("connection", () => sockets++);
    const pool = new Pool(options(upstream.url, { connections: 1 }));
    for (let i = 0; i < 5; i++) await send(pool).ended;
    expect(sockets).toBe(5);
    await pool.close();
  });

  it("drops idle connections when their target goes away", async () => {
    const upstream = await startHeldUpstream();
    const pool = new Pool(options(upstream.url));
    const call = send(pool);
    await upstream.waitFor(1);
    upstream.held[0]!.response.end();
    await call.ended;
    expect(pool.size).toBe(1);
    await upstream.close();
    await expect.poll(() => pool.size).toBe(0);
    await pool.close();
  });

  it("lets what is in flight and what waits end when it closes, and takes nothing more", async () => {
    await using upstream = await startHeldUpstream();
    const pool = new Pool(options(upstream.url, { connections: 1 }));
    const running = send(pool);
    await upstream.waitFor(1);
    const [waiting, gone] = [send(pool), send(pool)];
    gone.done = true;
    let closed = false;
    const closing = pool.close().then(() => (closed = true));
    await expect(send(pool).ended).rejects.toMatchObject({ code: "SLUICE_POOL_CLOSED" });
    upstream.held[0]!.response.write("so ");
    await running.answered;
    expect(closed).toBe(false);
    upstream.held[0]!.response.end("far");
    await running.ended;
    expect(running.text).toBe("so far");
    await upstream.waitFor(2);
    await freed();
    expect(closed).toBe(false);
    upstream.held[1]!.response.end("too");
    await waiting.ended;
    expect(waiting.text).toBe("too");
    await closing;
    expect(upstream.held.length).toBe(2);
  });

  it("closes when nothing that waited got a connection in time", async () => {
    await using upstream = await startHeldUpstream();
    const pool = new Pool(options(upstream.url, { connections: 1, connectTimeoutMs: 30 }));
    const running = send(pool);
    await upstream.waitFor(1);
    const late = send(pool);
    const closing = pool.close();
    await expect(late.ended).rejects.toMatchObject({ code: "SLUICE_QUEUE_TIMEOUT" });
    upstream.held[0]!.response.end();
    await running.ended;
    await closing;
  });

  it("times out for a target that does not reply, and for a body that stops", async () => {
    await using upstream = await startRawUpstream((socket) => {
      socket.on("data", (data) => {
        if (data.toString().startsWith("GET /body")) {
          socket.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc");
        }
      });
    });
    const pool = new Pool(options(upstream.url, { headersTimeoutMs: 50, bodyTimeoutMs: 50 }));
    await expect(send(pool).ended).rejects.toMatchObject({ code: "UND_ERR_HEADERS_TIMEOUT" });
    await expect(send(pool, get("/body")).ended).rejects.toMatchObject({ code: "UND_ERR_BODY_TIMEOUT" });
    await pool.close();
  });

  it("answers every one of many requests, whatever becomes of the others", async () => {
    await using upstream = await startUpstream((request, response) => {
      const url = new URL(request.url!, "http://x");
      const send = (): void => {
        switch (url.pathname) {
          case "/reset":
            return void request.socket.destroy();
          case "/close":
            response.setHeader("connection", "close");
            return void response.end(url.search);
          case "/cut":
            response.setHeader("content-length", "1000");
            response.write("x", () => request.socket.destroy());
            return;
          default:
            response.end(url.search);
        }
      };
      request.resume();
      if (url.pathname === "/late") setImmediate(send);
      else request.on("end", send);
    });
    const kind = fc.constantFrom(
      "/ok",
      "/ok",
      "/late",
      "/close",
      "/reset",
      "/cut",
      "/abort",
      "/bad",
      "/upload",
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(kind, { maxLength: 40 }),
        fc.integer({ min: 1, max: 4 }),
        async (kinds, m) => {
          const pool = new Pool(options(upstream.url, { connections: m }));
          const calls = kinds.map((path, i) => {
            const call = new Call();
            if (path === "/abort") call.onStart = () => call.controller!.abort(new Error("given up"));
            const request = get(`${path}?${i}`);
            if (path === "/bad") request.headers = ["x", "\n"];
            if (path === "/upload") Object.assign(request, { method: "POST", body: new FailingUpload() });
            pool.dispatch(request, call);
            return call;
          });
          const results = await Promise.allSettled(calls.map((call) => call.ended));
          expect(pool.size).toBeLessThanOrEqual(m);
          for (const [i, { status }] of results.entries()) {
            const isGood = ["/ok", "/late", "/close"].includes(kinds[i]!);
            if (isGood) expect(calls[i]!.text).toBe(`?${i}`);
            expect(status).toBe(isGood ? "fulfilled" : "rejected");
          }
          const after = [send(pool, get("/ok?z")), send(pool, get("/ok?z"))];
          await Promise.all(after.map((call) => call.ended));
          await pool.close();
        },
      ),
      { numRuns: 30 },
    );
  });
});
