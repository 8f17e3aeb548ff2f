/**
 * Hostile upstreams: each has a status and a code, is counted as a failure of its target, and leaves nothing behind:
 * no socket, no request that counts as under way. What is not valid HTTP is in http-upstream-failures.test.ts.
 */
import { once } from "node:events";
import type { Socket } from "node:net";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { proxyTo, startGateway, type TestGateway } from "../support/gateway.ts";
import { freePort } from "../support/ports.ts";
import { get, openRaw, problemCode } from "../support/raw-http.ts";
import { startScriptedUpstream } from "../support/scripted-upstream.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const ADMIN = { admin: { address: "127.0.0.1:0" } };
/** One failure ejects the target, so that it shows what counts as one. A second target makes it not the last. */
const EJECTS = { health: { passive: { failures: 1, maxEjected: "100%", ejectFor: "5m" } } };

/** Writes `text` again and again, as fast or as slow as it goes, until the other side hangs up. */
function flood(socket: Socket, head: string, text: (i: number) => string, everyMs?: number): void {
  let [open, i] = [true, 0];
  socket.on("close", () => (open = false));
  socket.write(head, "latin1");
  const next = (): void => {
    if (!open) return;
    const more = () => (everyMs === undefined ? setImmediate(next) : setTimeout(next, everyMs));
    socket.write(text(i++), "latin1", () => more());
  };
  next();
}

interface State {
  readonly inFlight: number;
  readonly ejected: boolean;
  readonly errors: Record<string, number>;
}

async function stateOf(gateway: TestGateway): Promise<State> {
  const [upstream] = (await (await fetch(`${gateway.adminUrl}/admin/upstreams`)).json()) as {
    targets: { inFlight: number; ejectedForMs: number }[];
  }[];
  const stats = (await (await fetch(`${gateway.adminUrl}/admin/stats`)).json()) as {
    errors: State["errors"];
  };
  const [target] = upstream!.targets;
  return { inFlight: target!.inFlight, ejected: target!.ejectedForMs > 0, errors: stats.errors };
}

const allClosed = (sockets: readonly Socket[]): Promise<unknown> =>
  Promise.all(sockets.map((socket) => (socket.closed ? undefined : once(socket, "close"))));

const HEAD = "HTTP/1.1 200 OK\r\n";

