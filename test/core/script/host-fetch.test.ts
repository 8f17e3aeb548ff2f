import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FetchClient } from "../../../core/script/host-fetch.ts";
import type { FetchGrant, ScriptGrants } from "../../../core/script/script.ts";
import { createAuthority } from "../../support/certificates.ts";
import { openFunction, openScript } from "../../support/scripts.ts";
import { exchange } from "../../support/harness.ts";
import { type RequestListener, startRawUpstream, startUpstream } from "../../support/upstream.ts";

const LOCAL = ["127.0.0.0/8", "::1"];
const grantOf = (hosts: string[], more: Partial<FetchGrant> = {}): FetchGrant => ({
  hosts,
  privateAddresses: LOCAL,
  timeoutMs: 5000,
  maxResponseBytes: 1024 ** 2,
  maxRequests: 10,
  ...more,
});
const grants = (...args: Parameters<typeof grantOf>): Partial<ScriptGrants> => ({ fetch: grantOf(...args) });

const FETCH = `async (ctx, req, ...args) => {
  const { status, ok, headers, text } = await ctx.fetch(...args);
  return { status, ok, headers: [...headers], text: text() };
}`;

interface Fetched {
  status: number;
  ok: boolean;
  headers: [string, string][];
  text: string;
}

describe("ctx.fetch", () => {
  it("sends a request and gives the reply", async () => {
    await using upstream = await startUpstream();
    await using fetch = await openFunction(FETCH, { grants: grants([`127.0.0.1:${upstream.port}`]) });
    const { status, ok, headers, text } = (await fetch(`${upstream.url}/a?b=%20c`, {
      method: "post",
      headers: { "X-One": " 1 ", "content-type": "text/plain" },
      body: "grüße",
    })) as Fetched;
    expect([status, ok, new Map(headers).get("content-type")]).toEqual([200, true, "application/json"]);
    expect(headers.map(([name]) => name)).not.toContain("connection");
    expect(JSON.parse(text)).toMatchObject({ method: "POST", url: "/a?b=%20c", body: "grüße" });
    expect(upstream.seen[0]?.headers).toMatchObject({
      host: `127.0.0.1:${upstream.port}`,
      "x-one": "1",
      "content-length": "7",
      "user-agent": "sluice",
    });
  });

  it("gives bodies as text, JSON and bytes", async () => {
    await using upstream = await startUpstream((_request, response) => response.end('\ufeff{"a":"ä🎈"}'));
    await using read = await openFunction(
      "async (ctx, req, url) => { const reply = await ctx.fetch(url); return [reply.text(), reply.json(), [...reply.bytes()]]; }",
      { grants: grants([`127.0.0.1:${upstream.port}`]) },
    );
    const bytes = [...Buffer.from('\ufeff{"a":"ä🎈"}')];
    expect(await read(upstream.url)).toEqual(['{"a":"ä🎈"}', { a: "ä🎈" }, bytes]);
  });

  it("sends bytes as they are", async () => {
    let body = Buffer.alloc(0);
    await using upstream = await startUpstream(async (request, response) => {
      body = Buffer.concat(await Array.fromAsync(request as AsyncIterable<Buffer>));
      response.end();
    });
    const source = `async (ctx, req, url) => {
      const body = Uint8Array.from({ length: 256 }, (_, i) => i);
      return (await ctx.fetch(url, { method: "PUT", body })).status;
    }`;
    await using send = await openFunction(source, { grants: grants([`127.0.0.1:${upstream.port}`]) });
    expect(await send(upstream.url)).toBe(200);
    expect([...body]).toEqual([...Array(256).keys()]);
  });

  it("puts secrets into headers, and shows them nowhere", async () => {
    await using upstream = await startUpstream((request, response) => {
      const isRight =
        request.headers.authorization === "Bearer s3cret" && request.headers["x-key"] === "s3cret";
      response.writeHead(isRight ? 204 : 401).end();
    });
    await using fetch = await openFunction(
      `async (ctx, req, url) => {
        const { KEY, BAD } = ctx.secrets;
        const seen = [];
        const attempt = async (headers, to = url) => {
          try { seen.push((await ctx.fetch(to, { headers })).status); } catch (error) { seen.push(error.stack); }
        };
        await attempt({ authorization: KEY.withPrefix("Bearer "), "x-key": KEY });
        await attempt([["authorization", KEY.withPrefix("Bearer ")], ["x-key", KEY]]);
        await attempt({ a: BAD });
        await attempt({ "a b": KEY });
        await attempt({ a: KEY }, "http://127.0.0.1:1/");
        await attempt({ a: KEY }, "http://other.test/");
        return seen;
      }`,
      {
        grants: {
          ...grants([`127.0.0.1:${upstream.port}`, "127.0.0.1:1"]),
          secrets: { KEY: "s3cret", BAD: "s3cret\nwith a line" },
        },
      },
    );
    const seen = (await fetch(upstream.url)) as unknown[];
    expect(seen.slice(0, 2)).toEqual([204, 204]);
    expect(seen[2]).toContain("fetch failed: the value of header a has control or non-Latin-1 characters");
    expect(seen[4]).toContain("fetch failed: the connection was refused");
    expect(JSON.stringify([seen, fetch.host.log.lines])).not.toContain("s3cret");
  });

  it("says which grant is missing, and which host", async () => {
    await using none = await openFunction(FETCH);
    await expect(none("https://api.example.com/a")).rejects.toThrow(
      'fetch is not granted: add grants: { fetch: ["api.example.com"] } to the stage',
    );
    await using other = await openFunction(FETCH, { grants: grants(["*.example.com"]) });
    await expect(other("https://evil.test:81/")).rejects.toThrow(
      "fetch failed: the host evil.test:81 is not granted: add it to grants.fetch of the stage",
    );
  });

  it("gives redirects back and does not follow them", async () => {
    await using upstream = await startUpstream((_request, response) =>
      response.writeHead(302, { location: "http://169.254.169.254/" }).end(),
    );
    await using fetch = await openFunction(FETCH, { grants: grants([`127.0.0.1:${upstream.port}`]) });
    const { status, ok, headers } = (await fetch(upstream.url)) as Fetched;
    expect([status, ok, new Map(headers).get("location")]).toEqual([302, false, "http://169.254.169.254/"]);
  });

  it("keeps connections", async () => {
    const ports = new Set<number | undefined>();
    await using upstream = await startUpstream((request, response) => {
      ports.add(request.socket.remotePort);
      response.end("ok");
    });
    await using fetch = await openFunction(FETCH, { grants: grants([`127.0.0.1:${upstream.port}`]) });
    for (let i = 0; i < 3; i++) await fetch(upstream.url);
    expect(ports.size).toBe(1);
  });

  it("sends what may be repeated once more when the connection that was kept breaks", async () => {
    const used = new WeakSet<object>();
    await using upstream = await startUpstream((request, response) => {
      if (used.has(request.socket)) return void request.socket.destroy();
      used.add(request.socket);
      response.end("ok");
    });
    await using fetch = await openFunction(FETCH, { grants: grants([`127.0.0.1:${upstream.port}`]) });
    for (let i = 0; i < 3; i++) expect(((await fetch(upstream.url)) as Fetched).text).toBe("ok");
    await expect(fetch(upstream.url, { method: "POST", body: "a" })).rejects.toThrow(
      "the connection was reset",
    );
  });

  it("undoes content codings, and says nothing of them", async () => {
    const handler: RequestListener = (request, response) => {
      const isBrotli = request.url === "/br";
      response.setHeader("content-encoding", isBrotli ? "br" : "gzip");
      response.end(isBrotli ? brotliCompressSync("plain") : gzipSync("plain"));
    };
    await using upstream = await startUpstream(handler);
    await using fetch = await openFunction(FETCH, { grants: grants([`127.0.0.1:${upstream.port}`]) });
    for (const path of ["/br", "/gzip"]) {
      const { headers, text } = (await fetch(upstream.url + path)) as Fetched;
      expect(text).toBe("plain");
      expect(headers.map(([name]) => name)).not.toContain("content-encoding");
    }
  });

  it.each([
    ["more than it may", 1001, undefined, "fetch failed: the reply is larger than 1000 bytes"],
    ["a bomb", 5_000_000, "gzip", "fetch failed: the reply is larger than 1000 bytes"],
    ["what is not coded so", 10, "br", "fetch failed: the reply's content coding cannot be undone"],
    ["an unknown coding", 10, "rot13", "fetch failed: the reply's content coding is not known"],
  ])("refuses a reply with %s", async (_what, length, coding, message) => {
    await using upstream = await startUpstream((_request, response) => {
      const bytes = Buffer.alloc(length, "a");
      if (coding !== undefined) response.setHeader("content-encoding", coding);
      response.end(coding === "gzip" ? gzipSync(bytes) : bytes);
    });
    await using fetch = await openFunction(FETCH, {
      grants: grants([`127.0.0.1:${upstream.port}`], { maxResponseBytes: 1000 }),
    });
    await expect(fetch(upstream.url)).rejects.toThrow(message);
  });

  it("takes a reply without an end no longer than it may", async () => {
    await using upstream = await startUpstream((_request, response) => {
      const more = (): void => void response.write("a".repeat(500), () => setImmediate(more));
      more();
    });
    await using fetch = await openFunction(FETCH, {
      grants: grants([`127.0.0.1:${upstream.port}`], { maxResponseBytes: 100_000 }),
    });
    await expect(fetch(upstream.url)).rejects.toThrow("the reply is larger than 100000 bytes");
  });

  it("waits as long as the grant and the script say, whichever is less", async () => {
    await using upstream = await startUpstream((request, response) => {
      if (request.url === "/slow-body") response.write("a");
    });
    const host = [`127.0.0.1:${upstream.port}`];
    await using patient = await openFunction(FETCH, { grants: grants(host) });
    const message = "fetch failed: it was not done within 30 ms";
    await expect(patient(upstream.url, { timeoutMs: 30 })).rejects.toThrow(message);
    await expect(patient(`${upstream.url}/slow-body`, { timeoutMs: 30 })).rejects.toThrow(message);
    await using hasty = await openFunction(FETCH, { grants: grants(host, { timeoutMs: 30 }) });
    await expect(hasty(upstream.url, { timeoutMs: 60_000 })).rejects.toThrow(message);
  });

  it("is given up when nobody waits for the hook any more", async () => {
    const closed = Promise.withResolvers<void>();
    const opened = Promise.withResolvers<void>();
    await using upstream = await startUpstream((request) => {
      request.socket.once("close", () => closed.resolve());
      opened.resolve();
    });
    await using script = await openScript(
      `{ async request(req, ctx) { await ctx.fetch("${upstream.url}"); } }`,
      { grants: grants([`127.0.0.1:${upstream.port}`], { timeoutMs: 60_000 }) },
    );
    const x = exchange();
    const answer = Promise.resolve(script.handler(x)).catch((error: { code: string }) => error.code);
    await opened.promise;
    x.abort(new Error("gone"));
    expect(await answer).toBe("CLIENT_CLOSED");
    await closed.promise;
  });

  it("makes so many requests for a hook and no more", async () => {
    await using upstream = await startUpstream();
    await using fetch = await openFunction(
      `async (ctx, req, url) => {
        const all = await Promise.allSettled([1, 2, 3, 4].map(() => ctx.fetch(url)));
        return all.map(({ status, reason }) => reason?.message ?? status);
      }`,
      { grants: grants([`127.0.0.1:${upstream.port}`], { maxRequests: 3 }) },
    );
    const late = "fetch failed: a hook can make 3 requests";
    const expected = ["fulfilled", "fulfilled", "fulfilled", late];
    expect([await fetch(upstream.url), await fetch(upstream.url)]).toEqual([expected, expected]);
    expect(upstream.seen).toHaveLength(6);
  });

  it.each([
    ['"/a"', "the URL is not valid"],
    ['"ftp://127.0.0.1/"', "a URL begins with https: or http:"],
    ['"file:///etc/passwd"', "a URL begins with https: or http:"],
    ['"http://user:pass@127.0.0.1/"', "a URL cannot have a user name or a password"],
    ['"http://127.0.0.1/" + "a".repeat(20000)', "a URL can have 16384 characters"],
    ['"http://127.0.0.1/", { method: "A B" }', "the method is not valid"],
    ['"http://127.0.0.1/", { method: "connect" }', "the method CONNECT cannot be used"],
    ['"http://127.0.0.1/", { body: "a" }', "a GET request has no body"],
    ['"http://127.0.0.1/", { method: "POST", body: "a".repeat(1048577) }', "a body can have 1048576 bytes"],
    ['"http://127.0.0.1/", { method: "POST", body: "\\0".repeat(1500000) }', "a body can have 1048576 bytes"],
    [
      '"http://127.0.0.1/", { headers: { a: "b" + " ".repeat(1e6) + "c" } }',
      "headers can have 16384 characters together",
    ],
    ['"http://127.0.0.1/", { headers: { Host: "a" } }', "the header host belongs to the gateway"],
    ['"http://127.0.0.1/", { headers: { "x-consumer-name": "a" } }', "the header x-consumer-name belongs"],
    [
      '"http://127.0.0.1/", { headers: { "transfer-encoding": "a" } }',
      "the header transfer-encoding belongs",
    ],
    ['"http://127.0.0.1/", { headers: { "a\\r\\nb": "c" } }', '"a\\r\\nb" is not a header name'],
    ['"http://127.0.0.1/", { headers: { a: "b\\r\\nc: d" } }', "the value of header a has control"],
    [
      '"http://127.0.0.1/", { headers: { a: "b".repeat(20000) } }',
      "headers can have 16384 characters together",
    ],
    ['"http://127.0.0.1/", { timeoutMs: 0 }', "timeoutMs is a number of milliseconds, at least 1"],
    ['"http://127.0.0.1/", { timeoutMs: "10" }', "timeoutMs is a number of milliseconds, at least 1"],
  ])("refuses %s", async (args, message) => {
    await using refused = await openFunction(`(ctx) => ctx.fetch(${args})`, {
      grants: grants(["127.0.0.1"]),
    });
    await expect(refused()).rejects.toThrow(`fetch failed: ${message}`);
  });

  it("says that a name cannot be resolved", async () => {
    const client = new FetchClient(grantOf(["a.test"]), (_name, callback) =>
      callback(Object.assign(new Error("getaddrinfo ENOTFOUND a.test"), { code: "ENOTFOUND" }), []),
    );
    await expect(sendAlone(client, "http://a.test/")).rejects.toThrow(
      "fetch failed: the name of the host cannot be",
    );
  });

  it("says what went wrong, without addresses", async () => {
    await using silent = await startRawUpstream((socket) => socket.destroy());
    await using odd = await startRawUpstream((socket) => socket.end("no HTTP\r\n\r\n"));
    await using cut = await startUpstream((_request, response) => {
      response.writeHead(200, { "content-length": "10" }).write("abc", () => response.destroy());
    });
    await using other = await startRawUpstream((socket) =>
      socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n\r\n"),
    );
    const hosts = [silent, odd, cut, other].map(({ port }) => `127.0.0.1:${port}`);
    await using fetch = await openFunction(FETCH, { grants: grants([...hosts, "127.0.0.1:1"]) });
    await expect(fetch(silent.url)).rejects.toThrow("fetch failed: the connection was reset");
    await expect(fetch(odd.url)).rejects.toThrow("fetch failed: the reply is not valid HTTP");
    await expect(fetch(cut.url)).rejects.toThrow("fetch failed: the connection was reset");
    await expect(fetch(other.url)).rejects.toThrow("fetch failed: the connection broke");
    await expect(fetch("http://127.0.0.1:1/")).rejects.toThrow("fetch failed: the connection was refused");
  });
});

