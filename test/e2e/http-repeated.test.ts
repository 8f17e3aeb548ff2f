/** Replies that are given many times over: written once, and right for every connection all the same. */
import { describe, expect, it } from "vitest";
import { proxyTo, startGateway } from "../support/gateway.ts";
import { get, header, openRaw, type RawReply, request } from "../support/raw-http.ts";
import { startUpstream } from "../support/upstream.ts";

const BODY = "caf\u00e9 \u00fc\u00ff";

/** An upstream of one reply, and a cache above it. */
async function startCached(parts: Record<string, unknown> = {}, above: object[] = []) {
  const upstream = await startUpstream((_request, response) => {
    response.writeHead(200, { "cache-control": "max-age=60", "x-latin": "\u00e9", etag: '"1"' });
    response.end(BODY, "latin1");
  });
  const gateway = await startGateway(
    proxyTo(upstream.url, { pipeline: [...above, { plugin: "cache" }] }, parts),
  );
  return {
    port: gateway.port,
    urls: gateway.urls,
    async [Symbol.asyncDispose]() {
      await gateway.stop();
      await upstream.close();
    },
  };
}

/** What it says, without what changes each second. */
function describeReply(reply: RawReply, without: readonly string[] = []): object {
  const headers: [string, string][] = [];
  for (let i = 0; i < reply.rawHeaders.length; i += 2) {
    const name = reply.rawHeaders[i]!.toLowerCase();
    if (!["age", "cache-status", ...without].includes(name)) headers.push([name, reply.rawHeaders[i + 1]!]);
  }
  return { status: reply.status, headers, body: reply.body.toString("latin1") };
}

describe("a reply that is given many times", () => {
  it("is the same for all who ask in the same way", async () => {
    await using cached = await startCached();
    await using client = await openRaw(cached.port);
    const miss = await client.ask(get("/"));
    const replies = [];
    for (let i = 0; i < 5; i++) replies.push(await client.ask(get("/")));
    for (const reply of replies) {
      expect(header(reply, "cache-status")).toMatch(/^sluice; hit; ttl=\d+$/);
      expect(header(reply, "connection")).toBe("keep-alive");
      expect(reply.body.toString("latin1")).toBe(BODY);
      const framing = ["content-length", "transfer-encoding"];
      expect(describeReply(reply, framing)).toEqual(describeReply(miss, framing));
    }
    await client.send(get("/").repeat(3) + request("HEAD", "/") + get("/"));
    for (let i = 0; i < 3; i++)
      expect(describeReply(await client.read())).toEqual(describeReply(replies[0]!));
    const head = await client.read("HEAD");
    expect([head.body.length, header(head, "content-length")]).toEqual([0, String(BODY.length)]);
    expect(describeReply(await client.read())).toEqual(describeReply(replies[0]!));
  });

  it("is another for those who end their connection, speak HTTP/1.0, or have it already", async () => {
    await using cached = await startCached();
    await using client = await openRaw(cached.port);
    for (let i = 0; i < 3; i++) await client.ask(get("/"));
    await using ending = await openRaw(cached.port);
    expect(header(await ending.ask(get("/", ["Connection: close"])), "connection")).toBe("close");
    await ending.closed;
    await using old = await openRaw(cached.port);
    const asked = "GET / HTTP/1.0\r\nHost: gateway.test\r\n";
    expect(header(await old.ask(`${asked}Connection: keep-alive\r\n\r\n`), "connection")).toBe("keep-alive");
    const reply = await old.ask(`${asked}\r\n`);
    expect([header(reply, "connection"), reply.body.toString("latin1")]).toEqual(["close", BODY]);
    await old.closed;
    for (let i = 0; i < 3; i++) {
      const same = await client.ask(get("/", ['If-None-Match: "1"']));
      expect([same.status, header(same, "content-length"), header(same, "etag")]).toEqual([
        304,
        undefined,
        '"1"',
      ]);
    }
    const part = await client.ask(get("/", ["Range: bytes=0-2"]));
    expect([part.status, part.body.toString("latin1")]).toEqual([206, BODY.slice(0, 3)]);
    expect(header(await client.ask(get("/")), "connection")).toBe("keep-alive");
  });

  it("is what stages above make of it for each", async () => {
    await using cached = await startCached({}, [{ plugin: "request-id" }]);
    await using client = await openRaw(cached.port);
    for (let i = 0; i < 4; i++) {
      const reply = await client.ask(get("/", [`X-Request-Id: one-of-many-${i}`]));
      expect(header(reply, "x-request-id")).toBe(`one-of-many-${i}`);
    }
  });

  it("goes by the limits and timeouts of the listener that it leaves by", async () => {
    const own = { timeouts: { keepAlive: "7s" }, limits: { requestsPerConnection: 3 } };
    await using cached = await startCached({
      listeners: [{ address: "127.0.0.1:0", ...own }, { address: "127.0.0.1:0" }],
    });
    const [first, second] = cached.urls.map((url) => Number(new URL(url).port));
    await using limited = await openRaw(first!);
    await using other = await openRaw(second!);
    for (let i = 0; i < 2; i++) {
      expect(header(await limited.ask(get("/")), "keep-alive")).toBe("timeout=7, max=3");
      expect(header(await other.ask(get("/")), "keep-alive")).toBe("timeout=75");
    }
    await using beside = await openRaw(first!);
    expect(header(await beside.ask(get("/")), "connection")).toBe("keep-alive");
    expect(header(await limited.ask(get("/")), "connection")).toBe("close");
    await limited.closed;
  });

  it("is cut short for nobody, however many connections take it at once", async () => {
    await using cached = await startCached();
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        await using client = await openRaw(cached.port);
        await client.send(get("/").repeat(50));
        for (let i = 0; i < 50; i++) expect((await client.read()).body.toString("latin1")).toBe(BODY);
      }),
    );
  });
});
