/** What a message looks like on the other side: methods, targets, header lines, bodies, in both directions. */
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { proxyTo, startGateway, type TestGateway } from "../support/gateway.ts";
import { get, header, headerValues, openRaw, request } from "../support/raw-http.ts";
import { type ScriptedUpstream, startScriptedUpstream } from "../support/scripted-upstream.ts";
import { startUpstream, type TestUpstream } from "../support/upstream.ts";

let upstream: TestUpstream;
let gateway: TestGateway;

beforeAll(async () => {
  upstream = await startUpstream();
  Object.assign(upstream.server, { maxHeaderSize: 65_536 });
  gateway = await startGateway(proxyTo(upstream.url));
});

afterAll(async () => {
  await gateway.stop();
  await upstream.close();
});

/** Sends a request and gives what the upstream saw. */
async function pass(text: string) {
  await using client = await openRaw(gateway.port);
  const reply = await client.ask(text);
  expect(reply.status).toBe(200);
  return upstream.seen.at(-1)!;
}

describe("Requests", () => {
  it.each([
    "GET",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "PROPFIND",
    "PURGE",
    "REPORT",
    "QUERY",
    "TRACE",
  ])("passes %s", async (method) => {
    expect(await pass(request(method, "/m"))).toMatchObject({ method, url: "/m" });
  });

  it("passes HEAD and the length that a GET would have", async () => {
    await using scripted = await startScriptedUpstream(
      () => "HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n",
    );
    await using own = await startGateway(proxyTo(scripted.url));
    await using client = await openRaw(own.port);
    const reply = await client.ask(request("HEAD", "/h"));
    expect(scripted.heads[0]).toMatch(/^HEAD \/h /);
    expect(header(reply, "content-length")).toBe("12345");
    const next = await client.ask(request("HEAD", "/again"));
    expect(next.status).toBe(200);
    expect(client.rest.length).toBe(0);
    expect(scripted.sockets).toHaveLength(2); // undici does not use a connection again after HEAD
  });

  it.each([
    "/a%20b/%e2%82%ac",
    "/a%2Fb%2fc",
    "/%7euser/%41",
    "/a//b///c/",
    "/a;p=1/b,c:d@e!$&'()*+=",
    '/[a]^`{|}"<>',
    "/?",
    "/a?b=c&b=d&&e=%26&f=+%2B",
    "/a?x=/../y&z=?'\"`{}|^",
    "/%zz%",
    "//host/a",
  ])("leaves the bytes of %j as they are", async (target) => {
    expect((await pass(get(target))).url).toBe(target);
  });

  it("leaves names, values, order and repetitions of headers as they are", async () => {
    const lines = [
      "X-First: 1",
      "x-lOWER: a",
      "X-Rep: one",
      "Accept-Language: de, en;q=0.5",
      "X-Rep: two",
      "X-Latin: caf\xe9 \x80\xff",
      "X-Tab: a\tb",
      'X-Quoted: "a, \\"b\\""',
      "Cookie: a=b",
      "Cookie: c=d",
      "X-Empty:",
      "Authorization: Basic dTpw",
      "_under_score: 1",
    ];
    const { rawHeaders } = await pass(get("/", lines));
    const own = rawHeaders.slice(4, 4 + lines.length * 2); // after Host and Connection
    expect(own).toEqual(
      lines.flatMap((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]),
    );
    expect(rawHeaders.length).toBe(4 + lines.length * 2 + 6 * 2);
  });

  it("passes a body with its length", async () => {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i)).toString("latin1");
    const seen = await pass(request("POST", "/", ["Content-Length: 256"], bytes));
    expect(seen.body.toString("latin1")).toBe(bytes);
    expect(seen.headers["content-length"]).toBe("256");
    expect(seen.headers["transfer-encoding"]).toBeUndefined();
  });

  it("passes a chunked body as chunks, without extensions and trailers", async () => {
    const body = "5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n";
    const seen = await pass(request("POST", "/", ["Transfer-Encoding: chunked", "Trailer: X-Sum"], body));
    expect(seen.body.toString()).toBe("hello world");
    expect(seen.headers).toMatchObject({ "transfer-encoding": "chunked" });
    expect(seen.headers["content-length"]).toBeUndefined();
    expect(seen.headers["trailer"]).toBeUndefined();
  });

  it.each(["GET", "DELETE", "OPTIONS"])("passes the body of a %s", async (method) => {
    const seen = await pass(request(method, "/", ["Content-Length: 3"], "abc"));
    expect(seen).toMatchObject({ method, headers: { "content-length": "3" } });
    expect(seen.body.toString()).toBe("abc");
  });

  it("tells the upstream that a POST has no body", async () => {
    expect((await pass(request("POST", "/"))).headers["content-length"]).toBe("0");
    expect((await pass(request("POST", "/", ["Content-Length: 0"]))).headers["content-length"]).toBe("0");
    expect((await pass(get("/"))).headers["content-length"]).toBeUndefined();
  });

  it("passes an empty chunked body", async () => {
    const seen = await pass(request("POST", "/", ["Transfer-Encoding: chunked"], "0\r\n\r\n"));
    expect(seen.body.length).toBe(0);
  });

  it("passes headers up to the limit", async () => {
    const big = "a".repeat(31_000);
    expect((await pass(get("/", [`X-Big: ${big}`]))).headers["x-big"]).toBe(big);
  });

  it("serves HTTP/1.0 clients and closes", async () => {
    await using client = await openRaw(gateway.port);
    const reply = await client.ask("GET /old HTTP/1.0\r\n\r\n");
    expect(reply.status).toBe(200);
    expect(header(reply, "transfer-encoding")).toBeUndefined();
    await client.closed;
    const seen = upstream.seen.at(-1)!;
    expect(seen.headers).toMatchObject({ host: `127.0.0.1:${upstream.port}`, via: "1.0 sluice" });
    expect(seen.headers["x-forwarded-host"]).toBeUndefined();
    expect(seen.headers["forwarded"]).toBe("for=127.0.0.1;proto=http");
  });

  it("keeps the connection of an HTTP/1.0 client that asks for it", async () => {
    await using client = await openRaw(gateway.port);
    const old = "GET /old HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n";
    expect((await client.ask(old)).status).toBe(200);
    expect((await client.ask(old)).status).toBe(200);
  });
});

