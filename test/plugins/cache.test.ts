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
  const get = async (target = "/", request: RequestInit = {}, consumer?: string) => {
    const x = exchange({ target, ...request });
    if (consumer !== undefined) x.consumer = { name: consumer, roles: [] };
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

  it("gives replies to those who are known to nobody else, unless they say so or the key tells them apart", async () => {
    const { get, asked } = await cached();
    const headers = { authorization: "Bearer 1" };
    expect((await get("/", { headers })).status).toContain("detail=authorization");
    expect((await get("/", {}, "a")).status).toContain("detail=authorization");
    expect((await get()).status).toContain("stored");
    expect((await get("/", {}, "a")).status).toContain("hit");
    expect(asked).toHaveLength(3);
    const apart = await cached({ key: { consumer: true } });
    await apart.get("/", { headers }, "a");
    expect((await apart.get("/", {}, "a")).status).toContain("hit");
    expect((await apart.get("/", {}, "b")).status).toContain("uri-miss");
    expect((await apart.get("/", { headers })).status).toContain("detail=authorization");
  });

  it.each([
    ["x-forwarded-host", { headers: { "x-forwarded-host": "evil.example" } }],
    ["another method in a header", { headers: { "x-http-method-override": "POST" } }],
    ["a body", { body: "evil" }],
    ["another host", { init: { authority: "evil.example" } }],
  ])("keeps what is made of a request with %s from all others", async (_what, request) => {
    const { get } = await cached({}, (x) =>
      reply(200, { "cache-control": "max-age=60" }, x.headers.get("x-forwarded-host") ?? x.authority),
    );
    await get("/", request);
    expect(await get()).toMatchObject({ text: "localhost", status: "sluice; fwd=uri-miss; ttl=60; stored" });
  });

  it("does not store what a change has overtaken", async () => {
    const gate = Promise.withResolvers<void>();
    const { get, upstream } = await cached({}, async (x) => {
      await gate.promise;
      return fresh(x);
    });
    const old = get("/a");
    await settled();
    upstream.answer = () => reply(204);
    await get("/a", { method: "PUT", body: "new" });
    gate.resolve();
    await old;
    upstream.answer = fresh;
    expect((await get("/a")).status).toContain("uri-miss");
  });

  it("leaves what is stored alone when a change was refused", async () => {
    const { get, upstream } = await cached();
    await get("/a");
    upstream.answer = () => reply(403);
    await get("/a", { method: "DELETE" });
    expect((await get("/a")).status).toContain("hit");
  });

  it("goes on for the others when the client goes away whose request was sent, and stores in any case", async () => {
    const gate = Promise.withResolvers<void>();
    const { handler, get, asked } = await cached({}, async (x) => {
      await gate.promise;
      return fresh(x);
    });
    const x = exchange();
    const gone = Promise.resolve(handler(x));
    await settled();
    x.abort(new GatewayError("CLIENT_CLOSED"));
    await expect(gone).rejects.toMatchObject({ code: "CLIENT_CLOSED" });
    x.end();
    expect(asked[0]!.aborted).toBeUndefined();
    gate.resolve();
    await settled();
    expect((await get()).status).toContain("hit");
  });

  it("gives up what cannot be stored with the client", async () => {
    const never = new Promise<Reply>(() => {});
    const { handler, get, asked, upstream } = await cached({}, () =>
      reply(200, { "cache-control": "private" }),
    );
    await get(); // from now on nobody waits for it
    upstream.answer = () => never;
    const x = exchange();
    void Promise.resolve(handler(x)).catch(() => {});
    await settled();
    x.abort(new GatewayError("CLIENT_CLOSED"));
    expect(asked[1]!.aborted).toMatchObject({ code: "CLIENT_CLOSED" });
  });

  it("holds the generation as long as something is fetched for it", async () => {
    const gate = Promise.withResolvers<void>();
    const { handler } = await cached({}, async (x) => {
      await gate.promise;
      return fresh(x);
    });
    const owner = { held: 1, hold: () => void owner.held++, end: () => void owner.held-- };
    const x = exchange();
    x.owner = owner;
    const got = Promise.resolve(handler(x));
    await settled();
    expect(owner.held).toBe(2);
    gate.resolve();
    await bodyText(await got);
    x.end();
    await settled();
    expect(owner.held).toBe(0);
  });

  it("tells the exchange what became known of it", async () => {
    const { get } = await cached({}, (x) => {
      x.upstream = "users";
      x.attempts = 2;
      x.upstreamMs = 7;
      return fresh(x);
    });
    expect((await get()).x).toMatchObject({ upstream: "users", attempts: 2, upstreamMs: 7 });
    expect((await get()).x).toMatchObject({ upstream: "", attempts: 0, upstreamMs: -1 });
  });

  it("answers conditions and ranges from what is stored", async () => {
    const { get, asked } = await cached({}, () =>
      reply(200, { "cache-control": "max-age=60", etag: '"1"' }, "0123456789"),
    );
    expect((await get("/", { headers: { "if-none-match": '"1"' } })).got.status).toBe(304);
    expect(asked[0]!.headers.has("if-none-match")).toBe(false);
    await settled();
    const part = await get("/", { headers: { range: "bytes=2-4" } });
    expect([part.got.status, part.text, part.got.headers.get("content-range")]).toEqual([
      206,
      "234",
      "bytes 2-4/10",
    ]);
    expect((await get("/", { headers: { range: "bytes=20-" } })).got.status).toBe(416);
    expect(asked).toHaveLength(1);
  });

  it("answers conditions also of what is not stored", async () => {
    const { get } = await cached({}, () => reply(200, { "cache-control": "private", etag: '"1"' }, "text"));
    expect((await get("/", { headers: { "if-none-match": '"1"' } })).got.status).toBe(304);
  });

  it("keeps the replies to each value of the fields of Vary, and asks once for each", async () => {
    const { get, asked } = await cached({}, (x) =>
      reply(200, { "cache-control": "max-age=60", vary: "accept" }, x.headers.get("accept") ?? "none"),
    );
    const accepts = ["a", "b", "a", "b"].map((accept) => ({ headers: { accept } }));
    const replies = await Promise.all(accepts.map((request) => get("/", request)));
    expect(replies.map(({ text }) => text)).toEqual(["a", "b", "a", "b"]);
    expect(asked).toHaveLength(2);
    expect((await get("/", { headers: { accept: "c" } })).status).toContain("fwd=vary-miss");
  });

  it("caches POST by its body where it is told to", async () => {
    const { get, asked } = await cached({ methods: ["POST"], ttl: "1m" }, (x) =>
      reply(200, {}, x.headers.get("content-type") ?? "none"),
    );
    const post = (body: string) => get("/", { method: "POST", body, headers: { "content-type": body } });
    await post("a");
    expect((await post("a")).status).toContain("hit");
    expect((await post("b")).text).toBe("b");
    expect((await get("/", { method: "POST", body: "x".repeat(70_000) })).status).toBe(
      "sluice; fwd=bypass; detail=body",
    );
    expect(asked).toHaveLength(3);
  });

  it("has nothing to do with requests that are to go past it", async () => {
    const { get, asked } = await cached({ bypass: [{ header: { "x-preview": true } }] });
    await get();
    expect((await get("/", { headers: { "x-preview": "1" } })).status).toBe("sluice; fwd=bypass");
    expect(asked).toHaveLength(2);
  });

  it("may be told not to let clients demand that the upstream is asked", async () => {
    const noCache = { headers: { "cache-control": "no-cache" } };
    const obeying = await cached();
    await obeying.get();
    expect((await obeying.get("/", noCache)).status).toContain("fwd=request");
    const deaf = await cached({ requestDirectives: "ignore" });
    await deaf.get();
    expect((await deaf.get("/", noCache)).status).toContain("hit");
  });

  it("refreshes what is used before its time is over, the likelier the nearer the end", async () => {
    const { get, asked, host } = await cached({ earlyRefresh: 1 }, async (x) => {
      host.clock.advance(1000); // it takes a second
      return fresh(x);
    });
    await get();
    host.clock.advance(50_000);
    host.randoms.push(0.5);
    await get();
    await settled();
    expect(asked).toHaveLength(1);
    host.randoms.push(1 - 1e-9);
    expect((await get()).status).toContain("hit");
    await settled();
    expect(asked).toHaveLength(2);
  });

  it("drops what is stored when an unsafe request changes it", async () => {
    const { get, asked } = await cached();
    await get("/a");
    await get("/a", { method: "POST", body: "x" });
    expect((await get("/a")).status).toContain("uri-miss");
    expect(asked).toHaveLength(3);
  });

  it("drops all that is stored for the URL, whatever else tells it apart, and what is under way", async () => {
    const gate = Promise.withResolvers<void>();
    const { get, asked, upstream } = await cached({ key: { headers: ["x-a"], cookies: ["b"] } });
    const all = [{}, { "x-a": "1" }, { cookie: "b=2" }, { "x-forwarded-host": "c" }];
    for (const headers of all) await get("/a", { headers });
    await get("/b");
    const { answer } = upstream;
    upstream.answer = async (x) => {
      await gate.promise;
      return fresh(x);
    };
    const late = get("/a", { headers: { "x-a": "late" } });
    await settled();
    upstream.answer = answer;
    await get("/a", { method: "PUT", body: "x", headers: { "x-a": "3" } });
    gate.resolve();
    await late;
    asked.length = 0;
    for (const headers of [...all, { "x-a": "late" }]) await get("/a", { headers });
    expect(asked).toHaveLength(5);
    expect((await get("/b")).status).toContain("hit");
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

  it("does not try to refresh at once again what could not be", async () => {
    const { get, asked, host, upstream } = await cached({ staleWhileRevalidate: "1h" });
    const { text } = await get();
    host.clock.advance(70_000);
    for (const failure of [() => reply(500), () => Promise.reject(new GatewayError("UPSTREAM_RESET"))]) {
      upstream.answer = failure;
      const before = asked.length;
      for (let i = 0; i < 5; i++) {
        expect((await get()).text).toBe(text);
        await settled();
      }
      expect(asked).toHaveLength(before + 1);
      host.clock.advance(1000);
    }
    expect(host.collected("sluice_cache_refreshes_total")).toMatchObject({
      '{"route":"test","stage":"stage","result":"failed"}': 2,
    });
    expect(host.log.lines.map(({ message }) => message)).toEqual([
      "a stored response could not be refreshed",
      "a stored response could not be refreshed",
    ]);
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

  it("refuses to warm what is no URL, and a strategy for a store that it has not", async () => {
    const warm = { urls: ["https://a.example/1", "/2"], sitemaps: ["sitemap.xml"] };
    const message = "It must be a URL such as https://example.com/a";
    await expect(cached({ warm, strategy: "write-behind" })).rejects.toMatchObject({
      problems: [
        {
          code: "CONFIG_VALUE",
          message: "It says when the `store` gets what was fetched, and there is no `store`",
          pointer: "/strategy",
        },
        { code: "CONFIG_VALUE", message, pointer: "/warm/urls/1" },
        { code: "CONFIG_VALUE", message, pointer: "/warm/sitemaps/0" },
      ],
    });
    await cached({ warm: { urls: ["/2"] }, key: { host: false } });
  });
});
