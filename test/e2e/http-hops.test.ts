/** What belongs to one connection only, and what a gateway says of itself and of the client (RFC 9110 7.6, RFC 7239). */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { config, proxyTo, startGateway, type TestGateway } from "../support/gateway.ts";
import { get, header, headerValues, openRaw, request } from "../support/raw-http.ts";
import { startScriptedUpstream } from "../support/scripted-upstream.ts";
import { startUpstream, type TestUpstream } from "../support/upstream.ts";

let upstream: TestUpstream;
let direct: TestGateway;
/** Trusts 127.0.0.1 (and so this client), 10.0.0.0/8 and 2001:db8::/32. */
let behind: TestGateway;

beforeAll(async () => {
  upstream = await startUpstream();
  direct = await startGateway(proxyTo(upstream.url));
  const trustedProxies = ["127.0.0.1", "10.0.0.0/8", "2001:db8::/32"];
  behind = await startGateway(
    proxyTo(upstream.url, {}, { listeners: [{ address: "127.0.0.1:0", trustedProxies }] }),
  );
});

afterAll(async () => {
  await Promise.all([direct.stop(), behind.stop()]);
  await upstream.close();
});

/** Sends a GET with these lines, and gives the headers that the upstream saw. */
async function pass(gateway: TestGateway, lines: string[]): Promise<Record<string, unknown>> {
  await using client = await openRaw(gateway.port);
  const reply = await client.ask(get("/", lines));
  expect(reply.status).toBe(200);
  return upstream.seen.at(-1)!.headers;
}

/** As {@link pass}, and gives what the log says of the client. */
async function clientOf(gateway: TestGateway, lines: string[]): Promise<unknown> {
  const path = `/${Math.random()}`;
  await using client = await openRaw(gateway.port);
  await client.ask(get(path, lines));
  return (await gateway.logged((line) => line["path"] === path))["client"];
}

describe("Hop-by-hop fields", () => {
  it("do not reach the upstream", async () => {
    const seen = await pass(direct, [
      "Connection: keep-alive, X-Private, x-other",
      "Connection: X-Third",
      "Keep-Alive: timeout=9",
      "Proxy-Connection: keep-alive",
      "Proxy-Authorization: Basic dTpw",
      "Proxy-Authenticate: Basic",
      "TE: trailers",
      "Trailer: X-T",
      "Upgrade: h2c",
      "X-Private: 1",
      "X-OTHER: 1",
      "X-Third: 1",
      "X-Public: 1",
    ]);
    const names = Object.keys(seen).sort();
    expect(names).toEqual(
      "connection forwarded host via x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto x-public".split(
        " ",
      ),
    );
    expect(seen["connection"]).toBe("keep-alive"); // the gateway's own
  });

  it("do not take away what a stage adds", async () => {
    await using gateway = await startGateway(
      proxyTo(upstream.url, {
        pipeline: [{ plugin: "transform", request: { headers: { set: { "x-stage": "yes" } } } }],
      }),
    );
    expect((await pass(gateway, ["Connection: x-stage", "X-Stage: no"]))["x-stage"]).toBe("yes");
  });

  it("do not take away what the gateway says of the client", async () => {
    const seen = await pass(direct, ["Connection: x-forwarded-for, via, forwarded"]);
    expect(seen).toMatchObject({ "x-forwarded-for": "127.0.0.1", via: "1.1 sluice" });
    expect(seen["forwarded"]).toContain("for=127.0.0.1");
  });

  it("do not reach the client", async () => {
    await using scripted = await startScriptedUpstream(
      () =>
        "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Private\r\nConnection: x-other\r\nKeep-Alive: timeout=9\r\nX-Private: 1\r\nX-Other: 1\r\nUpgrade: h2c\r\nProxy-Authenticate: Basic\r\nProxy-Connection: x\r\nTrailer: x\r\nX-Public: 1\r\nContent-Length: 0\r\n\r\n",
    );
    await using gateway = await startGateway(proxyTo(scripted.url));
    await using client = await openRaw(gateway.port);
    const { rawHeaders } = await client.ask(get("/"));
    expect(
      rawHeaders
        .filter((_, i) => i % 2 === 0)
        .map((name) => name.toLowerCase())
        .sort(),
    ).toEqual(["connection", "content-length", "date", "keep-alive", "via", "x-public"]);
    expect(header({ rawHeaders }, "keep-alive")).toBe("timeout=75");
  });

  it("turn an upgrade into an ordinary request", async () => {
    const seen = await pass(direct, [
      "Connection: Upgrade, HTTP2-Settings",
      "Upgrade: websocket",
      "HTTP2-Settings: AAMAAABkAAQAAP__",
      "Sec-WebSocket-Key: x",
    ]);
    expect(seen["upgrade"]).toBeUndefined();
    expect(seen["http2-settings"]).toBeUndefined();
    expect(seen["sec-websocket-key"]).toBe("x");
  });
});

