/** Attempts and deadlines over real sockets: what is given up is given up at the upstream too. */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { request as httpRequest } from "node:http";
import { describe, expect, it } from "vitest";
import { config, startGateway, type TestGateway } from "../support/gateway.ts";
import { get, header, openRaw, problemCode } from "../support/raw-http.ts";
import { startRawUpstream, startUpstream } from "../support/upstream.ts";

/** A gateway with one route whose pipeline ends at these targets. */
const startWith = (targets: string[], ...pipeline: object[]): Promise<TestGateway> =>
  startGateway(
    config({
      upstreams: { main: { targets } },
      routes: [{ name: "all", match: { path: "/*" }, pipeline, upstream: "main" }],
    }),
  );

const digest = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

const NOW = { base: "0s", max: "0s" };

describe("retry", () => {
  it("aborts the request of an attempt that takes too long, and another target answers", async () => {
    const closed = Promise.withResolvers<void>();
    await using slow = await startUpstream((_request, response) => {
      response.on("close", () => closed.resolve());
    });
    await using good = await startUpstream();
    await using gateway = await startWith([slow.url, good.url], {
      plugin: "retry",
      perTryTimeout: "50ms",
      backoff: NOW,
    });
    const reply = await fetch(`${gateway.url}/x`);
    expect(reply.status).toBe(200);
    await closed.promise;
    expect(good.seen).toHaveLength(1);
    expect(await gateway.logged((line) => line["path"] === "/x")).toMatchObject({ target: good.url });
  });

  it.each([
    ["chunked", { "transfer-encoding": "chunked" }],
    ["of known length", { "content-length": 60_000 }],
  ])(
    "sends a body again that was on its way when the target broke off, byte by byte the same: %s",
    async (_what, headers) => {
      const bytes = randomBytes(60_000);
      const asked = Promise.withResolvers<void>();
      const broken = Promise.withResolvers<void>();
      let connections = 0;
      await using bad = await startRawUpstream((socket) => {
        connections++;
        asked.resolve();
        let got = 0;
        socket.on("data", (chunk: Buffer) => {
          got += chunk.length;
          if (got > 20_000) socket.resetAndDestroy();
        });
        socket.on("close", () => broken.resolve());
      });
      await using good = await startUpstream();
      await using gateway = await startWith([bad.url, good.url], {
        plugin: "retry",
        methods: ["POST"],
        backoff: NOW,
      });
      const client = httpRequest(`${gateway.url}/`, { method: "POST", headers });
      const replied = once(client, "response");
      client.write(bytes.subarray(0, 30_000));
      await asked.promise;
      client.write(bytes.subarray(30_000, 45_000));
      await broken.promise;
      client.end(bytes.subarray(45_000));
      const [reply] = await replied;
      reply.resume();
      expect([reply.statusCode, connections, good.seen.length]).toEqual([200, 1, 1]);
      const [seen] = good.seen;
      expect(digest(seen!.body)).toBe(digest(bytes));
      expect(seen!.headers["content-length"]).toBe("content-length" in headers ? "60000" : undefined);
    },
  );

  it("never sends a POST twice by default", async () => {
    let requests = 0;
    await using bad = await startUpstream((request) => {
      requests++;
      request.socket.destroy();
    });
    await using gateway = await startWith([bad.url], { plugin: "retry" });
    await using client = await openRaw(gateway.port);
    const reply = await client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    expect([reply.status, problemCode(reply), requests]).toEqual([502, "UPSTREAM_RESET", 1]);
    expect((await client.ask(get("/"))).status).toBe(502);
    expect(requests).toBe(4);
  });

  it("asks nobody any more when the client leaves between two attempts", async () => {
    const asked = Promise.withResolvers<void>();
    let requests = 0;
    await using busy = await startUpstream((_request, response) => {
      requests++;
      response.writeHead(503, { "retry-after": "60" }).end("busy");
      asked.resolve();
    });
    await using gateway = await startWith([busy.url], { plugin: "retry", maxRetryAfter: "2m" });
    const client = await openRaw(gateway.port);
    await client.send(get("/left"));
    await asked.promise;
    client.socket.destroy();
    expect(await gateway.logged((line) => line["path"] === "/left")).toMatchObject({ status: 499 });
    await gateway.stop(); // at once: nothing waits any more
    expect(requests).toBe(1);
  });

  it("hides a target that dies under load from clients", async () => {
    const dying = await startUpstream();
    await using good = await startUpstream();
    await using gateway = await startWith([dying.url, good.url], { plugin: "retry", budget: "100%" });
    const statuses: number[] = [];
    const load = async (): Promise<void> => {
      for (let i = 0; i < 50; i++) {
        const reply = await fetch(`${gateway.url}/`);
        await reply.arrayBuffer();
        statuses.push(reply.status);
        if (statuses.length === 100) await dying.close();
      }
    };
    await Promise.all(Array.from({ length: 8 }, load));
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
    expect(statuses).toHaveLength(400);
  });

  it("uses the connection of a reply that it tried again for the next attempt", async () => {
    const ports = new Set<number | undefined>();
    let requests = 0;
    await using upstream = await startUpstream((request, response) => {
      ports.add(request.socket.remotePort);
      response.writeHead(++requests % 3 === 0 ? 200 : 503).end("text");
    });
    await using gateway = await startWith([upstream.url], { plugin: "retry" });
    expect((await fetch(gateway.url)).status).toBe(200);
    expect([requests, ports.size]).toEqual([3, 1]);
  });
});

describe("timeout", () => {
  it("is a 504 for the client, and the upstream's request is aborted; it was told the time that it had", async () => {
    const closed = Promise.withResolvers<string | undefined>();
    await using slow = await startUpstream((request, response) => {
      response.on("close", () => closed.resolve(request.headers["x-left-ms"] as string));
    });
    await using gateway = await startWith(
      [slow.url],
      { plugin: "timeout", after: "60ms", header: "x-left-ms" },
      { plugin: "retry", on: ["timeout", 504] },
    );
    await using client = await openRaw(gateway.port);
    const reply = await client.ask(get("/", ["X-Left-Ms: 5"]));
    expect([reply.status, problemCode(reply)]).toEqual([504, "DEADLINE_EXCEEDED"]);
    const left = Number(await closed.promise);
    expect(left).toBeGreaterThan(5);
    expect(left).toBeLessThanOrEqual(60);
    expect(header(reply, "connection")).toBe("keep-alive");
  });

  it("breaks a reply off that trickles", async () => {
    const closed = Promise.withResolvers<void>();
    await using slow = await startUpstream((_request, response) => {
      response.writeHead(200).write("beginning");
      response.on("close", () => closed.resolve());
    });
    await using gateway = await startWith([slow.url], { plugin: "timeout", after: "60ms" });
    const reply = await fetch(gateway.url);
    expect(reply.status).toBe(200);
    await expect(reply.text()).rejects.toThrow();
    await closed.promise;
    expect(await gateway.logged((line) => line["msg"] === "request")).toMatchObject({
      status: 200,
      code: "DEADLINE_EXCEEDED",
    });
  });

  it("ends an upload that trickles", async () => {
    await using upstream = await startUpstream();
    await using gateway = await startWith(
      [upstream.url],
      { plugin: "timeout", after: "60ms" },
      { plugin: "retry" },
    );
    await using client = await openRaw(gateway.port);
    await client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    const reply = await client.read();
    expect([reply.status, problemCode(reply)]).toEqual([504, "DEADLINE_EXCEEDED"]);
    expect(upstream.seen).toHaveLength(0);
  });
});
