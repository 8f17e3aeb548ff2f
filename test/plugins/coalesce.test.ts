import { describe, expect, it } from "vitest";
import { type Producer, QueuedBody } from "../../core/body.ts";
import { type Exchange, GatewayError, HeaderList, Reply } from "../../core/plugin.ts";
import { coalesce } from "../../plugins/coalesce.ts";
import { bodyText, buildStage, exchange, FakeHost, reply, type RequestInit } from "../support/harness.ts";

/** Waits for everything that needs no time. */
const settled = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
};

/** A stage above an upstream that answers when the test says so, each request with what `answer` gives. */
async function coalesced(
  options: Record<string, unknown> = {},
  answer: (n: number) => Reply = (n) => reply(200, {}, `reply ${n}`),
) {
  const asked: Exchange[] = [];
  let gate = Promise.withResolvers<void>();
  const host = new FakeHost();
  const handler = await buildStage(
    coalesce,
    options,
    async (x) => {
      const n = asked.push(x);
      await gate.promise;
      return answer(n);
    },
    host,
  );
  const get = (request: RequestInit = {}, consumer?: string) => {
    const x = exchange(request);
    if (consumer !== undefined) x.consumer = { name: consumer, roles: [] };
    const text = (async () => bodyText(await handler(x)))().finally(() => x.end());
    return { x, text };
  };
  const release = (): void => {
    gate.resolve();
    gate = Promise.withResolvers<void>();
  };
  /** Sends requests at the same time; gives their bodies. */
  const all = async (...requests: (RequestInit & { by?: string })[]): Promise<string[]> => {
    const texts = requests.map(({ by, ...request }) => get(request, by).text);
    await settled();
    for (let i = 0; i < 5; i++) {
      release();
      await settled();
    }
    return Promise.all(texts);
  };
  return { host, asked, handler, get, release, all };
}