describe("Via (RFC 9110 7.6.3)", () => {
  it("is added to requests, with the version that they came in", async () => {
    expect((await pass(direct, []))["via"]).toBe("1.1 sluice");
    expect((await pass(direct, ["Via: 1.0 a", "Via: 1.1 b (c)"]))["via"]).toBe(
      "1.0 a, 1.1 b (c), 1.1 sluice",
    );
  });

  it("is added to replies", async () => {
    await using scripted = await startScriptedUpstream(
      () => "HTTP/1.1 200 OK\r\nVia: 1.1 origin\r\nContent-Length: 0\r\n\r\n",
    );
    await using gateway = await startGateway(proxyTo(scripted.url));
    await using client = await openRaw(gateway.port);
    expect(headerValues(await client.ask(get("/")), "via").join(", ")).toBe("1.1 origin, 1.1 sluice");
  });
});

describe("From a client that is not trusted", () => {
  it("X-Forwarded-* and Forwarded are replaced", async () => {
    const seen = await pass(direct, [
      "X-Forwarded-For: 1.2.3.4",
      "X-Forwarded-Proto: https",
      "X-Forwarded-Host: evil.test",
      "X-Forwarded-Port: 1",
      "Forwarded: for=1.2.3.4",
      "X-Real-IP: 1.2.3.4",
      "X_Forwarded_For: 1.2.3.4",
      "X-Forwarded_Proto: https",
    ]);
    expect(seen).toMatchObject({
      "x-forwarded-for": "127.0.0.1",
      "x-forwarded-proto": "http",
      "x-forwarded-host": "gateway.test",
      "x-forwarded-port": String(direct.port),
      forwarded: 'for=127.0.0.1;host="gateway.test";proto=http',
    });
    expect(Object.keys(seen).filter((name) => name.includes("_") || name === "x-real-ip")).toEqual([]);
    expect(await clientOf(direct, ["X-Forwarded-For: 1.2.3.4"])).toBe("127.0.0.1");
  });

  it.each(["X-Consumer-Name", "x-consumer-roles", "X-CONSUMER-NAME", "X_Consumer_Name", "x-consumer_roles"])(
    "%s is removed, from a trusted proxy too",
    async (name) => {
      for (const gateway of [direct, behind]) {
        const seen = await pass(gateway, [`${name}: admin`, `${name}: root`]);
        expect(Object.keys(seen).filter((key) => key.includes("consumer"))).toEqual([]);
      }
    },
  );
});

