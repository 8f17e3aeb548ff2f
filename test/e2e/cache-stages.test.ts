/** Caches among other stages, above and below them, in a real gateway. */
import { get, type IncomingHttpHeaders } from "node:http";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { config, startGateway, type TestGateway } from "../support/gateway.ts";
import { startUpstream, type IncomingMessage, type ServerResponse } from "../support/upstream.ts";

const CACHE = { plugin: "cache" };
const AUTH = { plugin: "auth", methods: ["apiKey"], identityHeaders: true };
const script = (name: string, hooks: string): object => ({
  plugin: "script",
  name,
  source: `import { definePlugin } from "sluice/plugin";\nexport default definePlugin({ ${hooks} });`,
});
const ADD = { response: { headers: { add: { "x-added": "yes" } } } };

/** Stages by the name of the route, which is the first part of its paths. */
const PIPELINES: Record<string, object[]> = {
  consumers: [AUTH, { ...CACHE, key: { consumer: true } }],
  shared: [AUTH, CACHE],
  compressed: [{ plugin: "compress", encodings: ["gzip"], minSize: "1B" }, CACHE],
  compressing: [CACHE, { plugin: "compress", encodings: ["gzip"], minSize: "1B" }],
  rewritten: [
    { plugin: "transform", request: { path: "/under/{rest}" }, ...ADD },
    CACHE,
    { plugin: "transform", ...ADD },
  ],
  retried: [
    CACHE,
    { plugin: "retry", attempts: 3, on: [503], backoff: { base: "1ms", max: "1ms" }, budget: "100%" },
  ],
  broken: [CACHE, { plugin: "breaker", consecutiveFailures: 2, openFor: "1h" }],
  above: [{ plugin: "limit", rate: "3/1h", by: "ip" }, CACHE],
  below: [CACHE, { plugin: "limit", rate: "1/1h", by: "ip" }],
  scripted: [
    script(
      "outer",
      `request(req) { req.headers.set("x-kind", "b"); }, response(res) { res.headers.set("x-outer", String(Math.random())); }`,
    ),
    CACHE,
    script("inner", `response(res) { res.headers.set("x-inner", String(Math.random())); }`),
  ],
};

interface Got {
  status: number;
  headers: IncomingHttpHeaders;
  bytes: Buffer;
  text: string;
  cache: string | undefined;
}

let using: AsyncDisposableStack;
let gateway: TestGateway;
/** Requests that came to the upstream, by path. */
const asked = new Map<string, number>();
/** Answers of the upstream by path; else a text with the path and who asks, fresh for a minute. */
const answers = new Map<string, (request: IncomingMessage, response: ServerResponse) => void>();

const fresh = (request: IncomingMessage, response: ServerResponse): void => {
  const control = request.url!.includes("public") ? "public, max-age=60" : "max-age=60";
  response.writeHead(200, { "cache-control": control, "content-type": "text/plain" });
  response.end(
    `${request.url} for ${request.headers["x-consumer-name"]} as ${request.headers["x-kind"]}\n`.repeat(20),
  );
};

beforeAll(async () => {
  using = new AsyncDisposableStack();
  const upstream = using.use(
    await startUpstream((request, response) => {
      const path = request.url!;
      asked.set(path, (asked.get(path) ?? 0) + 1);
      (answers.get(path) ?? fresh)(request, response);
    }),
  );
  const source = config({
    upstreams: { main: { targets: [upstream.url] } },
    consumers: ["ada", "bob"].map((name) => ({
      name,
      credentials: [{ apiKey: `the-secret-key-of-${name}` }],
    })),
    routes: Object.entries(PIPELINES).map(([name, pipeline]) => ({
      name,
      match: { path: `/${name}/:rest` },
      pipeline,
      upstream: "main",
    })),
  });
  gateway = using.use(await startGateway(source));
});
afterAll(() => using.disposeAsync());

function ask(path: string, headers: Record<string, string> = {}): Promise<Got> {
  return new Promise((resolve, reject) => {
    get(`${gateway.url}${path}`, { headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const bytes = Buffer.concat(chunks);
        const { headers: got, statusCode: status = 0 } = response;
        resolve({
          status,
          headers: got,
          bytes,
          text: bytes.toString(),
          cache: got["cache-status"] as string,
        });
      });
    }).on("error", reject);
  });
}

const as = (name: string): Record<string, string> => ({ "x-api-key": `the-secret-key-of-${name}` });

describe("below auth", () => {
  it("keeps what is for one consumer from the others, and strangers out", async () => {
    const path = "/consumers/public";
    for (const name of ["ada", "bob", "ada", "bob"]) {
      expect((await ask(path, as(name))).text).toMatch(new RegExp(`^${path} for ${name} `));
    }
    expect((await ask(path, as("ada"))).cache).toMatch(/^sluice; hit/);
    expect(asked.get(path)).toBe(2);
    for (const headers of [{}, as("eve")]) expect((await ask(path, headers)).status).toBe(401);
    expect((await ask(path, as("bob"))).text).toContain("for bob");
  });

  it("stores for all consumers only what the upstream says is for all", async () => {
    for (const name of ["ada", "bob"]) {
      const { text, cache } = await ask("/shared/own", as(name));
      expect(text).toContain(`for ${name}`);
      expect(cache).toBe("sluice; fwd=uri-miss; detail=authorization");
    }
    await ask("/shared/public", as("ada"));
    expect((await ask("/shared/public", as("bob"))).text).toContain("for ada");
    expect((await ask("/shared/public")).status).toBe(401);
  });
});

