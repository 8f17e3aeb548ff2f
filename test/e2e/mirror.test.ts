/** A mirror to a real upstream, be it well, slow, dead or mad: what the shadow sees, and that clients see nothing. */
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { config, startGateway, type TestGateway } from "../support/gateway.ts";
import { freePort } from "../support/ports.ts";
import { openRaw, request } from "../support/raw-http.ts";
import { startScriptedUpstream } from "../support/scripted-upstream.ts";
import { type IncomingMessage, type ServerResponse, startUpstream } from "../support/upstream.ts";

const mirrored = (main: string, shadow: string, options: object = {}, parts: object = {}): object =>
  config({
    admin: { address: "127.0.0.1:0" },
    upstreams: { main: { targets: [main] }, shadow: { targets: [shadow] } },
    routes: [
      {
        name: "all",
        match: { path: "/*" },
        pipeline: [
          {
            plugin: "transform",
            request: { headers: { set: { "x-above": "1" } }, query: { set: { q: "above" } } },
          },
          { plugin: "mirror", upstream: "shadow", ...options },
          { plugin: "transform", request: { headers: { set: { "x-below": "1" } } } },
        ],
        upstream: "main",
      },
    ],
    ...parts,
  });

/** What became of copies by now, without what became of none. */
async function results(gateway: TestGateway): Promise<Record<string, number>> {
  const text = await (await fetch(`${gateway.adminUrl}/metrics`)).text();
  const lines = text.matchAll(/^sluice_mirror_requests_total\{.*result="(\w+)"\} (\d+)$/gm);
  const counts = [...lines].map(([, result, count]) => [result!, Number(count)] as const);
  const [, under] = /^sluice_mirror_in_flight\{.*\} (\d+)$/m.exec(text)!;
  return Object.fromEntries(
    [...counts, ["under_way", Number(under)] as const].filter(([, count]) => count > 0),
  );
}

/** Asks until copies have become what they must. */
async function expectResults(gateway: TestGateway, expected: Record<string, number>): Promise<void> {
  let last: Record<string, number> = {};
  for (const end = performance.now() + 5000; performance.now() < end; ) {
    last = await results(gateway);
    if (
      JSON.stringify(Object.entries(last).toSorted()) === JSON.stringify(Object.entries(expected).toSorted())
    )
      return;
  }
  expect(last).toEqual(expected);
}

/** An upstream that hands over each request and lets the test answer. */
async function startHeld() {
  const held: { message: IncomingMessage; response: ServerResponse }[] = [];
  let wake: (() => void) | undefined;
  const upstream = await startUpstream((message, response) => {
    message.on("error", () => {});
    message.resume();
    held.push({ message, response });
    wake?.();
  });
  const came = async (count: number): Promise<void> => {
    while (held.length < count) await new Promise<void>((resolve) => (wake = resolve));
  };
  return { ...upstream, held, came };
}