describe("From a trusted proxy", () => {
  it("X-Forwarded-* and Forwarded are kept and added to", async () => {
    const seen = await pass(behind, [
      "X-Forwarded-For: 1.2.3.4",
      "X-Forwarded-For: 10.0.0.1",
      "X-Forwarded-Proto: https",
      "X-Forwarded-Host: public.test",
      "X-Forwarded-Port: 443",
      "Forwarded: for=1.2.3.4;proto=https",
    ]);
    expect(seen).toMatchObject({
      "x-forwarded-for": "1.2.3.4, 10.0.0.1, 127.0.0.1",
      "x-forwarded-proto": "https",
      "x-forwarded-host": "public.test",
      "x-forwarded-port": "443",
      forwarded: 'for=1.2.3.4;proto=https, for=127.0.0.1;host="gateway.test";proto=http',
    });
  });

  it.each([
    ["nothing", [], "127.0.0.1"],
    ["one address", ["X-Forwarded-For: 1.2.3.4"], "1.2.3.4"],
    ["a chain of trusted proxies", ["X-Forwarded-For: 1.2.3.4, 10.1.1.1, 10.2.2.2"], "1.2.3.4"],
    ["a chain that its client began", ["X-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.1.1.1"], "1.2.3.4"],
    [
      "a chain in several lines",
      ["X-Forwarded-For: 6.6.6.6, 1.2.3.4", "X-Forwarded-For: 10.1.1.1"],
      "1.2.3.4",
    ],
    ["trusted addresses only", ["X-Forwarded-For: 10.1.1.1, 10.2.2.2"], "10.1.1.1"],
    ["ports", ["X-Forwarded-For: 1.2.3.4:5678, 10.1.1.1:80"], "1.2.3.4"],
    ["IPv6", ["X-Forwarded-For: 2001:dead::1, 2001:db8::9"], "2001:dead::1"],
    ["IPv6 in brackets", ["X-Forwarded-For: [2001:dead::1]:80, [2001:db8::9]"], "2001:dead::1"],
    ["IPv4 in IPv6", ["X-Forwarded-For: 1.2.3.4, ::ffff:10.1.1.1"], "1.2.3.4"],
    ["a malformed last address", ["X-Forwarded-For: 1.2.3.4, unknown"], "127.0.0.1"],
    ["a malformed address in between", ["X-Forwarded-For: 1.2.3.4, <x>, 10.1.1.1"], "10.1.1.1"],
    ["an empty value", ["X-Forwarded-For:"], "127.0.0.1"],
    ["a number that is no address", ["X-Forwarded-For: 1234"], "127.0.0.1"],
    ["Forwarded", ["Forwarded: for=1.2.3.4;proto=https, For=10.1.1.1"], "1.2.3.4"],
    [
      "Forwarded with IPv6",
      ['Forwarded: proto=https;for="[2001:dead::1]:80", for="[2001:db8::9]"'],
      "2001:dead::1",
    ],
    ["Forwarded with a hidden client", ["Forwarded: for=_hidden, for=10.1.1.1"], "10.1.1.1"],
    [
      "Forwarded with a comma in quotes, which ends the walk",
      ['Forwarded: for=1.2.3.4;host="a,b", for=10.1.1.1'],
      "10.1.1.1",
    ],
    ["X-Forwarded-For before Forwarded", ["Forwarded: for=6.6.6.6", "X-Forwarded-For: 1.2.3.4"], "1.2.3.4"],
  ])("tells the client's address by %s", async (_name, lines, client) => {
    expect(await clientOf(behind, lines)).toBe(client);
  });

  it("is believed by the address of the connection, not by what it says", async () => {
    const trustedProxies = ["10.0.0.0/8"];
    await using gateway = await startGateway(
      proxyTo(upstream.url, {}, { listeners: [{ address: "127.0.0.1:0", trustedProxies }] }),
    );
    expect(await clientOf(gateway, ["X-Forwarded-For: 1.2.3.4, 10.1.1.1"])).toBe("127.0.0.1");
  });

  it("may come over IPv6", async () => {
    await using gateway = await startGateway(
      proxyTo(upstream.url, {}, { listeners: [{ address: "[::1]:0", trustedProxies: ["::1"] }] }),
    );
    await using client = await openRaw(gateway.port, "::1");
    await client.ask(get("/v6", ["X-Forwarded-For: 1.2.3.4"]));
    expect(upstream.seen.at(-1)!.headers).toMatchObject({ "x-forwarded-for": "1.2.3.4, ::1" });
    expect(upstream.seen.at(-1)!.headers["forwarded"]).toMatch(/^for="\[::1\]";/);
    expect((await gateway.logged((line) => line["path"] === "/v6"))["client"]).toBe("1.2.3.4");
  });
});

describe("Host", () => {
  const ask = async (gateway: TestGateway, text: string) => {
    await using client = await openRaw(gateway.port);
    await client.ask(text);
    return upstream.seen.at(-1)!.rawHeaders.slice(0, 2);
  };

  it("is the target's", async () => {
    expect(await ask(direct, get("/"))).toEqual(["host", `127.0.0.1:${upstream.port}`]);
  });

  it("is the client's with preserveHost, that of an absolute target before the Host line", async () => {
    await using gateway = await startGateway(proxyTo(upstream.url, { preserveHost: true }));
    expect(await ask(gateway, get("/"))).toEqual(["host", "gateway.test"]);
    expect(await ask(gateway, "GET http://real.test:81/ HTTP/1.1\r\nHost: other.test\r\n\r\n")).toEqual([
      "host",
      "real.test:81",
    ]);
    expect(await ask(gateway, "GET / HTTP/1.0\r\n\r\n")).toEqual(["host", `127.0.0.1:${upstream.port}`]);
  });

  it("of an absolute target decides the route", async () => {
    await using gateway = await startGateway(
      config({
        routes: [
          {
            name: "real",
            match: { host: "real.test" },
            pipeline: [{ plugin: "respond", status: 200, body: "real" }],
          },
          {
            name: "other",
            match: { host: "other.test" },
            pipeline: [{ plugin: "respond", status: 200, body: "other" }],
          },
        ],
      }),
    );
    await using client = await openRaw(gateway.port);
    const reply = await client.ask("GET http://real.test/ HTTP/1.1\r\nHost: other.test\r\n\r\n");
    expect(reply.body.toString()).toBe("real");
    expect((await client.ask(request("GET", "/", []))).status).toBe(404);
  });
});