describe("coalesce", () => {
  it("sends one of the same requests and gives its reply to all, and asks anew later", async () => {
    const { all, asked, host } = await coalesced();
    expect(await all({}, {}, {})).toEqual(["reply 1", "reply 1", "reply 1"]);
    expect(await all({})).toEqual(["reply 2"]);
    expect(asked).toHaveLength(2);
    expect(Object.values(host.collected("sluice_coalesce_requests_total"))).toEqual([2, 2, 0]);
  });

  it("says which replies were those to others", async () => {
    const { handler, release } = await coalesced();
    const replies = [handler(exchange()), handler(exchange())];
    await settled();
    release();
    const lines = (await Promise.all(replies)).map(({ headers }) => headers.get("cache-status"));
    expect(lines).toEqual([undefined, "sluice; fwd=uri-miss; collapsed"]);
  });

  it.each([
    ["paths", { target: "/a" }, { target: "/b" }],
    ["queries", { target: "/?a=1" }, { target: "/?a=2" }],
    ["methods", {}, { method: "HEAD" }],
    ["hosts", {}, { init: { authority: "other.example" } }],
    ["Authorization", { headers: { authorization: "a" } }, { headers: { authorization: "b" } }],
    ["Authorization and none", {}, { headers: { authorization: "b" } }],
    ["cookies", { headers: { cookie: "a=1" } }, { headers: { cookie: "a=2" } }],
    [
      "users, as a proxy says",
      { headers: { "x-forwarded-user": "a" } },
      { headers: { "x-forwarded-user": "b" } },
    ],
    [
      "keys",
      { headers: { "ocp-apim-subscription-key": "a" } },
      { headers: { "ocp-apim-subscription-key": "b" } },
    ],
    ["consumers", { by: "a" }, { by: "b" }],
    ["conditions", { headers: { "if-none-match": '"1"' } }, { headers: { "if-none-match": '"2"' } }],
    ["hosts that they are forwarded for", {}, { headers: { "x-forwarded-host": "evil.example" } }],
    ["ranges", { headers: { range: "bytes=0-1" } }, { headers: { range: "bytes=0-1" } }],
    ["bodies", { body: "x" }, { body: "x" }],
    ["unsafe methods", { method: "POST" }, { method: "POST" }],
  ])("does not take requests with different %s for the same", async (_what, one, other) => {
    const { all, asked } = await coalesced();
    await all(one, other);
    expect(asked).toHaveLength(2);
  });

  it.each([
    ["sets a cookie", { "set-cookie": "a=1" }],
    ["says no-store", { "cache-control": "no-store" }],
    ["says private, to nobody in particular", { "cache-control": "private" }],
    ["says Vary: *", { vary: "*" }],
  ])("gives nobody else a reply that %s, and has nobody wait for the next", async (_what, headers) => {
    const { get, asked, release } = await coalesced({}, (n) => reply(200, headers, `reply ${n}`));
    const texts = [get(), get(), get()].map(({ text }) => text);
    await settled();
    expect(asked).toHaveLength(1);
    release();
    await settled();
    expect(asked).toHaveLength(3);
    texts.push(get().text);
    await settled();
    expect(asked).toHaveLength(4);
    release();
    expect(await Promise.all(texts)).toEqual(["reply 1", "reply 2", "reply 3", "reply 4"]);
  });

  it("gives a private reply to those with the same credentials", async () => {
    const { all } = await coalesced({}, (n) => reply(200, { "cache-control": "private" }, `reply ${n}`));
    const headers = { authorization: "a" };
    expect(await all({ headers }, { headers })).toEqual(["reply 1", "reply 1"]);
  });

  it.each(["user-agent", "sec-fetch-user", "x-user"])(
    "takes %s for no credential that nobody else has",
    async (name) => {
      const { all, asked } = await coalesced({}, (n) =>
        reply(200, { "cache-control": "private" }, `reply ${n}`),
      );
      const headers = { [name]: "a" };
      await all({ headers }, { headers });
      expect(asked).toHaveLength(2);
    },
  );

  it("takes requests of different browsers for the same", async () => {
    const { all } = await coalesced({}, (n) => reply(200, {}, `reply ${n}`));
    const asked = [
      { headers: { "user-agent": "a", "sec-fetch-user": "?1" } },
      { headers: { "user-agent": "b" } },
    ];
    expect(await all(...asked)).toEqual(["reply 1", "reply 1"]);
  });

  it("tells credentials apart no longer where a reply was for all, until one is not", async () => {
    let cacheControl = "public, max-age=60";
    const { all, asked } = await coalesced({}, (n) =>
      reply(200, { "cache-control": cacheControl }, `reply ${n}`),
    );
    const [a, b] = [{ headers: { cookie: "a" } }, { headers: { cookie: "b" } }];
    await all(a, b);
    expect(asked).toHaveLength(2);
    expect(await all(a, b)).toEqual(["reply 3", "reply 3"]);
    cacheControl = "private";
    expect(await all(a, b)).toEqual(["reply 4", "reply 5"]);
  });

  it("gives a reply to those only who have the same in the fields of Vary", async () => {
    const { all, asked } = await coalesced({}, (n) => reply(200, { vary: "accept" }, `reply ${n}`));
    const [a, b] = [{ headers: { accept: "a" } }, { headers: { accept: "b" } }];
    expect(await all(a, b, a, b)).toEqual(["reply 1", "reply 2", "reply 1", "reply 2"]);
    expect(asked).toHaveLength(2);
  });

  it("streams the body to all as it comes, and sends those who come too late themselves", async () => {
    const idle: Producer = { pause() {}, resume() {}, abort() {} };
    const body = new QueuedBody(idle, undefined);
    const { get, asked, release } = await coalesced({}, (n) =>
      n === 1 ? new Reply(200, new HeaderList(), body) : reply(200, {}, "late"),
    );
    const texts = [get(), get()].map(({ text }) => text);
    await settled();
    release();
    await settled();
    body.push(Buffer.from("one "));
    const late = get();
    await settled();
    body.push(Buffer.from("two"));
    body.finish();
    expect(await Promise.all(texts)).toEqual(["one two", "one two"]);
    expect(asked).toHaveLength(2);
    release();
    expect(await late.text).toBe("late");
  });

  it("goes on for the others when the client goes away whose request was sent, and ends when nobody is left", async () => {
    const { get, asked, release } = await coalesced();
    const [first, second, third] = [get(), get(), get()];
    await settled();
    first.x.abort(new GatewayError("CLIENT_CLOSED"));
    await expect(first.text).rejects.toThrow();
    second.x.abort(new GatewayError("CLIENT_CLOSED"));
    await expect(second.text).rejects.toThrow();
    expect(asked[0]!.aborted).toBeUndefined();
    release();
    expect(await third.text).toBe("reply 1");
    const alone = get();
    await settled();
    alone.x.abort(new GatewayError("CLIENT_CLOSED"));
    await expect(alone.text).rejects.toThrow();
    expect(asked[1]!.aborted).toMatchObject({ code: "CLIENT_CLOSED" });
    release();
  });

  it.each([
    ["UPSTREAM_CONNECT_FAILED", 1],
    ["RATE_LIMITED", 3],
  ] as const)("gives %s to all who wait if it is not about one of them", async (code, requests) => {
    const { get, asked, release } = await coalesced({}, () => {
      throw new GatewayError(code);
    });
    const texts = [get(), get(), get()].map(({ text }) => text);
    const results = Promise.allSettled(texts);
    await settled();
    release();
    await settled();
    release();
    for (const result of await results) expect(result).toMatchObject({ reason: { code } });
    expect(asked).toHaveLength(requests);
  });

  it("sends a request that has waited for too long, or when too many wait", async () => {
    const { get, asked, release } = await coalesced({ wait: "20ms", waiting: 1 });
    const texts = [get(), get(), get()].map(({ text }) => text);
    await settled();
    expect(asked).toHaveLength(2); // the first and the third
    while (asked.length < 3) await settled();
    release();
    expect(await Promise.all(texts)).toEqual(["reply 1", "reply 3", "reply 2"]);
  });
});
