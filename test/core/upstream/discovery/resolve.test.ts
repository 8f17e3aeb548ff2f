import type dns from "node:dns/promises";
import { afterEach, describe, expect, it, vi } from "vitest";
import { findUnresolved } from "../../../../core/upstream/discovery/resolve.ts";

const lookup = vi.hoisted(() => vi.fn());
vi.mock("node:dns/promises", async (load) => ({ ...(await load<typeof dns>()), lookup }));

afterEach(() => {
  vi.useRealTimers();
  lookup.mockReset();
});

const fail = (code: string) => () =>
  Promise.reject(Object.assign(new Error(`getaddrinfo ${code}`), { code }));

describe("names of listed targets", () => {
  it("that do not resolve are told with their place and why, each name asked once", async () => {
    const failures: Record<string, () => Promise<never>> = {
      "a.invalid": fail("ENOTFOUND"),
      "b.invalid": fail("EAI_AGAIN"),
      "c.invalid": fail("EODD"),
    };
    lookup.mockImplementation((name: string) => failures[name]?.() ?? Promise.resolve({ family: 4 }));
    const urls = [
      "http://ok",
      "http://a.invalid:81/x",
      "HTTPS://b.invalid",
      "http://A.invalid",
      "http://c.invalid",
    ];
    expect(await findUnresolved(urls)).toEqual([
      { index: 1, reason: "a.invalid: the name does not exist (ENOTFOUND)" },
      { index: 2, reason: "b.invalid: no name server answers (EAI_AGAIN)" },
      { index: 3, reason: "a.invalid: the name does not exist (ENOTFOUND)" },
      { index: 4, reason: "c.invalid: EODD" },
    ]);
    expect(lookup).toHaveBeenCalledTimes(4);
  });

  it("are not looked for in addresses and sockets", async () => {
    const urls = [
      "http://10.0.0.1:80",
      "http://[2001:db8::1]:80/x",
      "unix:/run/a.sock",
      "unix:/run/b.sock:/base",
    ];
    expect(await findUnresolved(urls)).toEqual([]);
    expect(lookup).not.toHaveBeenCalled();
  });

  it("that nobody answers for are told after five seconds", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    lookup.mockImplementation((name: string) => (name === "ok" ? Promise.resolve() : new Promise(() => {})));
    const found = findUnresolved(["http://ok", "http://silent"]);
    await vi.advanceTimersByTimeAsync(5000);
    expect(await found).toEqual([{ index: 1, reason: "silent: there was no answer within 5 s" }]);
    expect(vi.getTimerCount()).toBe(0);
  });
});