describe("with compress", () => {
  it("above it, stores one reply and each client gets the coding that it takes", async () => {
    const path = "/compressed/a";
    for (const encoding of ["gzip", "identity", "gzip", "identity"]) {
      const { bytes, headers } = await ask(path, { "accept-encoding": encoding });
      expect(headers["content-encoding"]).toBe(encoding === "gzip" ? "gzip" : undefined);
      expect(String(encoding === "gzip" ? gunzipSync(bytes) : bytes)).toContain(path);
    }
    expect(asked.get(path)).toBe(1);
  });

  it("below it, stores a reply for each coding, and gives nobody another", async () => {
    const path = "/compressing/a";
    for (const encoding of ["gzip", "identity", "gzip", "identity"]) {
      const { bytes, headers } = await ask(path, { "accept-encoding": encoding });
      expect(headers["content-encoding"]).toBe(encoding === "gzip" ? "gzip" : undefined);
      expect(String(encoding === "gzip" ? gunzipSync(bytes) : bytes)).toContain(path);
    }
    expect(asked.get(path)).toBe(2);
  });
});

it("between transforms, looks for the path they made, and what is below it is done once", async () => {
  const [first, again] = [await ask("/rewritten/a"), await ask("/rewritten/a")];
  for (const { text, headers } of [first, again]) {
    expect(text).toContain("/under/a ");
    expect(headers["x-added"]).toBe("yes, yes");
  }
  expect(again.cache).toMatch(/^sluice; hit/);
  expect(asked.get("/under/a")).toBe(1);
});

it("above retry, stores what the last attempt brought", async () => {
  const path = "/retried/a";
  answers.set(path, (request, response) => {
    if (asked.get(path)! > 2) return fresh(request, response);
    response.writeHead(503, { "cache-control": "max-age=60" }).end("not yet");
  });
  expect((await ask(path)).cache).toMatch(/^sluice; fwd=uri-miss; ttl=\d+; stored$/);
  expect((await ask(path)).cache).toMatch(/^sluice; hit/);
  expect(asked.get(path)).toBe(3);
});

it("above a breaker, uses what is stale while it is open, and stores no refusal", async () => {
  const control = { "cache-control": "max-age=0, stale-if-error=60", etag: '"1"' };
  answers.set("/broken/a", (_, response) => void response.writeHead(200, control).end("kept"));
  await ask("/broken/a");
  answers.set("/broken/a", (_, response) => void response.writeHead(500).end("failed"));
  for (let i = 0; i < 5; i++) {
    const { status, text, cache } = await ask("/broken/a");
    expect([status, text]).toEqual([200, "kept"]);
    expect(cache).toMatch(/^sluice; fwd=stale(; fwd-status=500)?; ttl=-?\d+; detail=stale-if-error$/);
  }
  expect(asked.get("/broken/a")).toBe(3);
  for (let i = 0; i < 2; i++) {
    const refused = await ask("/broken/b");
    expect(refused).toMatchObject({ status: 503, cache: "sluice; fwd=uri-miss" });
    expect(JSON.parse(refused.text)).toMatchObject({ code: "CIRCUIT_OPEN" });
  }
  expect(asked.get("/broken/b")).toBeUndefined();
});

it("below limit, counts with everything else; above it, what is stored does not count and refusals are not stored", async () => {
  const statuses = [];
  for (let i = 0; i < 4; i++) statuses.push((await ask("/above/a")).status);
  expect(statuses).toEqual([200, 200, 200, 429]);
  for (let i = 0; i < 4; i++) expect((await ask("/below/a")).status).toBe(200);
  for (let i = 0; i < 2; i++) expect((await ask("/below/b")).status).toBe(429);
  expect((await ask("/below/a")).cache).toMatch(/^sluice; hit/);
});

it("between scripts, runs the one above on each request and the one below on what is stored", async () => {
  const path = "/scripted/a";
  answers.set(path, (request, response) => {
    response.setHeader("vary", "x-kind");
    fresh(request, response);
  });
  const [first, again] = [await ask(path, { "x-kind": "a" }), await ask(path)];
  for (const { text } of [first, again]) expect(text).toContain(" as b");
  expect(again.cache).toMatch(/^sluice; hit/);
  expect(again.headers["x-inner"]).toBe(first.headers["x-inner"]);
  expect(again.headers["x-outer"]).not.toBe(first.headers["x-outer"]);
  expect(asked.get(path)).toBe(1);
});