describe("a mirror", () => {
  it("sends the shadow what the stages above left: method, path, query, headers and body", async () => {
    await using main = await startUpstream();
    await using shadow = await startUpstream();
    await using gateway = await startGateway(
      mirrored(main.url, shadow.url, { headers: { set: { "x-set": "s" } } }),
    );
    await (await fetch(`${gateway.url}/a/b?c=1`, { headers: { "x-own": "2" } })).text();
    const chunks = ["one ", "two ", "three"];
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        const chunk = chunks.shift();
        if (chunk === undefined) controller.close();
        else controller.enqueue(Buffer.from(chunk));
      },
    });
    await (
      await fetch(`${gateway.url}/upload`, { method: "PUT", body, duplex: "half" } as RequestInit)
    ).text();
    await (await fetch(`${gateway.url}/json`, { method: "POST", body: "{}" })).text();
    await expectResults(gateway, { ok: 3 });
    const of = ({ seen }: typeof main) =>
      seen.map(({ method, url, body: bytes }) => [method, url, String(bytes)]);
    expect(of(shadow)).toEqual([
      ["GET", "/a/b?c=1&q=above", ""],
      ["PUT", "/upload?q=above", "one two three"],
      ["POST", "/json?q=above", "{}"],
    ]);
    expect(of(main)).toEqual(of(shadow));
    const [{ headers }] = shadow.seen as [(typeof shadow.seen)[0]];
    expect(headers).toMatchObject({
      host: new URL(shadow.url).host,
      "x-own": "2",
      "x-above": "1",
      "x-mirrored": "true",
      "x-set": "s",
      "x-forwarded-for": "127.0.0.1",
    });
    expect(headers).not.toHaveProperty("x-below");
    expect(shadow.seen[1]!.headers).toMatchObject({ "content-length": "13" });
    expect(main.seen[0]!.headers).not.toHaveProperty("x-mirrored");
  });

  it("sends the client's Host where it is told", async () => {
    await using main = await startUpstream();
    await using shadow = await startUpstream();
    await using gateway = await startGateway(mirrored(main.url, shadow.url, { preserveHost: true }));
    await (await fetch(gateway.url)).text();
    await expectResults(gateway, { ok: 1 });
    expect(shadow.seen[0]!.headers.host).toBe(new URL(gateway.url).host);
    expect(main.seen[0]!.headers.host).toBe(new URL(main.url).host);
  });

  it("lets a body that is too large go by, whole, and without a copy", async () => {
    await using main = await startUpstream();
    await using shadow = await startUpstream();
    await using gateway = await startGateway(mirrored(main.url, shadow.url, { maxBodySize: "64KB" }));
    const bytes = Buffer.alloc(3 * 1024 * 1024, "abc");
    await (await fetch(gateway.url, { method: "POST", body: bytes })).text();
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let i = 0; i < bytes.length; i += 65_536) controller.enqueue(bytes.subarray(i, i + 65_536));
        controller.close();
      },
    });
    await (await fetch(gateway.url, { method: "POST", body, duplex: "half" } as RequestInit)).text();
    expect(main.seen.map((seen) => seen.body.equals(bytes))).toEqual([true, true]);
    await expectResults(gateway, { skipped_body: 2 });
    expect(shadow.seen).toEqual([]);
  });

  it("makes no copy of an upload that the client breaks off", async () => {
    await using main = await startHeld();
    await using shadow = await startUpstream();
    await using gateway = await startGateway(mirrored(main.url, shadow.url));
    const client = await openRaw(gateway.port);
    void client.send(request("POST", "/", ["Content-Length: 100"], "half of it"));
    await main.came(1);
    await expectResults(gateway, { under_way: 1 });
    client.socket.destroy();
    await expectResults(gateway, { skipped_body: 1 });
    expect(shadow.seen).toEqual([]);
  });

  it("goes on without the client once the request was complete", async () => {
    await using main = await startHeld();
    await using shadow = await startHeld();
    await using gateway = await startGateway(mirrored(main.url, shadow.url));
    const client = await openRaw(gateway.port);
    void client.send(request("POST", "/", ["Content-Length: 3"], "all"));
    await shadow.came(1);
    client.socket.destroy();
    await once(main.held[0]!.response, "close");
    shadow.held[0]!.response.end("seen");
    await expectResults(gateway, { ok: 1 });
  });

  it("reads a long reply only so far, and lets the connection be used again after a short one", async () => {
    await using main = await startUpstream();
    await using shadow = await startUpstream((message, response) => {
      message.resume();
      response.end(message.url?.startsWith("/long") ? Buffer.alloc(8 * 1024 * 1024) : "short");
    });
    const sockets = new Set<unknown>();
    shadow.server.on("request", ({ socket }: IncomingMessage) => sockets.add(socket));
    await using gateway = await startGateway(mirrored(main.url, shadow.url));
    for (let i = 1; i <= 3; i++) {
      await (await fetch(gateway.url)).text();
      await expectResults(gateway, { ok: i });
    }
    expect(sockets.size).toBe(1);
    await (await fetch(`${gateway.url}/long`)).text();
    await expectResults(gateway, { ok: 4 });
  });
});

