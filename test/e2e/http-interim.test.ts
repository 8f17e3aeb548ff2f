/** Informational replies and `Expect: 100-continue` (RFC 9110 15.2 and 10.1.1). */
import { describe, expect, it } from "vitest";
import { config, proxyTo, startGateway } from "../support/gateway.ts";
import { get, header, openRaw, request } from "../support/raw-http.ts";
import { startScriptedUpstream } from "../support/scripted-upstream.ts";
import { startUpstream } from "../support/upstream.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

describe("Informational replies", () => {
  it("pass before the reply that they announce", async () => {
    let finish!: () => void;
    await using upstream = await startUpstream((_request, response) => {
      response.writeEarlyHints({ link: ["</a.css>; rel=preload", "</b.js>; rel=preload"] });
      finish = () => void response.end("done");
    });
    await using gateway = await startGateway(proxyTo(upstream.url));
    await using client = await openRaw(gateway.port);
    void client.send(get("/"));
    const hints = await client.readOne();
    expect(hints).toMatchObject({ status: 103, reason: "Early Hints" });
    expect(header(hints, "link")).toBe("</a.css>; rel=preload, </b.js>; rel=preload");
    finish();
    const reply = await client.read();
    expect(reply).toMatchObject({ status: 200, interim: [] });
    expect(header(reply, "link")).toBeUndefined();
  });

  it("pass each, without hop-by-hop fields", async () => {
    await using upstream = await startScriptedUpstream(
      () =>
        `HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nConnection: X-P\r\nX-P: 1\r\nKeep-Alive: x\r\nLink: </a>\r\n\r\n${OK}`,
    );
    await using gateway = await startGateway(proxyTo(upstream.url));
    await using client = await openRaw(gateway.port);
    const { interim, body } = await client.ask(get("/"));
    expect(interim.map(({ status, rawHeaders }) => [status, rawHeaders])).toEqual([
      [102, []],
      [103, ["Link", "</a>"]],
    ]);
    expect(body.toString()).toBe("ok");
    expect((await client.ask(get("/"))).interim).toHaveLength(2);
  });

  it("do not pass to HTTP/1.0 clients", async () => {
    await using upstream = await startScriptedUpstream(
      () => `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${OK}`,
    );
    await using gateway = await startGateway(proxyTo(upstream.url));
    await using client = await openRaw(gateway.port);
    const reply = await client.ask("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n");
    expect(reply).toMatchObject({ status: 200, interim: [] });
  });

  it.each(["101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x", "100 Continue"])(
    "that nobody asked for are a failure of the upstream: %j",
    async (head) => {
      await using upstream = await startScriptedUpstream(() => `HTTP/1.1 ${head}\r\n\r\n${OK}`);
      await using gateway = await startGateway(proxyTo(upstream.url));
      await using client = await openRaw(gateway.port);
      const reply = await client.ask(get("/"));
      expect(reply.status).toBe(502);
      expect(JSON.parse(reply.body.toString()).code).toBe("UPSTREAM_REPLY_INVALID");
    },
  );
});

describe("Expect: 100-continue", () => {
  const EXPECT = request("POST", "/", ["Expect: 100-continue", "Content-Length: 5"]);

  it("is answered when the upstream wants the body, and goes no further", async () => {
    await using upstream = await startUpstream();
    await using gateway = await startGateway(proxyTo(upstream.url));
    await using client = await openRaw(gateway.port);
    void client.send(EXPECT);
    expect(await client.readOne()).toMatchObject({ status: 100, rawHeaders: [] });
    void client.send("hello");
    expect(await client.read()).toMatchObject({ status: 200, interim: [] });
    expect(upstream.seen[0]!.body.toString()).toBe("hello");
    expect(upstream.seen[0]!.headers["expect"]).toBeUndefined();
    expect((await client.ask(get("/"))).status).toBe(200);
  });

  it.each(["100-Continue", "100-CONTINUE"])("is known as %s", async (value) => {
    await using upstream = await startUpstream();
    await using gateway = await startGateway(proxyTo(upstream.url));
    await using client = await openRaw(gateway.port);
    void client.send(request("POST", "/", [`Expect: ${value}`, "Transfer-Encoding: chunked"]));
    expect((await client.readOne()).status).toBe(100);
    void client.send("1\r\na\r\n0\r\n\r\n");
    expect((await client.read()).status).toBe(200);
  });

  it("is not answered where no stage wants the body; the connection ends", async () => {
    await using gateway = await startGateway(
      config({
        routes: [{ name: "fixed", match: {}, pipeline: [{ plugin: "respond", status: 403, body: "no" }] }],
      }),
    );
    await using client = await openRaw(gateway.port);
    const reply = await client.ask(EXPECT);
    expect(reply).toMatchObject({ status: 403, interim: [] });
    expect(header(reply, "connection")).toBe("close");
    await client.closed;
  });

  it("is not answered for a body that is too large", async () => {
    await using upstream = await startUpstream();
    await using gateway = await startGateway(proxyTo(upstream.url, { limits: { bodySize: "4B" } }));
    await using client = await openRaw(gateway.port);
    const reply = await client.ask(EXPECT);
    expect(reply).toMatchObject({ status: 413, interim: [] });
    expect(header(reply, "connection")).toBe("close");
    await client.closed;
    expect(upstream.seen).toEqual([]);
  });

  it("is not answered where there is no body", async () => {
    await using upstream = await startUpstream();
    await using gateway = await startGateway(proxyTo(upstream.url));
    await using client = await openRaw(gateway.port);
    const reply = await client.ask(get("/", ["Expect: 100-continue"]));
    expect(reply).toMatchObject({ status: 200, interim: [] });
    expect(header(reply, "connection")).toBe("close");
    await client.closed;
  });

  it("of an HTTP/1.0 client is not answered", async () => {
    await using upstream = await startUpstream();
    await using gateway = await startGateway(proxyTo(upstream.url));
    await using client = await openRaw(gateway.port);
    const reply = await client.ask(
      "POST / HTTP/1.0\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na",
    );
    expect(reply).toMatchObject({ status: 200, interim: [] });
  });

  it("need not be waited for", async () => {
    await using upstream = await startUpstream();
    await using gateway = await startGateway(proxyTo(upstream.url));
    await using client = await openRaw(gateway.port);
    void client.send(`${EXPECT}hello${get("/next")}`);
    expect((await client.read()).status).toBe(200);
    expect((await client.read()).status).toBe(200);
    expect(upstream.seen.map(({ url }) => url)).toEqual(["/", "/next"]);
  });
});
