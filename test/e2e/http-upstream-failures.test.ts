/** What upstreams do wrong: each failure has a status and a code, and the next request is served. */
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import type { ErrorCode } from "../../core/errors.ts";
import { proxyTo, startGateway, type TestGateway } from "../support/gateway.ts";
import { freePort } from "../support/ports.ts";
import { get, header, headerValues, openRaw, problemCode, request } from "../support/raw-http.ts";
import { startScriptedUpstream } from "../support/scripted-upstream.ts";
import { startUpstream } from "../support/upstream.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const head = (lines: string): string => `HTTP/1.1 200 OK\r\n${lines}\r\n`;

/** Answers the first request by `reply`, all others well. */
const startBad = (reply: string | ((end: () => void, reset: () => void) => unknown)) =>
  startScriptedUpstream((_head, socket, nth) => {
    if (nth > 1) return OK;
    if (typeof reply === "string") return reply;
    return reply(
      () => void socket.end(),
      () => void socket.resetAndDestroy(),
    );
  });

async function expectGood(gateway: TestGateway): Promise<void> {
  await using client = await openRaw(gateway.port);
  const reply = await client.ask(get("/good"));
  expect([reply.status, reply.body.toString()]).toEqual([200, "ok"]);
}

const INVALID: Record<string, string> = {
  garbage: "\x00\x01 garbage\r\n\r\n",
  "a request": get("/"),
  SSH: "SSH-2.0-OpenSSH_9.6\r\n\r\n",
  "a status of two digits": "HTTP/1.1 99 X\r\nContent-Length: 0\r\n\r\n",
  "a status of four digits": "HTTP/1.1 2000 X\r\nContent-Length: 0\r\n\r\n",
  "two lengths": head("Content-Length: 2\r\nContent-Length: 3\r\n"),
  "a length that is no number": head("Content-Length: 2x\r\n"),
  "a negative length": head("Content-Length: -1\r\n"),
  "a length and chunks": head("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
  "chunks and a length": head("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
  "a coding that is not undone here": `${head("Transfer-Encoding: gzip, chunked\r\n")}0\r\n\r\n`,
  "chunked that is not the last coding": `${head("Transfer-Encoding: chunked, gzip\r\n")}0\r\n\r\n`,
  "an unknown coding": head("Transfer-Encoding: x\r\nConnection: close\r\n"),
  "NUL in a value": head("X: a\x00b\r\nContent-Length: 0\r\n"),
  "a control character in a value": head("X: a\x01b\r\nContent-Length: 0\r\n"),
  "bare CR in a value": head("X: a\rSet-Cookie: b=c\r\nContent-Length: 0\r\n"),
  "bare LF in a value": head("X: a\nSet-Cookie: b=c\r\nContent-Length: 0\r\n"),
  "a folded value": head("X: a\r\n Set-Cookie: b=c\r\nContent-Length: 0\r\n"),
  "a space before a colon": head("X : a\r\nContent-Length: 0\r\n"),
  "an empty name": head(": a\r\nContent-Length: 0\r\n"),
  "headers that are too large": head(`X: ${"a".repeat(70_000)}\r\nContent-Length: 0\r\n`),
};

describe("A reply that is not valid HTTP", () => {
  it.each(Object.entries(INVALID))("is a 502 UPSTREAM_REPLY_INVALID: %s", async (_name, text) => {
    await using upstream = await startBad(text);
    await using gateway = await startGateway(proxyTo(upstream.url));
    await using client = await openRaw(gateway.port);
    const reply = await client.ask(get("/bad"));
    expect([reply.status, problemCode(reply)]).toEqual([502, "UPSTREAM_REPLY_INVALID"]);
    expect(headerValues(reply, "set-cookie")).toEqual([]);
    expect((await client.ask(get("/good"))).body.toString()).toBe("ok");
    expect(await gateway.logged((line) => line["path"] === "/bad")).toMatchObject({
      status: 502,
      code: "UPSTREAM_REPLY_INVALID",
      upstream: "main",
    });
  });

  it("cannot split a reply by its reason phrase", async () => {
    await using upstream = await startBad("HTTP/1.1 200 O\x01K\r\nContent-Length: 2\r\n\r\nok");
    await using gateway = await startGateway(proxyTo(upstream.url));
    await using client = await openRaw(gateway.port);
    const reply = await client.ask(get("/bad"));
    if (reply.status === 200) expect(reply.reason).toBe("OK");
    else expect(problemCode(reply)).toBe("UPSTREAM_REPLY_INVALID");
  });

  it("is not taken for the next reply when more came than announced", async () => {
    await using upstream = await startBad(`${OK}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`);
    await using gateway = await startGateway(proxyTo(upstream.url));
    await using client = await openRaw(gateway.port);
    for (let i = 0; i < 3; i++) {
      const reply = await client.ask(get("/"));
      expect(reply.body.toString()).not.toContain("evil");
    }
    await expectGood(gateway);
  });
});

describe("A connection that fails", () => {
  const failures: [string, Parameters<typeof startBad>[0], ErrorCode][] = [
    ["is closed without a reply", (end) => end(), "UPSTREAM_RESET"],
    ["is reset without a reply", (_end, reset) => reset(), "UPSTREAM_RESET"],
    [
      "is closed in the middle of a head",
      (end) => {
        setImmediate(end);
        return "HTTP/1.1 200 OK\r\nConte";
      },
      "UPSTREAM_RESET",
    ],
  ];

  it.each(failures)("is a 502: it %s", async (_name, reply, code) => {
    await using upstream = await startBad(reply);
    await using gateway = await startGateway(proxyTo(upstream.url));
    await using client = await openRaw(gateway.port);
    const answer = await client.ask(get("/bad"));
    expect([answer.status, problemCode(answer)]).toEqual([502, code]);
    expect((await client.ask(get("/good"))).body.toString()).toBe("ok");
  });

  it("is a 502 UPSTREAM_CONNECT_FAILED while nobody listens, and serves when somebody does", async () => {
    const port = await freePort();
    await using gateway = await startGateway(proxyTo(`http://127.0.0.1:${port}`, {}, {}, { connections: 2 }));
    await using client = await openRaw(gateway.port);
    for (let i = 0; i < 10; i++) {
      const reply = await client.ask(
        i % 2 === 0 ? get("/") : request("POST", "/", ["Content-Length: 1"], "a"),
      );
      expect([reply.status, problemCode(reply)]).toEqual([502, "UPSTREAM_CONNECT_FAILED"]);
    }
    await using upstream = await startUpstream((_request, response) => void response.end("ok"), port);
    expect(upstream.port).toBe(port);
    await expectGood(gateway);
  });

  it("does not use up the connections to the target", async () => {
    let count = 0;
    await using upstream = await startScriptedUpstream((_head, socket) => {
      if (++count > 10) return OK;
      if (count % 2 === 0) socket.end();
      else socket.resetAndDestroy();
    });
    await using gateway = await startGateway(proxyTo(upstream.url, {}, {}, { connections: 1 }));
    await using client = await openRaw(gateway.port);
    for (let i = 0; i < 10; i++) expect((await client.ask(get("/"))).status).toBe(502);
    await expectGood(gateway);
  });
});

describe("An upstream that is slow", () => {
  it("to answer is a 504 UPSTREAM_TIMEOUT, and its connection is given up", async () => {
    await using upstream = await startScriptedUpstream((_head, _socket, nth) => (nth === 1 ? undefined : OK));
    await using gateway = await startGateway(
      proxyTo(upstream.url, {}, {}, { timeouts: { headers: "100ms" } }),
    );
    await using client = await openRaw(gateway.port);
    const reply = await client.ask(get("/slow"));
    expect([reply.status, problemCode(reply)]).toEqual([504, "UPSTREAM_TIMEOUT"]);
    if (!upstream.sockets[0]!.closed) await once(upstream.sockets[0]!, "close");
    await expectGood(gateway);
  });

  it("in the middle of a body breaks the client's connection", async () => {
    await using upstream = await startBad(`${head("Content-Length: 10\r\n")}abc`);
    await using gateway = await startGateway(proxyTo(upstream.url, {}, {}, { timeouts: { body: "100ms" } }));
    await using client = await openRaw(gateway.port);
    void client.send(get("/slow"));
    await client.closed;
    expect(client.rest.toString()).toMatch(/\r\n\r\nabc$/);
    expect(await gateway.logged((line) => line["path"] === "/slow")).toMatchObject({
      code: "UPSTREAM_TIMEOUT",
    });
    await expectGood(gateway);
  });

  it("to free a connection is a 504 UPSTREAM_CONNECT_TIMEOUT for those who wait", async () => {
    let release!: () => void;
    const released = new Promise<void>((resolve) => (release = resolve));
    await using upstream = await startScriptedUpstream((_head, socket, nth) => {
      if (nth > 1) return OK;
      void released.then(() => socket.write(OK));
    });
    await using gateway = await startGateway(
      proxyTo(upstream.url, {}, {}, { connections: 1, timeouts: { connect: "100ms" } }),
    );
    await using busy = await openRaw(gateway.port);
    await using waits = await openRaw(gateway.port);
    void busy.send(get("/busy"));
    const reply = await waits.ask(get("/waits"));
    expect([reply.status, problemCode(reply)]).toEqual([504, "UPSTREAM_CONNECT_TIMEOUT"]);
    release();
    expect((await busy.read()).body.toString()).toBe("ok");
    expect((await waits.ask(get("/good"))).body.toString()).toBe("ok");
    expect(upstream.heads.map((text) => text.split(" ")[1])).toEqual(["/busy", "/good"]);
  });
});

describe("maxHeaderSize", () => {
  it("bounds the headers of replies", async () => {
    const big = (bytes: number) => `${head(`X: ${"a".repeat(bytes)}\r\nContent-Length: 2\r\n`)}ok`;
    await using upstream = await startScriptedUpstream((text) =>
      big(text.startsWith("GET /big") ? 3000 : 1000),
    );
    await using gateway = await startGateway(proxyTo(upstream.url, {}, {}, { maxHeaderSize: "2KB" }));
    await using client = await openRaw(gateway.port);
    expect(header(await client.ask(get("/small")), "x")?.length).toBe(1000);
    const reply = await client.ask(get("/big"));
    expect([reply.status, problemCode(reply)]).toEqual([502, "UPSTREAM_REPLY_INVALID"]);
  });
});
