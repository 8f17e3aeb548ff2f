import { beforeEach, describe, expect, it } from "vitest";
import { RemoteKeys } from "../../../core/jwt/remote-keys.ts";
import { FakeHost } from "../../support/harness.ts";

let host: FakeHost;
/** What the next fetch gives; a function that is called to end it when there is nothing. */
let answer: string | Error | undefined;
let fetches: number;
let finish: (text: string) => void;
let aborted: boolean;

beforeEach(() => {
  host = new FakeHost();
  answer = "1";
  fetches = 0;
  aborted = false;
});

interface Keys {
  readonly text: string;
}

function open(): RemoteKeys<Keys> {
  return new RemoteKeys<Keys>(
    {
      url: new URL("https://login.example.com/jwks"),
      refreshMs: 600_000,
      cooldownMs: 30_000,
      staleMs: 3_600_000,
      fetch(_, signal) {
        fetches++;
        signal.addEventListener("abort", () => {
          aborted = true;
        });
        if (answer instanceof Error) return Promise.reject(answer);
        if (answer !== undefined) return Promise.resolve(answer);
        return new Promise((resolve) => {
          finish = resolve;
        });
      },
      parse(text) {
        if (text === "wrong") throw new Error("it is not a JWK Set");
        return { text };
      },
    },
    host,
  );
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function opened(): Promise<RemoteKeys<Keys>> {
  const keys = open();
  await keys.renew();
  return keys;
}

describe("keys", () => {
  it("are fetched when they are asked for the first time", async () => {
    const keys = open();
    expect(fetches).toBe(0);
    expect(keys.current()).toBeUndefined();
    expect(keys.current()).toBeUndefined();
    await settled();
    expect(keys.current()).toEqual({ text: "1" });
    expect(fetches).toBe(1);
  });

  it("are fetched again when they are old, and count meanwhile", async () => {
    const keys = await opened();
    const first = keys.current();
    host.clock.advance(599_999);
    expect(keys.current()).toBe(first);
    expect(fetches).toBe(1);
    answer = "2";
    host.clock.advance(1);
    expect(keys.current()).toBe(first);
    await settled();
    expect(keys.current()).toEqual({ text: "2" });
    expect(fetches).toBe(2);
  });

  it("are the same object as long as nothing has changed", async () => {
    const keys = await opened();
    const first = keys.current();
    host.clock.advance(600_000);
    await keys.renew();
    expect(fetches).toBe(2);
    expect(keys.current()).toBe(first);
  });
});

describe("keys that are missing", () => {
  it("are fetched, but not too often", async () => {
    const keys = await opened();
    await keys.renew();
    host.clock.advance(29_999);
    await keys.renew();
    expect(fetches).toBe(1);
    host.clock.advance(1);
    answer = "2";
    await Promise.all([keys.renew(), keys.renew(), keys.renew()]);
    expect(fetches).toBe(2);
    expect(keys.current()).toEqual({ text: "2" });
  });

  it("are waited for by a bounded number", async () => {
    const keys = open();
    answer = undefined;
    let refused = 0;
    const waiting = Array.from({ length: 600 }, async () => {
      if (!(await keys.renew())) refused++;
    });
    await settled();
    expect(refused).toBe(100);
    finish("1");
    await Promise.all(waiting);
    expect(refused).toBe(100);
    expect(fetches).toBe(1);
  });
});

describe("while keys cannot be fetched", () => {
  it.each([
    ["down", new Error("ECONNREFUSED")],
    ["wrong", "wrong"],
  ])("the old ones go on, until they are stale (%s)", async (_, failure) => {
    const keys = await opened();
    answer = failure;
    host.clock.advance(600_000);
    await keys.renew();
    expect(keys.isFailing).toBe(true);
    expect(keys.current()).toEqual({ text: "1" });
    host.clock.advance(3_000_000 - 1);
    expect(keys.current()).toEqual({ text: "1" });
    await settled();
    host.clock.advance(1);
    expect(keys.current()).toBeUndefined();
    answer = "1";
    host.clock.advance(30_000);
    await keys.renew();
    expect(keys.isFailing).toBe(false);
    expect(keys.current()).toEqual({ text: "1" });
  });

  it("it is tried again after a while, logged and counted", async () => {
    answer = new Error("ECONNREFUSED");
    const keys = await opened();
    for (let i = 0; i < 10; i++) keys.current();
    await settled();
    expect(fetches).toBe(1);
    expect(host.log.lines).toEqual([
      {
        level: "warn",
        fields: { host: "login.example.com", why: "ECONNREFUSED" },
        message: "the keys of an issuer could not be fetched",
      },
    ]);
    host.clock.advance(30_000);
    answer = "1";
    await keys.renew();
    const name = "sluice_auth_jwks_fetches_total";
    expect(Object.fromEntries(host.counts)).toEqual({
      [`${name}{"host":"login.example.com","outcome":"failed"}`]: 1,
      [`${name}{"host":"login.example.com","outcome":"ok"}`]: 1,
    });
  });
});

it("ends what is under way when it is closed, and says nothing of it", async () => {
  const keys = open();
  answer = undefined;
  keys.current();
  keys.close();
  expect(aborted).toBe(true);
  finish("wrong");
  await settled();
  expect(host.log.lines).toEqual([]);
  host.clock.advance(1e9);
  await keys.renew();
  expect(fetches).toBe(1);
});
