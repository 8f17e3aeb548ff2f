import { describe, expect, it } from "vitest";
import { type Exchange, GatewayError, type Handler, type Reply } from "../../core/plugin.ts";
import { cache } from "../../plugins/cache.ts";
import { bodyText, buildStage, exchange, FakeHost, reply, type RequestInit } from "../support/harness.ts";

type Answer = (x: Exchange) => Reply | Promise<Reply>;

/** A cache above an upstream whose answers a test decides on. */
async function cached(options: object = {}, answer: Answer = fresh, host = new FakeHost()) {
  const asked: Exchange[] = [];
  const upstream = { answer };
  const next: Handler = (x) => {
    asked.push(x);
    return upstream.answer(x);
  };
  const handler = await buildStage(cache, { ...options }, next, host);
  const get = async (target = "/", request: RequestInit = {}) => {
    const x = exchange({ target, ...request });
    const got = await handler(x);
    const text = await bodyText(got);
    x.end();
    return { x, got, text, status: got.headers.getAll("cache-status").at(-1) };
  };
  return { host, asked, upstream, handler, get };
}

let serial = 0;
const fresh: Answer = () => reply(200, { "cache-control": "max-age=60" }, `body ${++serial}`);

/** Waits for everything that needs no time. */
const settled = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
};

