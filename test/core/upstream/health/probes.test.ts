/** Checks of real servers, which behave or not. */
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { createServer as createSecureServer, type ServerOptions } from "node:https";
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it, onTestFinished } from "vitest";
import type { TargetTlsConfig } from "../../../../core/config/checked.ts";
import { probeTarget } from "../../../../core/upstream/health/probe.ts";
import { createTlsContext } from "../../../../core/upstream/tls.ts";
import { type Authority, type Certificate, createAuthority } from "../../../support/certificates.ts";
import { startScriptedUpstream } from "../../../support/scripted-upstream.ts";
import { startRawUpstream, startUpstream } from "../../../support/upstream.ts";
import { activeHealth } from "./health-options.ts";

/** Asks once; gives what is wrong. */
async function ask(
  url: string,
  options: object = {},
  tls: Partial<TargetTlsConfig> = {},
  controller = new AbortController(),
): Promise<string | undefined> {
  onTestFinished(() => controller.abort());
  const { probe, port } = activeHealth(options);
  const target = probeTarget(url, port, () => ({
    context: createTlsContext(tls),
    serverName: tls.serverName,
    verify: tls.verify ?? true,
  }));
  return probe(target, controller.signal).catch((error: Error) => `error: ${error.message}`);
}

/** A server on a path or a port that is closed with the test. */
async function listen(server: Server, at: string | number = 0): Promise<number> {
  server.listen(at === 0 ? { host: "127.0.0.1", port: 0 } : at);
  await once(server, "listening");
  onTestFinished(async () => void (await new Promise((resolve) => server.close(resolve))));
  return (server.address() as AddressInfo).port;
}