describe("a shadow that is not well", () => {
  it.each<[string, () => string | undefined, string]>([
    ["never answers", () => undefined, "under_way"],
    ["speaks no HTTP", () => "WHAT?\r\n\r\n", "failed"],
    ["breaks off in its body", () => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "failed"],
    ["fails", () => "HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "error"],
  ])("and %s is not noticed by clients", async (_what, answer, result) => {
    await using main = await startUpstream();
    await using shadow = await startScriptedUpstream((_head, socket) => {
      if (result !== "failed") return answer();
      socket.end(answer() ?? "");
      return undefined;
    });
    await using gateway = await startGateway(mirrored(main.url, shadow.url));
    const statuses = await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        const body = i % 2 === 0 ? null : "text";
        const reply = await fetch(gateway.url, { method: body === null ? "GET" : "POST", body });
        await reply.text();
        return reply.status;
      }),
    );
    expect(statuses).toEqual(Array(20).fill(200));
    await expectResults(gateway, { [result]: 20 });
    expect(gateway.lines.filter(({ level }) => Number(level) >= 40)).toEqual([]);
  });

  it("and is not there at all is not noticed either", async () => {
    await using main = await startUpstream();
    await using gateway = await startGateway(mirrored(main.url, `http://127.0.0.1:${await freePort()}`));
    for (let i = 0; i < 5; i++)
      expect((await fetch(gateway.url, { method: "POST", body: "x" })).status).toBe(200);
    await expectResults(gateway, { failed: 5 });
  });

  it("and is stuck takes no more than its places, and lets the gateway stop at once", async () => {
    await using main = await startUpstream();
    await using shadow = await startHeld();
    const gateway = await startGateway(mirrored(main.url, shadow.url, { maxInFlight: 3, timeout: "1h" }));
    for (let i = 0; i < 5; i++) await (await fetch(gateway.url)).text();
    await expectResults(gateway, { under_way: 3, skipped_busy: 2 });
    await shadow.came(3);
    const ended = Promise.all(shadow.held.map(({ response }) => once(response, "close")));
    await gateway.stop();
    await ended;
  });

  it("is given up after its time", async () => {
    await using main = await startUpstream();
    await using shadow = await startHeld();
    await using gateway = await startGateway(mirrored(main.url, shadow.url, { timeout: "500ms" }));
    await (await fetch(gateway.url)).text();
    await shadow.came(1);
    const { response } = shadow.held[0]!;
    if (!response.destroyed) await once(response, "close");
    await expectResults(gateway, { failed: 1 });
  });
});

describe("a copy under way", () => {
  it("goes on while the configuration is swapped, and its count with it", async () => {
    await using main = await startUpstream();
    await using shadow = await startHeld();
    await using gateway = await startGateway(mirrored(main.url, shadow.url));
    await (await fetch(gateway.url)).text();
    await shadow.came(1);
    await gateway.reload(mirrored(main.url, shadow.url, { timeout: "9s" }, { drainTimeout: "1s" }));
    await expectResults(gateway, { under_way: 1 });
    await (await fetch(gateway.url)).text();
    await shadow.came(2);
    for (const { response } of shadow.held) response.end();
    await expectResults(gateway, { ok: 2 });
  });

  it("goes on when the shadow is moved elsewhere, and ends when the mirror is taken out", async () => {
    await using main = await startUpstream();
    await using shadow = await startHeld();
    await using other = await startHeld();
    await using gateway = await startGateway(mirrored(main.url, shadow.url, { timeout: "1h" }));
    await (await fetch(gateway.url)).text();
    await shadow.came(1);
    await gateway.reload(mirrored(main.url, other.url, { timeout: "1h" }));
    await (await fetch(gateway.url)).text();
    await other.came(1);
    await expectResults(gateway, { under_way: 2 });
    const ended = Promise.all([...shadow.held, ...other.held].map(({ response }) => once(response, "close")));
    await gateway.reload(
      config({
        upstreams: { main: { targets: [main.url] } },
        routes: [{ name: "all", match: { path: "/*" }, upstream: "main" }],
      }),
    );
    await ended;
    expect((await fetch(gateway.url)).status).toBe(200);
  });
});