/** Sends a request, without a script. */
function sendAlone(client: FetchClient, url: string): Promise<string> {
  const request = { url: new URL(url), method: "GET", headers: {}, body: undefined, timeoutMs: undefined };
  return client.send(request, new AbortController().signal);
}

describe("addresses that are not public", () => {
  it.each(["http://127.0.0.1", "http://0x7f.1", "http://2130706433", "http://localhost", "http://[::1]"])(
    "are refused at %s, though the host is granted",
    async (origin) => {
      await using upstream = await startUpstream();
      const url = new URL(`${origin}:${upstream.port}/`);
      await using fetch = await openFunction(FETCH, { grants: grants([url.host], { privateAddresses: [] }) });
      await expect(fetch(`${origin}:${upstream.port}/`)).rejects.toThrow(
        `fetch failed: ${url.hostname} is not at a public address: add its address to grants.fetch.privateAddresses`,
      );
      expect(upstream.seen).toEqual([]);
    },
  );

  it("are refused when a name changes its mind", async () => {
    await using upstream = await startUpstream();
    let asked = 0;
    // Public for whoever looks first; the gateway itself looks once, and connects to what it saw.
    const client = new FetchClient(
      grantOf([`rebind.test:${upstream.port}`], { privateAddresses: ["127.0.0.2"] }),
      (_name, callback) =>
        callback(null, [{ address: asked++ === 0 ? "127.0.0.2" : "127.0.0.1", family: 4 }]),
    );
    const send = () => sendAlone(client, `http://rebind.test:${upstream.port}/`);
    await expect(send()).rejects.toThrow("fetch failed: the connection was refused");
    expect(asked).toBe(1);
    await expect(send()).rejects.toThrow("fetch failed: rebind.test is not at a public address");
    expect(asked).toBe(2);
    expect(upstream.seen).toEqual([]);
    client.close();
  });

  it("are not reached over connections that another grant has opened", async () => {
    await using upstream = await startUpstream();
    const host = [`127.0.0.1:${upstream.port}`];
    await using open = await openFunction(FETCH, { grants: grants(host) });
    await open(upstream.url);
    await using closed = await openFunction(FETCH, { grants: grants(host, { privateAddresses: [] }) });
    await expect(closed(upstream.url)).rejects.toThrow("is not at a public address");
  });
});

describe("https", () => {
  const before = getCACertificates("default");
  let port = 0;
  const server = createTlsServer((_request, response) => response.end("safe"));

  beforeAll(async () => {
    const authority = await createAuthority();
    setDefaultCACertificates([...before, authority.cert]);
    const { cert, key } = await authority.issue(["localhost"]);
    server.setSecureContext({ cert, key });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    ({ port } = server.address() as AddressInfo);
  });
  afterAll(async () => {
    setDefaultCACertificates(before);
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  it("is spoken where the certificate is the host's, and nowhere else", async () => {
    await using fetch = await openFunction(FETCH, {
      grants: grants([`localhost:${port}`, `127.0.0.1:${port}`]),
    });
    expect(((await fetch(`https://localhost:${port}/`)) as Fetched).text).toBe("safe");
    await expect(fetch(`https://127.0.0.1:${port}/`)).rejects.toThrow(
      "fetch failed: the certificate of 127.0.0.1 is not valid (ERR_TLS_CERT_ALTNAME_INVALID)",
    );
  });
});
