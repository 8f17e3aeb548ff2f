/** `stripPrefix` and `rewrite`: what goes upstream, and what clients cannot make of it. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { config, startGateway, type TestGateway } from "../support/gateway.ts";
import { get, openRaw, problemCode } from "../support/raw-http.ts";
import { startUpstream, type TestUpstream } from "../support/upstream.ts";

let upstream: TestUpstream;
let gateway: TestGateway;

beforeAll(async () => {
  upstream = await startUpstream();
  gateway = await startGateway(
    config({
      upstreams: { main: { targets: [upstream.url] }, based: { targets: [`${upstream.url}/base/`] } },
      routes: [
        { name: "strip", match: { path: "/api/*" }, stripPrefix: true, upstream: "main" },
        { name: "strip-text", match: { path: "/a/b/*" }, stripPrefix: "/a", upstream: "main" },
        { name: "param", match: { path: "/users/:id" }, rewrite: "/v2/people/{id}/x", upstream: "main" },
        { name: "rest", match: { path: "/files/*" }, rewrite: "/store/{*}", upstream: "main" },
        {
          name: "named",
          match: { path: { regex: "^/r/(?<id>[^/]+)$" } },
          rewrite: "/n/{id}",
          upstream: "main",
        },
        { name: "based", match: { path: "/based/*" }, stripPrefix: true, upstream: "based" },
      ],
    }),
  );
});

afterAll(async () => {
  await gateway.stop();
  await upstream.close();
});

it.each([
  ["/api/x/y?q=1", "/x/y?q=1"],
  ["/api", "/"],
  ["/api/", "/"],
  ["/api?q", "/?q"],
  ["/api/a%2Fb%20c", "/a%2Fb%20c"],
  ["/api//evil.test/x", "/evil.test/x"],
  ["/a/b/c", "/b/c"],
  ["/a/b", "/b"],
  ["/based", "/base/"],
  ["/based/x?y", "/base/x?y"],
  ["/users/42?q=1", "/v2/people/42/x?q=1"],
  ["/users/a%20b", "/v2/people/a%20b/x"],
  ["/users/%e2%82%ac", "/v2/people/%E2%82%AC/x"],
  ["/users/a%2Fb", "/v2/people/a%2Fb/x"],
  ["/users/a%3Fadmin=1", "/v2/people/a%3Fadmin%3D1/x"],
  ["/users/a%23b", "/v2/people/a%23b/x"],
  ["/users/a%5Cb", "/v2/people/a%5Cb/x"],
  ["/users/a%252e", "/v2/people/a%252e/x"],
  ["/users/%7Bid%7D", "/v2/people/%7Bid%7D/x"],
  ["/users/%0d%0aX:%20y", "/v2/people/%0D%0AX%3A%20y/x"],
  ["/files/a/b%2Fc//d?x", "/store/a/b%2Fc/d?x"],
  ["/files", "/store/"],
  ["/r/a%20b", "/n/a%20b"],
])("turns %s into %s", async (target, expected) => {
  await using client = await openRaw(gateway.port);
  expect((await client.ask(get(target))).status).toBe(200);
  expect(upstream.seen.at(-1)!.url).toBe(expected);
});

it("takes escapes in a parameter that are not UTF-8 as they are written", async () => {
  await using client = await openRaw(gateway.port);
  expect((await client.ask(get("/users/%ff"))).status).toBe(200);
  expect(upstream.seen.at(-1)!.url).toBe("/v2/people/%25ff/x");
});

it.each([
  "/users/%2e%2e",
  "/users/..%2Fadmin",
  "/users/%2e",
  "/files/a/%2e%2e/b",
  "/files/..%5Cb",
  "/api/..",
  "/r/%2e%2e",
])("refuses %s", async (target) => {
  const before = upstream.seen.length;
  await using client = await openRaw(gateway.port);
  expect(problemCode(await client.ask(get(target)))).toBe("REQUEST_TARGET_INVALID");
  expect(upstream.seen.length).toBe(before);
});
