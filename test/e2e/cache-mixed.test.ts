/** All that clients may ask of a cache at the same time, over two gateways with two threads each and a store. */
import { get, type IncomingHttpHeaders, type RequestOptions } from "node:http";
import { expect, it } from "vitest";
import { type CachedGateway, caching, startCaches } from "../support/cached-gateways.ts";
import { startRedis } from "../support/redis.ts";
import { startUpstream } from "../support/upstream.ts";

const KINDS = ["a", "b", "c"];
/** Bytes of bodies by path: small, compressed in the store, above what is kept. */
const SIZES = [0, 1, 700, 5000, 70_000, 300_000];
const PATHS = SIZES.flatMap((size) => [`/${size}/x`, `/${size}/y`]);

function bodyOf(path: string, kind: string): string {
  const size = Number(path.split("/")[1]);
  return `${path} for ${kind} `.repeat(Math.ceil(size / 8)).slice(0, size);
}

interface Got {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
}

/** @returns undefined when the client went away on purpose */
function ask(
  gateway: CachedGateway,
  path: string,
  options: RequestOptions,
  leaves: boolean,
): Promise<Got | undefined> {
  return new Promise((resolve, reject) => {
    const request = get(new URL(path, gateway.cli.url), { agent: false, ...options }, (response) => {
      if (leaves) {
        request.destroy();
        return resolve(undefined);
      }
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode!, headers: response.headers, text }));
    });
    request.on("error", (error) => (leaves ? resolve(undefined) : reject(error)));
  });
}

const pick = <T>(from: readonly T[]): T => from[Math.floor(Math.random() * from.length)]!;

/** Sends a request of any kind. @returns what is wrong with the reply */
async function tryOne(gateway: CachedGateway): Promise<string | undefined> {
  const [path, kind] = [pick(PATHS), pick(KINDS)];
  const whole = bodyOf(path, kind);
  const etag = `"${path} ${kind}"`;
  const headers: Record<string, string> = { "x-kind": kind };
  const method = pick(["GET", "GET", "GET", "HEAD"]);
  const control = pick([
    undefined,
    undefined,
    undefined,
    "no-cache",
    "max-age=0",
    "no-store",
    "max-stale=60",
  ]);
  if (control !== undefined) headers["cache-control"] = control;
  const condition = pick([undefined, undefined, undefined, etag, '"other"']);
  if (condition !== undefined) headers["if-none-match"] = condition;
  const first = Math.floor(Math.random() * 2 * whole.length);
  const isRange = method === "GET" && Math.random() < 0.2;
  if (isRange) headers["range"] = `bytes=${first}-${first + 99}`;
  const got = await ask(gateway, path, { method, headers }, Math.random() < 0.05);
  if (got === undefined) return undefined;
  const { status, text } = got;
  const isRight = (): boolean => {
    if (got.headers["etag"] !== undefined && got.headers["etag"] !== etag) return false;
    switch (status) {
      case 200:
        return text === (method === "HEAD" ? "" : whole);
      case 206:
        return isRange && text === whole.slice(first, first + 100);
      case 304:
        return condition === etag && text === "";
      case 416:
        return isRange && first >= whole.length;
      default:
        return false;
    }
  };
  if (isRight()) return undefined;
  return `${method} ${path} ${JSON.stringify(headers)}: ${status} ${JSON.stringify(got.headers)} ${text.slice(0, 60)}`;
}

it("everybody gets what is right for them, whatever they and others ask, and whatever becomes of the store", async () => {
  await using upstream = await startUpstream((message, response) => {
    const { "x-kind": kind, "if-none-match": condition, range } = message.headers;
    const path = message.url!;
    const etag = `"${path} ${String(kind)}"`;
    const headers = { etag, vary: "x-kind", "cache-control": pick(["max-age=1", "no-cache", "max-age=60"]) };
    if (condition === etag) return void response.writeHead(304, headers).end();
    const body = bodyOf(path, String(kind));
    const [, first] = /^bytes=(\d+)-/.exec(range ?? "") ?? [];
    if (first === undefined || Number(first) >= body.length) {
      return void response.writeHead(200, headers).end(body);
    }
    const part = body.slice(Number(first), Number(first) + 100);
    const contentRange = `bytes ${first}-${Number(first) + part.length - 1}/${body.length}`;
    response.writeHead(206, { ...headers, "content-range": contentRange }).end(part);
  });
  await using redis = await startRedis();
  const stores = { shared: { type: "redis", url: redis.url, timeout: "500ms" } };
  const options = { store: "shared", maxBody: "100KB", memory: { max: "1MB" } };
  await using using = new AsyncDisposableStack();
  const gateways = await startCaches(2, caching(upstream.url, options, { stores, threads: 2 }));
  for (const gateway of gateways) using.use(gateway);
  const problems: string[] = [];
  let asked = 0;
  const client = async (gateway: CachedGateway): Promise<void> => {
    while (asked++ < 1500) {
      if (asked % 500 === 0) await redis.ask("flushall");
      const problem = await tryOne(gateway).catch((error: Error) => error.message);
      if (problem !== undefined) problems.push(problem);
    }
  };
  await Promise.all([...gateways, ...gateways, ...gateways, ...gateways].map(client));
  expect(problems).toEqual([]);
  for (const gateway of gateways) {
    for (const result of ["hit", "revalidated", "miss"]) {
      expect(await gateway.metric("requests_total", `result="${result}"`)).toBeGreaterThan(0);
    }
    expect(await gateway.metric("store_lookups_total", 'result="hit"')).toBeGreaterThan(0);
    expect(await gateway.metric("store_lookups_total", 'result="corrupt"')).toBe(0);
  }
});