describe("a cache", () => {
  it("answers again what the upstream has answered, with its age, until its time is over", async () => {
    const { get, asked, host } = await cached();
    const first = await get("/a?b=1");
    expect(first.status).toBe("sluice; fwd=uri-miss; ttl=60; stored");
    expect(first.got.headers.has("age")).toBe(false);
    host.clock.advance(20_500);
    const second = await get("/a?b=1");
    expect(second.text).toBe(first.text);
    expect(second.got.headers.get("age")).toBe("20");
    expect(second.status).toBe("sluice; hit; ttl=39");
    expect(asked).toHaveLength(1);
    host.clock.advance(40_000);
    const third = await get("/a?b=1");
    expect(third.status).toBe("sluice; fwd=stale; ttl=60; stored");
    expect(third.text).not.toBe(first.text);
  });

  it("answers HEAD from what is stored for GET", async () => {
    const { get, asked } = await cached();
    const { got } = await get("/");
    const head = await get("/", { method: "HEAD" });
    expect(head.got.headers.get("content-length")).toBe(got.headers.get("content-length"));
    expect(asked).toHaveLength(1);
  });

  it("asks whether what is stored is still right once its time is over", async () => {
    const { get, asked, upstream, host } = await cached({}, () =>
      reply(200, { "cache-control": "max-age=60", etag: '"1"' }, "text"),
    );
    await get();
    host.clock.advance(61_000);
    upstream.answer = (x) => {
      expect(x.headers.get("if-none-match")).toBe('"1"');
      return reply(304, { "cache-control": "max-age=60", etag: '"1"', "x-new": "yes" });
    };
    const again = await get();
    expect(again.text).toBe("text");
    expect(again.got.status).toBe(200);
    expect(again.got.headers.get("x-new")).toBe("yes");
    expect(again.status).toBe("sluice; fwd=stale; fwd-status=304; ttl=60; stored");
    expect((await get()).status).toBe("sluice; hit; ttl=60");
    expect(asked).toHaveLength(2);
  });

  it("gives the cookies that an upstream sets to the one who asked, and to nobody else", async () => {
    const said = { "cache-control": "max-age=60", etag: '"1"', "set-cookie": "a=1" };
    const { get, upstream, host } = await cached({}, () => reply(200, said, "text"));
    const cookies = async (headers = {}) => (await get("/", { headers })).got.headers.getAll("set-cookie");
    expect(await cookies()).toEqual(["a=1"]);
    expect(await cookies()).toEqual([]);
    host.clock.advance(61_000);
    upstream.answer = () => reply(304, { ...said, "set-cookie": "a=2" });
    expect(await cookies()).toEqual(["a=2"]);
    expect(await cookies()).toEqual([]);
    host.clock.advance(61_000);
    upstream.answer = () => reply(200, { ...said, "set-cookie": "a=3" }, "text");
    expect(await cookies({ "if-none-match": '"1"' })).toEqual(["a=3"]);
    expect(await cookies()).toEqual([]);
  });

  it("says why a reply is not stored", async () => {
    const { get, asked } = await cached({}, () =>
      reply(200, { "cache-control": "private, max-age=60" }, "mine"),
    );
    expect((await get()).status).toBe("sluice; fwd=uri-miss; detail=private");
    expect((await get()).status).toBe("sluice; fwd=uri-miss; detail=private");
    expect(asked).toHaveLength(2);
  });

  it("sends one of any number of requests that come at the same time", async () => {
    const gate = Promise.withResolvers<void>();
    const { get, asked } = await cached({}, async (x) => {
      await gate.promise;
      return fresh(x);
    });
    const all = Array.from({ length: 100 }, () => get());
    await settled();
    gate.resolve();
    const replies = await Promise.all(all);
    expect(asked).toHaveLength(1);
    expect(new Set(replies.map(({ text }) => text)).size).toBe(1);
    expect(replies[1]!.status).toBe("sluice; fwd=uri-miss; ttl=60; stored; collapsed");
  });

  it("gives failures to all who wait, and stores none", async () => {
    const gate = Promise.withResolvers<void>();
    const { get, asked, upstream } = await cached({}, async () => {
      await gate.promise;
      throw new GatewayError("UPSTREAM_RESET");
    });
    const all = Array.from({ length: 10 }, () => get());
    await settled();
    gate.resolve();
    const results = await Promise.allSettled(all);
    expect(
      results.every((result) => result.status === "rejected" && result.reason.code === "UPSTREAM_RESET"),
    ).toBe(true);
    expect(asked).toHaveLength(1);
    upstream.answer = fresh;
    expect((await get()).status).toContain("uri-miss");
  });

  it("lets all who wait go on at once when the reply is for one only, and has nobody wait for a while", async () => {
    const gate = Promise.withResolvers<void>();
    const { get, asked, upstream } = await cached({}, async () => {
      await gate.promise;
      return reply(200, { "cache-control": "no-store" }, "mine");
    });
    const first = get();
    const others = Array.from({ length: 9 }, () => get());
    await settled();
    expect(asked).toHaveLength(1);
    const second = Promise.withResolvers<void>();
    upstream.answer = async () => {
      await second.promise;
      return reply(200, { "cache-control": "no-store" }, "theirs");
    };
    gate.resolve();
    await first;
    await settled();
    expect(asked).toHaveLength(10);
    const late = get();
    await settled();
    expect(asked).toHaveLength(11);
    second.resolve();
    await Promise.all([...others, late]);
  });

  it("does not give what one consumer got to others", async () => {
    const { get, asked } = await cached();
    const consumer = { name: "a", roles: [] };
    const handlerGet = async (name: string) => {
      const x = exchange();
      x.consumer = { ...consumer, name };
      return x;
    };
    void handlerGet;
    await get("/", { headers: { authorization: "Bearer 1" } });
    expect((await get()).status).toContain("uri-miss");
    expect(asked).toHaveLength(2);
  });

  it("drops what is stored when an unsafe request changes it", async () => {
    const { get, asked } = await cached();
    await get("/a");
    await get("/a", { method: "POST", body: "x" });
    expect((await get("/a")).status).toContain("uri-miss");
    expect(asked).toHaveLength(3);
  });

  it("answers what may be used while it is refreshed, and refreshes it once", async () => {
    const { get, asked, host } = await cached({ staleWhileRevalidate: "30s" });
    const { text } = await get();
    host.clock.advance(70_000);
    const stale = await Promise.all([get(), get(), get()]);
    expect(stale.map((each) => each.text)).toEqual([text, text, text]);
    expect(stale[0]!.status).toBe("sluice; hit; ttl=-10; detail=stale-while-revalidate");
    await settled();
    expect(asked).toHaveLength(2);
    expect((await get()).status).toBe("sluice; hit; ttl=60");
  });

  it("uses what is stale when the upstream fails, if that is allowed", async () => {
    const { get, host, upstream } = await cached({ staleIfError: "1h" });
    const { text } = await get();
    host.clock.advance(70_000);
    upstream.answer = () => reply(503, {}, "down");
    expect(await get()).toMatchObject({
      text,
      status: "sluice; fwd=stale; fwd-status=503; ttl=-10; detail=stale-if-error",
    });
    upstream.answer = () => {
      throw new GatewayError("UPSTREAM_CONNECT_FAILED");
    };
    expect(await get()).toMatchObject({ text, status: "sluice; fwd=stale; ttl=-10; detail=stale-if-error" });
  });

  it("asks nobody for what the client wants only if it is stored", async () => {
    const { get, asked } = await cached();
    await expect(get("/", { headers: { "cache-control": "only-if-cached" } })).rejects.toMatchObject({
      code: "NOT_CACHED",
    });
    expect(asked).toHaveLength(0);
  });
});
