import { beforeEach, describe, expect, it } from "vitest";
import { Admin } from "../../../core/admin/admin.ts";
import type { Control } from "../../../core/control.ts";
import { GatewayError } from "../../../core/errors.ts";
import type { KeyReading, LimitQuestion, LimitReading } from "../../../core/limit-view.ts";
import { bodyText, exchange, type RequestInit } from "../../support/harness.ts";

const READING: LimitReading = {
  route: "users",
  stage: "limit",
  by: "ip",
  mode: "enforce",
  store: null,
  plans: [],
  requests: { allowed: 1 },
  topKeys: { keys: [{ key: "a", count: 3, error: 0, refused: 1 }], least: 0 },
  bans: [{ key: "a", forMs: 10 }],
};
const left = (remaining: number, bannedForMs = 0): KeyReading => ({
  key: "shown",
  bannedForMs,
  plans: [{ tier: null, rules: [{ name: "1m", remaining, resetMs: 5 }] }],
});

let reading: LimitReading;
let asked: LimitQuestion[];
/** What threads answer. */
let answer: (question: LimitQuestion) => object[];

const control = {
  inspect: async (): Promise<Record<string, object>> => ({ "users:limit": reading }),
  async ask(_collection: string, id: string, question: LimitQuestion): Promise<object[]> {
    if (id !== "users:limit") return [];
    asked.push(question);
    return answer(question);
  },
};

async function read(target: string, request: RequestInit = {}): Promise<[number, unknown]> {
  const admin = new Admin({ address: "127.0.0.1:0", token: "" }, control as unknown as Control);
  const init = { authority: "127.0.0.1:9901" };
  const reply = await admin.handle(exchange({ target: `/admin/limits${target}`, ...request, init }));
  return [reply.status, JSON.parse(await bodyText(reply))];
}

beforeEach(() => {
  reading = READING;
  asked = [];
  answer = () => [left(3), left(2)];
});

describe("the pages of limits", () => {
  it("list all without their keys, and give one with them", async () => {
    const { topKeys: _, bans, ...rest } = READING;
    const shown = { id: "users:limit", ...rest, banned: 1 };
    expect(await read("")).toEqual([200, [shown]]);
    const topKeys = [{ key: "a", requests: 3, error: 0, refused: 1 }];
    expect(await read("/users:limit")).toEqual([200, { ...shown, topKeys, bans }]);
    expect(await read("/users%3Alimit/bans")).toEqual([200, bans]);
  });

  it("say when bans are not known because the store is away", async () => {
    reading = { ...READING, bans: null };
    expect((await read("/users:limit/bans"))[0]).toBe(503);
    expect(await read("/users:limit")).toMatchObject([200, { bans: null, banned: null }]);
  });

  it("show what all threads leave a key, whatever is in it", async () => {
    for (const key of ["10.0.0.1", "2001:db8::/64", "a/b:c d%", "ключ"]) {
      expect(await read(`/users:limit/keys/${encodeURIComponent(key)}`)).toEqual([200, left(2)]);
      expect(asked.pop()).toEqual({ kind: "read", key });
    }
  });

  it("reset a key, ban it and lift its ban, and then show it", async () => {
    const look = { kind: "read", key: "a/b" };
    expect(await read("/users:limit/keys/a%2Fb", { method: "DELETE" })).toEqual([200, left(2)]);
    expect(asked.splice(0)).toEqual([{ kind: "reset", key: "a/b" }, look]);
    const body = '{"for":"10m"}';
    expect((await read("/users:limit/bans/a%2Fb", { method: "PUT", body }))[0]).toBe(200);
    expect(asked.splice(0)).toEqual([{ kind: "ban", key: "a/b", forMs: 600_000 }, look]);
    expect((await read("/users:limit/bans/a%2Fb", { method: "DELETE" }))[0]).toBe(200);
    expect(asked.splice(0)).toEqual([{ kind: "ban", key: "a/b", forMs: 0 }, look]);
  });

  it("name what there is where there is nothing", async () => {
    const none = [404, { error: "there is none of this name", known: ["users:limit"] }];
    for (const path of ["/other", "/other/bans", "/other/keys/a"]) expect(await read(path)).toEqual(none);
    const body = '{"for":"10m"}';
    expect(await read("/other/bans/a", { method: "PUT", body })).toEqual(none);
  });

  it.each([
    ["", 400, "the body must be JSON"],
    ["{}", 422, 'The key "for" is missing'],
    ['{"for":"ever"}', 422, "duration"],
    ['{"for":"0s"}', 422, "A ban lasts"],
    ['{"for":"366d"}', 422, "A ban lasts"],
    ['{"for":"1m","after":3}', 422, 'Unknown key "after"'],
    ['"10m"', 422, "map"],
  ])("refuse the ban %j", async (body, status, message) => {
    const reply = await read("/users:limit/bans/a", { method: "PUT", body });
    expect([reply[0], JSON.stringify(reply[1])]).toEqual([
      status,
      expect.stringContaining(JSON.stringify(message).slice(1, -1)),
    ]);
    expect(asked).toEqual([]);
  });

  it("pass on that the store is away", async () => {
    answer = () => {
      throw new GatewayError("STORE_UNAVAILABLE");
    };
    for (const method of ["GET", "DELETE"])
      await expect(read("/users:limit/keys/a", { method })).rejects.toMatchObject({ status: 503 });
  });
});
