import { beforeEach, describe, expect, it } from "vitest";
import { Admin } from "../../../core/admin/admin.ts";
import type { CacheQuestion, CacheReading } from "../../../core/cache-view.ts";
import type { Control } from "../../../core/control.ts";
import { ConfigError } from "../../../core/errors.ts";
import { bodyText, exchange, type RequestInit } from "../../support/harness.ts";

const READING: CacheReading = {
  route: "users",
  stage: "cache",
  memory: { entries: 2, bytes: 100, maxBytes: 1000, evict: "lru", evicted: {} },
  requests: { hit: 3, miss: 1 },
  refreshes: {},
  stored: 1,
  notStored: {},
  purges: {},
  store: null,
  warm: null,
};

let asked: [string, CacheQuestion][];
/** What threads answer. */
let answer: (question: CacheQuestion) => object[];

const control = {
  inspect: async (): Promise<Record<string, object>> => ({ "users:cache": READING, "b:cache": READING }),
  async ask(_collection: string, id: string, question: CacheQuestion): Promise<object[]> {
    if (id !== "users:cache" && id !== "b:cache") return [];
    asked.push([id, question]);
    return answer(question);
  },
};

async function read(target: string, request: RequestInit = {}): Promise<[number, unknown]> {
  const admin = new Admin({ address: "127.0.0.1:0", token: "" }, control as unknown as Control);
  const init = { authority: "127.0.0.1:9901" };
  const reply = await admin.handle(exchange({ target: `/admin/cache${target}`, ...request, init }));
  return [reply.status, JSON.parse(await bodyText(reply))];
}

const post = (target: string, body: object): Promise<[number, unknown]> =>
  read(target, { method: "POST", body: JSON.stringify(body) });

beforeEach(() => {
  asked = [];
  answer = ({ kind }) => [kind === "purge" ? { isSpread: true } : { thread: 0, entries: [], refusal: null }];
});

describe("the pages of caches", () => {
  it("list all, and give one", async () => {
    const shown = (id: string): object => ({ id, ...READING, hitRatio: 0.75 });
    expect(await read("")).toEqual([200, [shown("users:cache"), shown("b:cache")]]);
    expect(await read("/b%3Acache")).toEqual([200, shown("b:cache")]);
  });

  it("look up a URL or a key", async () => {
    const none = { stored: false, entries: [], lastRefusal: null, store: null };
    expect(await read("/users:cache/lookup?url=http%3A%2F%2Fa%2Fb%3Fc")).toEqual([200, none]);
    expect(await read("/users:cache/lookup?key=http%3A%2F%2Fa%0Ax%3Ab")).toEqual([200, none]);
    expect(asked).toEqual([
      ["users:cache", { kind: "lookup", by: "url", value: "http://a/b?c" }],
      ["users:cache", { kind: "lookup", by: "key", value: "http://a\nx:b" }],
    ]);
    for (const query of ["", "?path=a", "?url=a&key=b"]) {
      expect((await read(`/users:cache/lookup${query}`))[0]).toBe(400);
    }
  });

  it("purge one cache or all of them, with an id that all threads are told", async () => {
    const purge = { kind: "tag", value: "news", soft: true };
    expect(await post("/users:cache/purge", { tag: "news", soft: true })).toEqual([
      200,
      { purged: purge, caches: ["users:cache"], everywhere: true },
    ]);
    const done = { caches: ["users:cache", "b:cache"], everywhere: true };
    const everything = { kind: "all", value: "", soft: false };
    expect(await post("/purge", { all: true })).toEqual([200, { purged: everything, ...done }]);
    const [first, second, third] = asked;
    expect(first).toEqual(["users:cache", { kind: "purge", purge, id: expect.any(String) }]);
    expect(third![0]).toBe("b:cache");
    expect((second![1] as { id: string }).id).not.toBe((third![1] as { id: string }).id);
  });

  it("say when other gateways will hear of a purge only later", async () => {
    answer = () => [{ isSpread: true }, { isSpread: false }];
    expect(await post("/purge", { all: true })).toMatchObject([202, { everywhere: false }]);
  });

  it("begin to warm a cache, and stop", async () => {
    answer = () => [{ isBusy: false }, { isBusy: false }];
    const options = { urls: ["http://a/b"] };
    const all = { sitemaps: [], rate: "10/1s", concurrency: 4, headers: {} };
    const [status, shown] = await post("/users:cache/warm", options);
    expect([status, shown]).toMatchObject([200, { id: "users:cache", warm: null }]);
    expect((await read("/users:cache/warm", { method: "DELETE" }))[0]).toBe(200);
    expect(asked).toEqual([
      ["users:cache", { kind: "warm", options: { ...all, ...options } }],
      ["users:cache", { kind: "stop-warming" }],
    ]);
    const wrong = await post("/users:cache/warm", { url: "http://a/b", rate: "often" });
    expect(wrong).toMatchObject([422, { problems: [{ pointer: "/url" }, { pointer: "/rate" }] }]);
    expect(await post("/users:cache/warm", { rate: "1/1s" })).toMatchObject([422, { problems: [{}] }]);
    answer = () => [{ isBusy: true }, { isBusy: false }];
    expect((await post("/users:cache/warm", options))[0]).toBe(409);
    expect((await post("/other/warm", options))[0]).toBe(404);
    expect((await read("/other/warm", { method: "DELETE" }))[0]).toBe(404);
  });

  it.each([
    [{}, ""],
    [{ tag: "a", url: "b" }, ""],
    [{ soft: true }, ""],
    [{ all: false }, "/all"],
    [{ tag: "" }, "/tag"],
    [{ tags: ["a"] }, "/tags"],
  ])("refuse a purge that is not of one thing: %j", async (body, pointer) => {
    expect(await post("/purge", body)).toMatchObject([422, { problems: [{ pointer }] }]);
    expect(asked).toEqual([]);
  });

  it("give what is wrong with a URL, and name what there is where there is nothing", async () => {
    answer = () => {
      throw new ConfigError("It must be a URL", "/url");
    };
    expect(await post("/purge", { url: "a" })).toMatchObject([422, { problems: [{ pointer: "/url" }] }]);
    expect((await read("/users:cache/lookup?url=a"))[0]).toBe(422);
    const none = [404, { error: "there is none of this name", known: ["users:cache", "b:cache"] }];
    expect(await read("/other")).toEqual(none);
    expect(await read("/other/lookup?url=http://a/")).toEqual(none);
    expect(await post("/other/purge", { all: true })).toEqual(none);
    expect((await read("/purge", { method: "POST", body: "{" }))[0]).toBe(400);
  });
});
