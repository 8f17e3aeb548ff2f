/** Bodies whose end is in doubt, and the classics of request smuggling. Sections are RFC 9112's unless said. */
import { describe, expect, it } from "vitest";
import type { ErrorCode } from "../../core/errors.ts";
import { proxyTo, startGateway } from "../support/gateway.ts";
import { get, openRaw, request } from "../support/raw-http.ts";
import { describeRows, type Row } from "../support/refusals.ts";
import { startUpstream } from "../support/upstream.ts";

/** A POST with these framing lines, then whatever follows. */
const post = (lines: string[], rest = ""): string => request("POST", "/", lines, rest);
const chunked = (rest: string): string => post(["Transfer-Encoding: chunked"], rest);
const SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";

const refuse = (status: number, code: ErrorCode, cases: Record<string, string>): Row[] =>
  Object.entries(cases).map(([name, send]) => ({ name, send, status, code }));

describeRows(
  "Content-Length (6.2)",
  refuse(400, "REQUEST_INVALID", {
    "twice the same": post(["Content-Length: 1", "Content-Length: 1"], "a"),
    "twice, different": post(["Content-Length: 1", "Content-Length: 2"], "ab"),
    "a list of the same": post(["Content-Length: 1, 1"], "a"),
    "a list": post(["Content-Length: 1, 2"], "ab"),
    negative: post(["Content-Length: -1"]),
    signed: post(["Content-Length: +1"], "a"),
    hexadecimal: post(["Content-Length: 0x1"], "a"),
    "with an exponent": post(["Content-Length: 1e1"], "0123456789"),
    "with a fraction": post(["Content-Length: 1.0"], "a"),
    "in quotes": post(['Content-Length: "1"'], "a"),
    "with a space inside": post(["Content-Length: 1 0"], "0123456789"),
    empty: post(["Content-Length:"]),
    "a word": post(["Content-Length: chunked"], "0\r\n\r\n"),
    "beyond 64 bits": post(["Content-Length: 99999999999999999999"]),
    "wrapping round to 5": post(["Content-Length: 18446744073709551621"], "hello"),
  }),
);

