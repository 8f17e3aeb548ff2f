/** Random mutations of valid requests: the gateway lives, answers HTTP or closes, and forwards only what is sound. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { isValidHost } from "../../core/http-rules.ts";
import { config, startGateway } from "../support/gateway.ts";
import { get, headerValues, openRaw, parseReply, type RawClient, request } from "../support/raw-http.ts";
import { startUpstream } from "../support/upstream.ts";

const RUNS = 300;

const SEEDS = [
  get("/a/b?c=d", ["Accept: */*", "Cookie: a=b", "Connection: keep-alive"]),
  request("POST", "/submit", ["Content-Length: 11", "Content-Type: text/plain"], "hello world"),
  request(
    "PUT",
    "/chunked",
    ["Transfer-Encoding: chunked", "Trailer: X-Sum"],
    "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
  ),
  request("POST", "/expect", ["Expect: 100-continue", "Content-Length: 3"], "abc"),
  "OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n",
  "GET http://a.test/absolute HTTP/1.1\r\nHost: a.test\r\n\r\n",
  "GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
  get("/1") + request("POST", "/2", ["Content-Length: 1"], "x") + get("/3"),
];

/** Pieces that parsers trip over. */
// biome-ignore format: a list to skim
const PIECES = [
  "\r\n", "\n", "\r", "\0", " ", "\t", ":", ",", ";", "\r\n ", "\x0b", "\xff", "\x7f",
  "Transfer-Encoding: chunked\r\n", "Transfer-Encoding: identity\r\n", "Transfer-Encoding:\r\n",
  "Content-Length: 0\r\n", "Content-Length: 5\r\n", "Content-Length: -1\r\n", "Host: b.test\r\n", "Host:\r\n",
  "Connection: close, host\r\n", "Upgrade: websocket\r\nConnection: Upgrade\r\n", "Expect: x\r\n",
  "0\r\n\r\n", "ffffffffffffffff\r\n", "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n", "HTTP/1.1", "HTTP/1.0",
  "HTTP/0.9", "/../", "%00", "#", "\\", "CONNECT a.test:1 HTTP/1.1\r\nHost: a.test\r\n\r\n",
];

const mutation = fc.record({
  at: fc.nat(),
  remove: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat(6)),
  insert: fc.oneof(fc.constantFrom(...PIECES), fc.constant(""), fc.string({ unit: "binary", maxLength: 3 })),
});

function mutate(text: string, mutations: { at: number; remove: number; insert: string }[]): string {
  for (const { at, remove, insert } of mutations) {
    const i = at % (text.length + 1);
    text = text.slice(0, i) + insert + text.slice(i + remove);
  }
  return text;
}

/** Reads all that came as replies. A piece at the end is fine: the connection broke. */
function parseAll(bytes: Buffer): number[] {
  const statuses: number[] = [];
  for (let rest = bytes; rest.length > 0; ) {
    const parsed = parseReply(rest, "GET", false);
    if (parsed === undefined) break;
    statuses.push(parsed.reply.status);
    rest = rest.subarray(parsed.length);
  }
  return statuses;
}

it(`survives ${RUNS} mutated requests`, async () => {
  const unsound: string[] = [];
  await using upstream = await startUpstream((message, response) => {
    const hosts = headerValues(message, "host");
    const lengths = headerValues(message, "content-length");
    const codings = headerValues(message, "transfer-encoding");
    const isSound =
      hosts.length === 1 &&
      isValidHost(hosts[0]!) &&
      lengths.length + codings.length <= 1 &&
      (codings[0] ?? "chunked") === "chunked";
    if (!isSound) unsound.push(`${message.method} ${message.url} ${message.rawHeaders.join("|")}`);
    message.on("error", () => {});
    message.resume().on("end", () => response.end("ok"));
  });
  upstream.server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    // A request that its client broke off is broken off here too; anything else was forwarded malformed.
    if (error.code !== "ECONNRESET" && error.code !== "HPE_INVALID_EOF_STATE") unsound.push(String(error));
    socket.destroy();
  });
  await using gateway = await startGateway(
    config({
      upstreams: { main: { targets: [upstream.url] } },
      routes: [
        {
          name: "ping",
          match: { path: "/ping" },
          pipeline: [{ plugin: "respond", status: 200, body: "pong" }],
        },
        { name: "all", match: { path: "/*" }, upstream: "main" },
      ],
      log: { access: false },
    }),
  );
  await using pinger = await openRaw(gateway.port);
  /** Lets the gateway go round: what it says of its own accord has been said by then. */
  const ping = async (client: RawClient): Promise<void> => {
    for (let i = 0; i < 3 && !client.isClosed; i++) {
      expect((await pinger.ask(get("/ping"))).body.toString()).toBe("pong");
    }
  };
  const seed = Math.trunc(Math.random() * 2 ** 31);
  console.info(`fuzz seed ${seed}`);
  const property = fc.asyncProperty(
    fc.constantFrom(...SEEDS),
    fc.array(mutation, { minLength: 1, maxLength: 4 }),
    async (text, mutations) => {
      await using client = await openRaw(gateway.port);
      void client.send(mutate(text, mutations));
      await ping(client);
      client.socket.end();
      await client.closed;
      for (const status of parseAll(client.rest)) expect(status).toBeLessThan(506);
      expect(unsound).toEqual([]);
    },
  );
  await fc.assert(property, { numRuns: RUNS, seed });
  await using after = await openRaw(gateway.port);
  expect((await after.ask(get("/after"))).body.toString()).toBe("ok");
});