/** What is done with the first request, and what becomes of it: a status and a code. */
const BEFORE_THE_HEAD: Record<string, [attack: (socket: Socket) => unknown, status: number, code: string]> = {
  "sends garbage": [() => "\x16\x03\x01 not HTTP\r\n\r\n", 502, "UPSTREAM_REPLY_INVALID"],
  "closes without a word": [(socket) => void socket.end(), 502, "UPSTREAM_RESET"],
  "resets in the middle of its head": [
    (socket) => void socket.write(`${HEAD}X-A: b`, () => socket.resetAndDestroy()),
    502,
    "UPSTREAM_RESET",
  ],
  "accepts and stalls": [() => undefined, 504, "UPSTREAM_TIMEOUT"],
  "stalls in the middle of its head": [() => `${HEAD}X-A: b\r\n`, 504, "UPSTREAM_TIMEOUT"],
  "never ends its headers": [
    (socket) => flood(socket, HEAD, (i) => `X-${i}: ${"a".repeat(1000)}\r\n`),
    502,
    "UPSTREAM_REPLY_INVALID",
  ],
  "sends very many small headers": [
    (socket) => flood(socket, HEAD, (i) => `a: ${i}\r\n`.repeat(200)),
    502,
    "UPSTREAM_REPLY_INVALID",
  ],
  "never ends one header": [
    (socket) => flood(socket, `${HEAD}X: `, () => "a".repeat(1000)),
    502,
    "UPSTREAM_REPLY_INVALID",
  ],
  "never ends its status line": [
    (socket) => flood(socket, "HTTP/1.1 200 ", () => "a".repeat(1000)),
    504,
    "UPSTREAM_TIMEOUT",
  ],
  "drips its head": [(socket) => flood(socket, `${HEAD}X: `, () => "a", 10), 504, "UPSTREAM_TIMEOUT"],
  "sends informational replies for ever": [
    (socket) => flood(socket, "", () => "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
    502,
    "UPSTREAM_REPLY_INVALID",
  ],
  "drips informational replies for ever": [
    (socket) => flood(socket, "", () => "HTTP/1.1 103 Early Hints\r\n\r\n", 20),
    502,
    "UPSTREAM_REPLY_INVALID",
  ],
  "answers 100 that nobody asked for": [
    (socket) => flood(socket, "", () => "HTTP/1.1 100 Continue\r\n\r\n"),
    502,
    "UPSTREAM_REPLY_INVALID",
  ],
};

/** The head is there already: what is left is to break the client's connection. */
const AFTER_THE_HEAD: Record<string, [attack: (socket: Socket) => unknown, code: string]> = {
  "closes in the middle of a body": [
    (socket) => void socket.end(`${HEAD}Content-Length: 10\r\n\r\nabc`),
    "UPSTREAM_RESET",
  ],
  "closes in the middle of chunks": [
    (socket) => void socket.end(`${HEAD}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n`),
    "UPSTREAM_RESET",
  ],
  "resets a body without a length": [
    (socket) => void socket.write(`${HEAD}Connection: close\r\n\r\nabc`, () => socket.resetAndDestroy()),
    "UPSTREAM_RESET",
  ],
  "sends chunks that are none": [
    () => `${HEAD}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n`,
    "UPSTREAM_REPLY_INVALID",
  ],
  "stalls in the middle of a body": [() => `${HEAD}Content-Length: 10\r\n\r\nabc`, "UPSTREAM_TIMEOUT"],
  "never ends the extension of a chunk": [
    (socket) =>
      flood(socket, `${HEAD}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n5;`, () => "a".repeat(1000)),
    "UPSTREAM_TIMEOUT",
  ],
  "sends trailers for ever": [
    (socket) =>
      flood(
        socket,
        `${HEAD}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n`,
        (i) => `X-${i}: ${"a".repeat(1000)}\r\n`,
      ),
    "UPSTREAM_REPLY_INVALID",
  ],
};

const start = (url: string) =>
  startGateway(
    proxyTo(url, {}, ADMIN, {
      targets: [url, { url: "http://127.0.0.1:9", weight: 0 }],
      timeouts: { headers: "200ms", body: "200ms" },
      ...EJECTS,
    }),
  );

describe("An upstream that", () => {
  it.each(Object.entries(BEFORE_THE_HEAD))("%s fails its request, and only that", async (_what, attack) => {
    const [act, status, code] = attack;
    await using upstream = await startScriptedUpstream((_head, socket) => act(socket));
    await using gateway = await start(upstream.url);
    await using client = await openRaw(gateway.port);
    await client.send(get("/bad"));
    let reply = await client.read();
    while (reply.status < 200) reply = await client.read();
    expect([reply.status, problemCode(reply)]).toEqual([status, code]);
    await allClosed(upstream.sockets);
    expect(await stateOf(gateway)).toEqual({ inFlight: 0, ejected: true, errors: { [code]: 1 } });
  });

  it.each(Object.entries(AFTER_THE_HEAD))("%s breaks the client's connection", async (_what, [act, code]) => {
    await using upstream = await startScriptedUpstream((_head, socket) => act(socket));
    await using gateway = await start(upstream.url);
    await using client = await openRaw(gateway.port);
    void client.send(get("/bad"));
    await client.closed;
    const text = client.rest.toString();
    expect(text).toMatch(/^HTTP\/1\.1 200 /);
    expect(text).toContain("abc");
    expect(text).not.toMatch(/\r\n0\r\n\r\n$/); // the client must not take it for the whole
    await allClosed(upstream.sockets);
    expect(await stateOf(gateway)).toEqual({ inFlight: 0, ejected: true, errors: { [code]: 1 } });
  });

  it("sends more than it announced gives the client what was announced, and no connection is used again", async () => {
    await using upstream = await startScriptedUpstream(() => `${OK}and more`);
    await using gateway = await start(upstream.url);
    for (let i = 0; i < 3; i++) {
      const reply = await fetch(gateway.url);
      expect([reply.status, await reply.text()]).toEqual([200, "ok"]);
    }
    await allClosed(upstream.sockets);
    expect(upstream.sockets.length).toBe(3);
    expect((await stateOf(gateway)).inFlight).toBe(0);
  });

  it("drips its body is served as long as it goes on, until the client has enough", async () => {
    await using upstream = await startScriptedUpstream((_head, socket) =>
      flood(socket, `${HEAD}Transfer-Encoding: chunked\r\n\r\n`, () => "1\r\na\r\n", 20),
    );
    await using gateway = await start(upstream.url);
    const controller = new AbortController();
    const reply = await fetch(gateway.url, { signal: controller.signal });
    let bytes = 0;
    for await (const chunk of reply.body!) if ((bytes += chunk.length) >= 20) break; // longer than timeouts.body
    controller.abort();
    await allClosed(upstream.sockets);
    await expect
      .poll(() => stateOf(gateway))
      .toEqual({ inFlight: 0, ejected: false, errors: { CLIENT_CLOSED: 1 } });
  });

  it("is where nobody listens is a failure of the target too", async () => {
    await using gateway = await start(`http://127.0.0.1:${await freePort()}`);
    expect((await fetch(gateway.url)).status).toBe(502);
    expect(await stateOf(gateway)).toEqual({
      inFlight: 0,
      ejected: true,
      errors: { UPSTREAM_CONNECT_FAILED: 1 },
    });
  });
});

describe("Requests under way", () => {
  it("come back to none, whatever becomes of them", async () => {
    await using upstream = await startScriptedUpstream((head, socket) => {
      const [, path] = head.split(" ");
      switch (path) {
        case "/ok":
          return OK;
        case "/later":
          return void setImmediate(() => socket.write(OK));
        case "/half":
          return `${HEAD}Content-Length: 10\r\n\r\nabc`;
        case "/cut":
          return void socket.end(`${HEAD}Content-Length: 10\r\n\r\nabc`);
        case "/reset":
          return void socket.resetAndDestroy();
        case "/garbage":
          return "garbage\r\n\r\n";
        default:
          return undefined; // never
      }
    });
    // Two connections: most requests wait, and some find none in time.
    const timeouts = { connect: "80ms", headers: "60ms", body: "60ms" };
    await using gateway = await startGateway(proxyTo(upstream.url, {}, ADMIN, { timeouts, connections: 2 }));
    const path = fc.constantFrom("/ok", "/later", "/half", "/cut", "/reset", "/garbage", "/never");
    const leavesAfter = fc.option(fc.integer({ min: 0, max: 40 }), { nil: undefined });
    const requests = fc.array(fc.tuple(path, leavesAfter), { minLength: 1, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(requests, async (all) => {
        await Promise.all(
          all.map(async ([target, ms]) => {
            await using client = await openRaw(gateway.port);
            void client.send(get(target));
            if (ms === undefined) await Promise.race([client.read(), client.closed]).catch(() => {});
            else await new Promise((resolve) => setTimeout(resolve, ms));
          }),
        );
        await expect.poll(async () => (await stateOf(gateway)).inFlight).toBe(0);
        const { activeRequests } = (await (await fetch(`${gateway.adminUrl}/admin/stats`)).json()) as {
          activeRequests: number;
        };
        expect(activeRequests).toBe(0);
      }),
      { numRuns: 15, endOnFailure: true },
    );
  });
});