describeRows("Transfer-Encoding (6.1)", [
  ...refuse(400, "TRANSFER_ENCODING_INVALID", {
    empty: post(["Transfer-Encoding:"], "0\r\n\r\n"),
    "empty, with a length": post(["Transfer-Encoding:", "Content-Length: 1"], "a"),
    "a length, then an empty one": post(["Content-Length: 1", "Transfer-Encoding:"], "a"),
    identity: post(["Transfer-Encoding: identity"], "0\r\n\r\n"),
    xchunked: post(["Transfer-Encoding: xchunked"], "0\r\n\r\n"),
    chunkedx: post(["Transfer-Encoding: chunkedx"], "0\r\n\r\n"),
    "in quotes": post(['Transfer-Encoding: "chunked"'], "0\r\n\r\n"),
    "with a parameter": post(["Transfer-Encoding: chunked;q=1"], "0\r\n\r\n"),
    "chunked twice": post(["Transfer-Encoding: chunked, chunked"], "0\r\n\r\n"),
    "chunked in two lines": post(["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], "0\r\n\r\n"),
    "chunked, then another coding": post(["Transfer-Encoding: chunked, gzip"], "0\r\n\r\n"),
    "chunked, then identity in another line (TE.TE)": post(
      ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
      "0\r\n\r\n",
    ),
    "an unknown coding, then chunked in another line (TE.TE)": post(
      ["Transfer-Encoding: x", "Transfer-Encoding: chunked"],
      "0\r\n\r\n",
    ),
    "a comma at its end": post(["Transfer-Encoding: chunked,"], "0\r\n\r\n"),
    "with a length before it (CL.TE)": post(
      ["Content-Length: 6", "Transfer-Encoding: chunked"],
      `0\r\n\r\n${SMUGGLED}`,
    ),
    "in HTTP/1.0": "POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  }),
  ...refuse(400, "REQUEST_INVALID", {
    "with a length after it (TE.CL)": post(
      ["Transfer-Encoding: chunked", "Content-Length: 4"],
      `5c\r\n${SMUGGLED}\r\n0\r\n\r\n`,
    ),
    "with a length of zero": post(["Transfer-Encoding: chunked", "Content-Length: 0"], "0\r\n\r\n"),
    "a space before its colon, with a length": post(
      ["Transfer-Encoding : chunked", "Content-Length: 5"],
      "0\r\n\r\n",
    ),
    "a vertical tab before its value": post(["Transfer-Encoding: \x0bchunked"], "0\r\n\r\n"),
    "a folded value": post(["Transfer-Encoding:\r\n chunked"], "0\r\n\r\n"),
    "hidden behind a bare LF": post(["X: y\nTransfer-Encoding: chunked"], "0\r\n\r\n"),
    "hidden behind a bare CR": post(["X: y\rTransfer-Encoding: chunked"], "0\r\n\r\n"),
  }),
  ...refuse(501, "TRANSFER_ENCODING_UNSUPPORTED", {
    "gzip, chunked": post(["Transfer-Encoding: gzip, chunked"], "0\r\n\r\n"),
    "gzip and chunked in two lines": post(
      ["Transfer-Encoding: gzip", "Transfer-Encoding: chunked"],
      "0\r\n\r\n",
    ),
  }),
]);

describeRows("Chunks (7.1)", [
  ...refuse(400, "REQUEST_INVALID", {
    "a negative size": chunked("-1\r\n\r\n"),
    "a size with 0x": chunked("0x1\r\na\r\n0\r\n\r\n"),
    "a signed size": chunked("+1\r\na\r\n0\r\n\r\n"),
    "no size": chunked("\r\na\r\n0\r\n\r\n"),
    "a size that is no number": chunked("g\r\na\r\n0\r\n\r\n"),
    "a space before a size": chunked(" 1\r\na\r\n0\r\n\r\n"),
    "a space after a size": chunked("1 \r\na\r\n0\r\n\r\n"),
    "a size beyond 64 bits": chunked("10000000000000001\r\na\r\n0\r\n\r\n"),
    "an underscore in a size": chunked("1_0\r\n0123456789abcdef\r\n0\r\n\r\n"),
    "bare LF after a size": chunked("1\na\r\n0\r\n\r\n"),
    "bare CR after a size": chunked("1\ra\r\n0\r\n\r\n"),
    "bare LF after a chunk": chunked("1\r\na\n0\r\n\r\n"),
    "no line end after a chunk": chunked("1\r\na0\r\n\r\n"),
    "a chunk longer than its size": chunked("1\r\nab\r\n0\r\n\r\n"),
    "bare LF in an extension": chunked("1;a\nb\r\na\r\n0\r\n\r\n"),
    "bare CR in an extension": chunked("1;a\rb\r\na\r\n0\r\n\r\n"),
    "NUL in an extension": chunked("1;a\x00b\r\na\r\n0\r\n\r\n"),
    "a bad chunk after a good one": chunked("1\r\na\r\nx\r\n"),
    "a trailer that is no field": chunked("0\r\nA B: c\r\n\r\n"),
    "a folded trailer": chunked("0\r\nA: b\r\n c\r\n\r\n"),
    "bare LF after a trailer": chunked("0\r\nA: b\n\r\n"),
  }),
  ...refuse(413, "BODY_TOO_LARGE", {
    "a flood of extensions": chunked(`1;${"a".repeat(20_000)}\r\na\r\n0\r\n\r\n`),
  }),
  ...refuse(431, "HEADERS_TOO_LARGE", {
    "trailers that are too large": chunked(`0\r\nA: ${"b".repeat(50_000)}\r\n\r\n`),
  }),
]);

const serve = (cases: Record<string, string>): Row[] =>
  Object.entries(cases).map(([name, send]) => ({
    name,
    send,
    status: 200,
    staysOpen: true,
    seen: ["POST /"],
  }));

describeRows(
  "Framing that is in order",
  serve({
    "Content-Length with leading zeros": post(["Content-Length: 0001"], "a"),
    "chunked in capitals": post(["Transfer-Encoding: CHUNKED"], "1\r\na\r\n0\r\n\r\n"),
    "a tab before chunked": post(["Transfer-Encoding:\tchunked"], "1\r\na\r\n0\r\n\r\n"),
    "a size with leading zeros and capitals": chunked("00A\r\n0123456789\r\n0\r\n\r\n"),
    "an extension": chunked('1;a=b;c="d e"\r\na\r\n000\r\n\r\n'),
    trailers: chunked("1\r\na\r\n0\r\nX-Check: 1\r\n\r\n"),
    "no body and no length": post([]),
  }),
);

describe("Pipelined requests (9.3.2)", () => {
  /** An upstream that answers /slow only when told. */
  async function start() {
    const began: string[] = [];
    let release!: () => void;
    const released = new Promise<void>((resolve) => (release = resolve));
    const upstream = await startUpstream((message, response) => {
      began.push(`${message.method} ${message.url}`);
      const answer = (): void => void response.end(message.url);
      message.on("error", () => {});
      message.resume().on("end", () => (message.url === "/slow" ? void released.then(answer) : answer()));
    });
    const gateway = await startGateway(proxyTo(upstream.url));
    return { began, release, upstream, gateway };
  }

  const refusals: [string, string, number][] = [
    ["a bad Host", "GET /bad HTTP/1.1\r\nHost: a/b\r\n\r\n", 400],
    ["a bad Transfer-Encoding", post(["Transfer-Encoding: identity"], "0\r\n\r\n"), 400],
    ["two lengths", post(["Content-Length: 1", "Content-Length: 1"], "a"), 400],
    ["garbage", "\x00\xff\r\n\r\n", 400],
    ["CONNECT", "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n", 501],
  ];

  it.each(refusals)("serves what came before %s, and nothing after it", async (_name, bad, status) => {
    const { began, release, upstream, gateway } = await start();
    await using _upstream = upstream;
    await using _gateway = gateway;
    await using client = await openRaw(gateway.port);
    void client.send(get("/slow") + get("/fast") + bad + SMUGGLED);
    await using other = await openRaw(gateway.port);
    expect((await other.ask(get("/other"))).status).toBe(200);
    release();
    expect((await client.read()).body.toString()).toBe("/slow");
    expect((await client.read()).body.toString()).toBe("/fast");
    await client.closed;
    if (client.rest.length > 0) expect((await client.read()).status).toBe(status);
    expect(client.rest.length).toBe(0);
    expect(began.sort()).toEqual(["GET /fast", "GET /other", "GET /slow"]);
  });

  it("takes the body of a request for nothing but its body", async () => {
    const { began, upstream, gateway } = await start();
    await using _upstream = upstream;
    await using _gateway = gateway;
    await using client = await openRaw(gateway.port);
    void client.send(request("POST", "/one", [`Content-Length: ${SMUGGLED.length}`], SMUGGLED) + get("/two"));
    expect((await client.read()).body.toString()).toBe("/one");
    expect((await client.read()).body.toString()).toBe("/two");
    expect(began).toEqual(["POST /one", "GET /two"]);
  });

  it("serves nothing after `Connection: close`", async () => {
    const { began, upstream, gateway } = await start();
    await using _upstream = upstream;
    await using _gateway = gateway;
    await using client = await openRaw(gateway.port);
    void client.send(get("/one", ["Connection: close"]) + get("/two"));
    expect((await client.read()).body.toString()).toBe("/one");
    await client.closed;
    expect(client.rest.length).toBe(0);
    expect(began).toEqual(["GET /one"]);
  });

  it("survives a client that resets the connection after CONNECT", async () => {
    const { upstream, gateway } = await start();
    await using _upstream = upstream;
    await using _gateway = gateway;
    const client = await openRaw(gateway.port);
    await client.send(`${get("/slow")}CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n`);
    client.socket.resetAndDestroy();
    await gateway.logged((line) => line["path"] === "/slow" && line["status"] === 499);
    await using after = await openRaw(gateway.port);
    expect((await after.ask(get("/after"))).status).toBe(200);
  });
});
