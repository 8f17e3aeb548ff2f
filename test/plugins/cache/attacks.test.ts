/** What somebody who means harm tries with a cache, as far as it needs no sockets. */
import { describe, expect, it } from "vitest";
import type { Exchange, Handler, Plugin, Reply } from "../../../core/plugin.ts";
import { cache } from "../../../plugins/cache.ts";
import { coalesce } from "../../../plugins/coalesce.ts";
import { bodyText, buildStage, exchange, FakeHost, reply, type RequestInit } from "../../support/harness.ts";

type Answer = (x: Exchange) => Reply | Promise<Reply>;

/** A stage above an upstream that answers as a test decides. */
async function attacked<Options>(plugin: Plugin<Options>, options: Record<string, unknown>, answer: Answer) {
  const host = new FakeHost();
  const asked: Exchange[] = [];
  const upstream = { answer };
  const next: Handler = (x) => {
    asked.push(x);
    return upstream.answer(x);
  };
  const handler = await buildStage(plugin, options, next, host);
  const get = async (request: RequestInit = {}, consumer?: string) => {
    const x = exchange(request);
    if (consumer !== undefined) x.consumer = { name: consumer, roles: [] };
    const got = await handler(x);
    const text = await bodyText(got);
    x.end();
    return { text, code: got.status, status: got.headers.getAll("cache-status").at(-1) ?? "" };
  };
  return { host, asked, upstream, get };
}

/** A page that is made for whoever asks, by their cookie. */
const personal =
  (headers: Record<string, string>): Answer =>
  async (x) => {
    await new Promise((resolve) => setImmediate(resolve));
    return reply(200, headers, `for ${x.headers.get("cookie")}`);
  };

const by = (cookie: string, headers: Record<string, string> = {}): RequestInit => ({
  headers: { cookie, ...headers },
});

