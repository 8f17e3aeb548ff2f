/** HEAD and `only-if-cached` where other threads, or a store, have what is asked about. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Exchange, Reply } from "../../../core/plugin.ts";
import { reply } from "../../support/harness.ts";
import { type JoinedCache, JoinedCaches } from "../../support/joined-caches.ts";
import { startRedis } from "../../support/redis.ts";

let using: AsyncDisposableStack;
let caches: JoinedCaches;
/** What the upstream was asked, as `GET` or `HEAD`, and `GET "1"` when it was to validate. */
let asked: string[];
/** Of its replies. */
let headers: Record<string, string>;
let headStatus: number;
beforeEach(() => {
  using = new AsyncDisposableStack();
  caches = new JoinedCaches(using, upstream);
  asked = [];
  headers = { "cache-control": "max-age=1", etag: '"1"' };
  headStatus = 200;
});
afterEach(() => using.disposeAsync());

function upstream({ method, headers: sent }: Exchange): Reply {
  const condition = sent.get("if-none-match");
  asked.push(condition === undefined ? method : `${method} ${condition}`);
  if (method === "HEAD") return reply(headStatus, headers);
  return condition === headers["etag"] ? reply(304, headers) : reply(200, headers, "text");
}

const HEAD = { method: "HEAD" };
const ANEW = { method: "HEAD", headers: { "cache-control": "no-cache" } };

const KINDS = {
  threads: () => caches.openThreads(2),
  gateways: async () => caches.openGateways(2, using.use(await startRedis()).url),
};

describe.each(["threads", "gateways"] as const)("of two %s, one that has nothing", (kind) => {
  let one: JoinedCache;
  let other: JoinedCache;
  beforeEach(async () => {
    [one, other] = (await KINDS[kind]()) as [JoinedCache, JoinedCache];
    await one.get();
    // A store may still be on its way to have it.
    if (kind === "gateways") await expect.poll(() => stored(one)).toBe(1);
    asked = [];
  });

  it("answers HEAD with what the other has", async () => {
    expect(await other.get(HEAD)).toMatch(/^200 .*hit; ttl=1; detail=(thread|store)$/);
    expect(asked).toEqual([]);
  });

  it("answers `only-if-cached` with what the other has, and asks nobody when it has nothing", async () => {
    const only = { headers: { "cache-control": "only-if-cached" } };
    expect(await other.get(only)).toMatch(/^200 text .*hit; ttl=1/);
    caches.clock.advance(2000);
    await expect(other.get(only)).rejects.toMatchObject({ code: "NOT_CACHED" });
    await expect(other.get({ ...only, target: "/b" })).rejects.toMatchObject({ code: "NOT_CACHED" });
    expect(asked).toEqual([]);
  });

  it("keeps what the reply to HEAD says about it for both", async () => {
    caches.clock.advance(2000);
    expect(await other.get(HEAD)).toContain("fwd=stale");
    if (kind === "gateways") await expect.poll(() => stored(other)).toBe(1);
    for (const each of [other, one]) expect(await each.get()).toMatch(/^200 text .*hit; ttl=1/);
    expect(asked).toEqual(["HEAD"]);
  });

  it("has both validate it when the reply to HEAD is about something else", async () => {
    await other.get();
    headers["etag"] = '"2"';
    expect(await other.get(ANEW)).toContain("fwd=request");
    caches.clock.advance(1);
    await expect.poll(() => one.get()).toContain("fwd=stale");
    expect(asked).toEqual(["HEAD", 'GET "1"']);
    expect(await other.get()).toContain("hit; ttl=1");
    expect(asked).toHaveLength(2);
  });

  it.each([404, 410, 301])(
    "has both validate it when there is something else by HEAD: %i",
    async (status) => {
      await other.get();
      headStatus = status;
      await other.get(ANEW);
      await expect.poll(() => one.get()).toContain("fwd=stale; fwd-status=304");
    },
  );

  it.each([401, 405, 429, 503])("takes nothing from a reply that is about who asked: %i", async (status) => {
    await other.get();
    headStatus = status;
    await other.get(ANEW);
    for (const each of [other, one]) expect(await each.get()).toContain("hit; ttl=1");
    expect(asked).toEqual(["HEAD"]);
  });

  it("says that what the other has is stale", async () => {
    caches.clock.advance(2000);
    expect(await other.get()).toContain("fwd=stale; fwd-status=304; ttl=1; stored");
  });

  it("says that what the other has is for other requests", async () => {
    headers["vary"] = "accept";
    await one.get({ target: "/b", headers: { accept: "a" } });
    if (kind === "gateways") await expect.poll(() => stored(one)).toBe(2);
    const wanted = { target: "/b", headers: { accept: "b" } };
    expect(await other.get({ ...wanted, method: "HEAD" })).toContain(
      kind === "threads" ? "fwd=vary-miss" : "fwd=uri-miss",
    );
    expect(await other.get(wanted)).toContain("fwd=vary-miss; ttl=1; stored");
  });
});

/** Entries that a gateway has written to the store. */
function stored({ host }: JoinedCache): number {
  const written = Object.entries(host.collected("sluice_cache_store_writes_total"));
  return written.find(([labels]) => labels.includes("stored"))![1];
}