/** Resolves when the server has no connection. */
async function untilNobodyIsConnected(server: Server): Promise<void> {
  while ((await new Promise((resolve) => server.getConnections((_, n) => resolve(n)))) !== 0) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const answer =
  (status: number, body = "", headers: Record<string, string> = {}): RequestListener =>
  (_request, response) =>
    void response.writeHead(status, headers).end(body);

describe("a check by HTTP", () => {
  it("sends one request on a connection of its own, as configured", async () => {
    await using server = await startUpstream();
    const options = {
      path: "/health?deep=1",
      method: "POST",
      headers: { Host: "users.internal", Authorization: "Bearer x", "X-Two": "2" },
    };
    expect(await ask(`${server.url}/base`, options)).toBeUndefined();
    expect(server.seen).toHaveLength(1);
    const { method, url, rawHeaders } = server.seen[0]!;
    expect([method, url]).toEqual(["POST", "/health?deep=1"]);
    const headers = rawHeaders.map((text, i) => (i % 2 === 0 ? text.toLowerCase() : text));
    expect(headers).toEqual([
      ...["host", "users.internal"],
      ...["user-agent", "sluice-health-check"],
      ...["authorization", "Bearer x"],
      ...["x-two", "2"],
      ...["connection", "close"],
      ...["content-length", "0"],
    ]);
  });

  it("names the target as its host, and can name itself otherwise", async () => {
    await using server = await startUpstream();
    await ask(server.url);
    await ask(server.url, { headers: { "user-agent": "probe/1" }, method: "GET" });
    expect(server.seen.map(({ method, url, headers }) => [method, url, headers.host])).toEqual([
      ["GET", "/", `127.0.0.1:${server.port}`],
      ["GET", "/", `127.0.0.1:${server.port}`],
    ]);
    expect(server.seen[1]!.headers["user-agent"]).toBe("probe/1");
  });

  it("asks at another port when one is given", async () => {
    await using server = await startUpstream();
    expect(await ask("http://127.0.0.1:1", { port: server.port })).toBeUndefined();
    expect(server.seen[0]!.headers.host).toBe(`127.0.0.1:${server.port}`);
  });

  it.each([
    [200, {}, undefined],
    [299, {}, undefined],
    [301, {}, "status 301"],
    [404, {}, "status 404"],
    [503, {}, "status 503"],
    [204, { statuses: [200, "301-302"] }, "status 204"],
    [301, { statuses: [200, "301-302"] }, undefined],
  ])("finds status %i with %o: %s", async (status, options, failure) => {
    await using server = await startUpstream(answer(status, "", { location: "/elsewhere" }));
    expect(await ask(server.url, options)).toBe(failure);
  });

  it("does not follow redirects", async () => {
    const paths: string[] = [];
    await using server = await startUpstream((request, response) => {
      paths.push(request.url!);
      response.writeHead(302, { location: "/b" }).end();
    });
    expect(await ask(server.url)).toBe("status 302");
    expect(paths).toEqual(["/"]);
  });

  it.each([
    ['"status": ?"up"', '{"status":"up"}', undefined],
    ['"status": ?"up"', '{"status":"down"}', "the body does not match"],
    ["^ok$", "ok", undefined],
    ["^ok$", "ok but", "the body does not match"],
    ["grün", "grün", undefined],
    ["^$", "", undefined],
  ])("looks for %s in %s: %s", async (body, text, failure) => {
    await using server = await startUpstream((_request, response) => {
      response.write(text.slice(0, 3)); // in pieces
      setImmediate(() => response.end(text.slice(3)));
    });
    expect(await ask(server.url, { body })).toBe(failure);
  });

  it("looks for it only where the status is right", async () => {
    await using server = await startUpstream(answer(500, "ok"));
    expect(await ask(server.url, { body: "ok" })).toBe("status 500");
  });

  it.each([
    [65_536 - 6, undefined],
    [65_536 - 5, "the body does not match"],
  ])("reads the first 64 KB and no more of an endless body: a word at %i", async (at, failure) => {
    await using server = await startUpstream((_request, response) => {
      response.write(`${"x".repeat(at)}needle`);
      const more = (): void => {
        while (!response.destroyed && response.write("y".repeat(10_000)));
        if (!response.destroyed) response.once("drain", more);
      };
      more();
    });
    expect(await ask(server.url, { body: "needle" })).toBe(failure);
    await untilNobodyIsConnected(server.server);
  });

  it("does not wait for the end of a body that nobody asks about, but leaves no connection", async () => {
    await using server = await startUpstream((_request, response) => void response.write("begun"));
    const controller = new AbortController();
    expect(await ask(server.url, {}, {}, controller)).toBeUndefined();
    controller.abort(); // the next check, or the end of all
    await untilNobodyIsConnected(server.server);
  });

  it("does not cut a target off in its reply", async () => {
    let wasCutOff: boolean | undefined;
    await using server = await startUpstream((_request, response) => {
      response.on("close", () => (wasCutOff = !response.writableFinished));
      response.write("a");
      setImmediate(() => response.end("b"));
    });
    expect(await ask(server.url)).toBeUndefined();
    await untilNobodyIsConnected(server.server);
    expect(wasCutOff).toBe(false);
  });

  it.each([
    ["garbage", "no http at all\r\n\r\n", /^error: Parse Error/],
    ["nothing", "", /^error: socket hang up/],
    ["half a head", "HTTP/1.1 200 OK\r\nx: ", /^error: (socket hang up|Parse Error)/],
    ["too large a head", `HTTP/1.1 200 OK\r\nx: ${"x".repeat(70_000)}\r\n\r\n`, /^error: Parse Error/],
    ["an upgrade", "HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", /^error: /],
    [
      "half a body",
      "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nok",
      /^error: the connection was closed before the end of the reply/,
    ],
  ])("takes a target that sends %s and closes for ill", async (_what, bytes, failure) => {
    await using server = await startScriptedUpstream((_head, socket) => void socket.end(bytes, "latin1"));
    expect(await ask(server.url, { body: "ok" })).toMatch(failure);
  });

  it("takes informational replies for what they are", async () => {
    await using server = await startScriptedUpstream(
      () => "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    );
    expect(await ask(server.url)).toBeUndefined();
  });

  it("says why when nobody listens", async () => {
    const server = await startUpstream();
    await server.close();
    expect(await ask(server.url)).toBe(`error: connect ECONNREFUSED 127.0.0.1:${server.port}`);
  });

  it("ends when it is given up, whatever it waits for", async () => {
    const sockets: Socket[] = [];
    await using server = await startRawUpstream((socket) => void sockets.push(socket));
    for (const options of [{ type: "http" }, { type: "tcp" }]) {
      const url = options.type === "tcp" ? server.url.replace("http:", "https:") : server.url;
      const controller = new AbortController();
      const asked = ask(url, options, {}, controller);
      while (sockets.length === 0) await new Promise((resolve) => setImmediate(resolve));
      controller.abort();
      expect(await asked).toMatch(/^error: /);
      const socket = sockets.pop()!;
      socket.resume();
      if (!socket.destroyed) await once(socket, "close");
    }
  });

  it("asks a target at a socket of this machine, wherever its own paths begin", async () => {
    const path = join(tmpdir(), `sluice-health-${process.pid}.sock`);
    const seen: unknown[] = [];
    const server = createServer((request, response) => {
      seen.push([request.url, request.headers.host]);
      response.end();
    });
    await listen(server, path);
    expect(await ask(`unix:${path}:/base`, { path: "/health", port: 1 })).toBeUndefined();
    expect(await ask(`unix:${path}`, { type: "tcp" })).toBeUndefined();
    expect(await ask(`unix:${path}.not`)).toMatch(/^error: connect ENOENT/);
    expect(seen).toEqual([["/health", "localhost"]]);
  });
});

describe("a check by TCP", () => {
  it("only connects", async () => {
    let bytes = 0;
    const closed: Promise<unknown>[] = [];
    await using server = await startRawUpstream((socket) => {
      closed.push(once(socket, "close"));
      socket.on("data", (chunk) => (bytes += chunk.length));
    });
    expect(await ask(server.url, { type: "tcp" })).toBeUndefined();
    expect(await ask("http://127.0.0.1:1", { type: "tcp", port: server.port })).toBeUndefined();
    while (closed.length < 2) await new Promise((resolve) => setImmediate(resolve));
    await Promise.all(closed);
    expect(bytes).toBe(0);
  });

  it("leaves no connection to a target that does not close its end", async () => {
    const sockets: Socket[] = [];
    const server = createTcpServer({ allowHalfOpen: true }, (socket) => void sockets.push(socket.resume()));
    const port = await listen(server);
    const controller = new AbortController();
    expect(await ask(`http://127.0.0.1:${port}`, { type: "tcp" }, {}, controller)).toBeUndefined();
    controller.abort(); // the next check, or the end of all
    while (sockets.length === 0) await new Promise((resolve) => setImmediate(resolve));
    sockets[0]!.on("error", () => {});
    while (!sockets[0]!.destroyed) {
      sockets[0]!.write("anybody there?");
      await new Promise((resolve) => setImmediate(resolve));
    }
  });

  it("is content with a target that closes at once, and not with one that refuses", async () => {
    const server = await startRawUpstream((socket) => void socket.destroy());
    expect(await ask(server.url, { type: "tcp" })).toBeUndefined();
    await server.close();
    expect(await ask(server.url, { type: "tcp" })).toMatch(/^error: connect ECONNREFUSED/);
  });
});

describe.each(["http", "tcp"])("a check by %s of a target with TLS", (type) => {
  let authority: Authority;
  let leaf: Certificate;
  let client: Certificate;

  beforeAll(async () => {
    authority = await createAuthority();
    leaf = await authority.issue(["users.test", "localhost", "127.0.0.1"]);
    client = await authority.issue(["gateway.test"]);
  });

  async function startSecure(options: ServerOptions = {}) {
    const names: string[] = [];
    const SNICallback: ServerOptions["SNICallback"] = (name, done) => {
      names.push(name);
      done(null);
    };
    const server = createSecureServer({ ...leaf, SNICallback, ...options }, answer(200, "ok"));
    server.on("tlsClientError", () => {});
    const port = await listen(server);
    return { url: `https://127.0.0.1:${port}`, byName: `https://localhost:${port}`, names };
  }

  it("trusts the CA of the upstream, and no other", async () => {
    const { url } = await startSecure();
    expect(await ask(url, { type }, { ca: authority.cert })).toBeUndefined();
    expect(await ask(url, { type })).toMatch(/^error: (unable to|self-signed)/);
    expect(await ask(url, { type }, { verify: false })).toBeUndefined();
  });

  it("names the host, or what is configured, whatever the Host header says", async () => {
    const { url, byName, names } = await startSecure();
    const ca = authority.cert;
    const options = type === "tcp" ? { type } : { type, headers: { host: "other.test" } };
    expect(await ask(byName, options, { ca })).toBeUndefined();
    expect(await ask(url, options, { ca })).toBeUndefined();
    expect(await ask(url, options, { ca, serverName: "users.test" })).toBeUndefined();
    expect(await ask(url, options, { ca, serverName: "else.test" })).toMatch(/^error: Hostname\/IP does not/);
    expect(names).toEqual(["localhost", "users.test", "else.test"]);
  });

  it("shows the client certificate", async () => {
    const { url } = await startSecure({
      ca: authority.cert,
      requestCert: true,
      rejectUnauthorized: true,
      maxVersion: "TLSv1.2", // 1.3 tells a client only after its handshake
    });
    expect(await ask(url, { type }, { ca: authority.cert, ...client })).toBeUndefined();
    expect(await ask(url, { type }, { ca: authority.cert })).toMatch(/^error: /);
  });

  it("asks for the least version", async () => {
    const { url } = await startSecure({ maxVersion: "TLSv1.2" });
    expect(await ask(url, { type }, { ca: authority.cert, minVersion: "TLSv1.2" })).toBeUndefined();
    expect(await ask(url, { type }, { ca: authority.cert, minVersion: "TLSv1.3" })).toMatch(/^error: /);
  });

  it("takes a target that does not speak it for ill", async () => {
    await using server = await startUpstream(answer(200));
    expect(await ask(server.url.replace("http:", "https:"), { type })).toMatch(/^error: /);
  });
});