describe("a cache under attack", () => {
  it.each<Record<string, string>>([
    { etag: '"1"' },
    { etag: '"1"', "cache-control": "no-cache" },
    { etag: '"1"', "cache-control": "max-age=0" },
    { "last-modified": "Thu, 01 Jan 2099 00:00:00 GMT" },
  ])("gives a reply that is never fresh to nobody who waits for it or follows: %j", async (headers) => {
    const { get, host } = await attacked(
      cache,
      { staleIfError: "1h", staleWhileRevalidate: "1h" },
      personal(headers),
    );
    const names = ["ann", "bob", "cid"];
    for (let round = 0; round < 3; round++) {
      const got = await Promise.all(names.map((name) => get(by(name))));
      expect(got.map(({ text }) => text)).toEqual(names.map((name) => `for ${name}`));
      host.clock.advance(11_000);
    }
    expect((await get(by("eve", { "cache-control": "max-stale" }))).text).toBe("for eve");
    expect((await get(by("eve"))).text).toBe("for eve");
  });

  it("gives what one was told to be still right to others only if it is fresh", async () => {
    const { get, upstream } = await attacked(cache, {}, personal({ etag: '"ann"' }));
    await get(by("ann"));
    upstream.answer = async (x) => {
      const tag = `"${x.headers.get("cookie")}"`;
      await new Promise((resolve) => setImmediate(resolve));
      if (x.headers.get("if-none-match") === tag) return reply(304, { etag: tag });
      return reply(200, { etag: tag }, `for ${x.headers.get("cookie")}`);
    };
    const got = await Promise.all(["ann", "bob"].map((name) => get(by(name))));
    expect(got.map(({ text }) => text)).toEqual(["for ann", "for bob"]);
  });

  it("tells consumers apart by what is in the key only if they are known by it", async () => {
    const answer: Answer = (x) => reply(200, { "cache-control": "max-age=60" }, `for ${x.consumer?.name}`);
    const { get } = await attacked(cache, { key: { headers: ["authorization"] } }, answer);
    expect((await get({}, "ann")).text).toBe("for ann");
    expect((await get({}, "bob")).text).toBe("for bob");
  });

  it.each([
    [416, { range: "bytes=9-" }],
    [400, { range: "bytes=a" }],
    [404, { range: "bytes=0-1" }],
    [429, {}],
    [431, { "x-large": "1" }],
    [417, {}],
    [421, {}],
    [428, {}],
  ])("stores no %i that says how something was asked", async (status, headers) => {
    const { get, upstream } = await attacked(cache, { statuses: { "400-499": "1h" } }, () =>
      reply(status, { "cache-control": "max-age=60" }, "bad"),
    );
    expect((await get({ headers })).code).toBe(status);
    upstream.answer = () => reply(200, { "cache-control": "max-age=60" }, "good");
    expect((await get()).text).toBe("good");
  });

  it("stores nothing that varies by what the gateway makes of the client's address", async () => {
    for (const vary of ["X-Forwarded-For", "Accept, Forwarded"]) {
      const { get } = await attacked(cache, {}, () => reply(200, { "cache-control": "max-age=60", vary }));
      expect((await get()).status).toContain("detail=vary");
    }
  });

  it("does not let one request decide whether others wait for each other", async () => {
    for (const headers of [
      { authorization: "Basic eDp5" },
      { "cache-control": "no-store" },
      { range: "bytes=9-" },
    ] as Record<string, string>[]) {
      const { get, asked } = await attacked(cache, {}, async (x) => {
        await new Promise((resolve) => setImmediate(resolve));
        if (x.headers.has("range")) return reply(416, {});
        return reply(200, { "cache-control": "max-age=60" }, "text");
      });
      await get({ headers });
      expect(asked).toHaveLength(1);
      const all = await Promise.all([get(), get({ headers }), get(), get()]);
      expect(all.filter(({ status }) => status.includes("collapsed"))).toHaveLength(2);
    }
  });

  it("drops nothing because of a request in a way of its own", async () => {
    const headers = { "cache-control": "max-age=60", etag: '"1"' };
    for (const attack of [{ authorization: "Basic eDp5" }, {}] as Record<string, string>[]) {
      for (const method of ["GET", "HEAD"]) {
        const { get, upstream, asked } = await attacked(cache, {}, () => reply(200, headers, "text"));
        await get();
        upstream.answer = (x) =>
          x.headers.has("if-none-match")
            ? reply(304, headers)
            : reply(200, { ...headers, "content-length": "4" });
        await get({ method, headers: { "cache-control": "no-cache, no-store", ...attack } });
        expect(asked).toHaveLength(2);
        expect((await get()).status).toContain("hit");
      }
    }
  });

  it("validates what came at a time that is still to be, once the clock was set back", async () => {
    const headers = { "cache-control": "max-age=60" };
    const { get, asked, host } = await attacked(cache, {}, () => reply(200, headers, "text"));
    await get();
    const { now } = host.clock;
    host.clock.now = () => now.call(host.clock) - 3_600_000;
    expect((await get()).status).toContain("fwd=stale");
    expect((await get()).status).toContain("hit");
    expect(asked).toHaveLength(2);
  });

  it("takes a change from somebody who names no host that there is", async () => {
    const { get } = await attacked(cache, {}, () => reply(204));
    expect((await get({ method: "POST", init: { authority: "1.2.3.4.5" } })).code).toBe(204);
  });
});

describe("coalesce under attack", () => {
  it("gives what one has got who is known in whatever way to nobody else", async () => {
    for (const name of [
      "cookie",
      "authorization",
      "proxy-authorization",
      "x-api-key",
      "x-auth-token",
      "apikey",
      "x-session-id",
    ]) {
      for (const headers of [
        {},
        { etag: '"1"' },
        { "last-modified": "Thu, 01 Jan 1998 00:00:00 GMT" },
      ] as Record<string, string>[]) {
        const { get } = await attacked(coalesce, {}, async (x) => {
          await new Promise((resolve) => setImmediate(resolve));
          return reply(200, headers, `for ${x.headers.get(name)}`);
        });
        for (let round = 0; round < 2; round++) {
          const got = await Promise.all(["ann", "bob"].map((value) => get({ headers: { [name]: value } })));
          expect(got.map(({ text }) => text)).toEqual(["for ann", "for bob"]);
        }
      }
    }
  });
});