describe("Replies", () => {
  let script: string;
  let scripted: ScriptedUpstream;
  let own: TestGateway;

  beforeAll(async () => {
    scripted = await startScriptedUpstream(() => script);
    own = await startGateway(proxyTo(scripted.url));
  });

  afterAll(async () => {
    await own.stop();
    await scripted.close();
  });

  /** Sends a request, and gives the reply that the client got. */
  async function answer(text: string, asked = get("/")) {
    script = text;
    await using client = await openRaw(own.port);
    return await client.ask(asked);
  }

  it("leaves status, reason and headers as they are", async () => {
    const reply = await answer(
      "HTTP/1.1 299 Quite Fine\r\nX-lOWER: a\r\nSet-Cookie: a=1\r\nX-Latin: caf\xe9\r\nSet-Cookie: b=2\r\nDate: never\r\nServer: s\r\nContent-Length: 2\r\n\r\nok",
    );
    expect(reply).toMatchObject({ status: 299, reason: "Quite Fine" });
    expect(reply.rawHeaders.slice(0, 14)).toEqual(
      "X-lOWER,a,Set-Cookie,a=1,X-Latin,caf\xe9,Set-Cookie,b=2,Date,never,Server,s,Content-Length,2".split(
        ",",
      ),
    );
    expect(headerValues(reply, "date")).toEqual(["never"]);
    expect(reply.body.toString()).toBe("ok");
  });

  it("passes chunks as chunks", async () => {
    const reply = await answer(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
    );
    expect(header(reply, "transfer-encoding")).toBe("chunked");
    expect(header(reply, "content-length")).toBeUndefined();
    expect(reply.body.toString()).toBe("abc");
  });

  it("passes a body that ends with the connection as chunks", async () => {
    await using closing = await startScriptedUpstream((_head, socket) => {
      socket.end("HTTP/1.1 200 OK\r\n\r\nuntil the end");
    });
    await using to = await startGateway(proxyTo(closing.url));
    await using client = await openRaw(to.port);
    const reply = await client.ask(get("/"));
    expect(header(reply, "transfer-encoding")).toBe("chunked");
    expect(reply.body.toString()).toBe("until the end");
    expect((await client.ask(get("/"))).body.toString()).toBe("until the end");
  });

  it("gives an HTTP/1.0 client a body without chunks", async () => {
    const reply = await answer(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
      "GET / HTTP/1.0\r\nHost: a.test\r\n\r\n",
    );
    expect(reply).toMatchObject({ untilClose: true, trailers: [] });
    expect(reply.body.toString()).toBe("abc");
  });

  it.each([204, 304])("passes %i without a body, and the connection goes on", async (status) => {
    script = `HTTP/1.1 ${status} X\r\nETag: "1"\r\n\r\n`;
    await using client = await openRaw(own.port);
    const reply = await client.ask(get("/"));
    expect(reply.status).toBe(status);
    expect(header(reply, "etag")).toBe('"1"');
    expect((await client.ask(get("/"))).status).toBe(status);
  });

  it("keeps the Content-Length of a 304", async () => {
    const reply = await answer("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n");
    expect(header(reply, "content-length")).toBe("99");
  });

  it("passes trailers", async () => {
    const reply = await answer(
      "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\nx-b: \xe9\r\nContent-Type: a/b\r\n\r\n",
    );
    expect(reply.trailers).toEqual(["X-Sum", "1", "x-b", "\xe9"]);
  });

  it("leaves a gzip body alone", async () => {
    const bytes = gzipSync("hello");
    const reply = await answer(
      `HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ${bytes.length}\r\n\r\n${bytes.toString("latin1")}`,
      get("/", ["Accept-Encoding: br"]),
    );
    expect(header(reply, "content-encoding")).toBe("gzip");
    expect(reply.body.equals(bytes)).toBe(true);
    expect(scripted.heads.at(-1)).toContain("\r\nAccept-Encoding: br\r\n");
  });

  it("adds a Date only where there is none", async () => {
    const reply = await answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    expect(Date.parse(header(reply, "date")!)).toBeGreaterThan(0);
  });

  it("passes large headers", async () => {
    const reply = await answer(
      `HTTP/1.1 200 OK\r\nX-Big: ${"a".repeat(60_000)}\r\nContent-Length: 0\r\n\r\n`,
    );
    expect(header(reply, "x-big")?.length).toBe(60_000);
  });
});
