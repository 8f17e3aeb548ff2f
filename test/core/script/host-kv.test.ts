import { describe, expect, it } from "vitest";
import { GatewayError } from "../../../core/errors.ts";
import { FakeHost } from "../../support/harness.ts";
import { openFunction } from "../../support/scripts.ts";

const GRANTS = { kv: { store: "main", namespace: "dedup" } };

describe("ctx.kv", () => {
  it("sets, gets and deletes values", async () => {
    await using use = await openFunction(
      `async ({ kv }) => [
        await kv.get("a") === undefined, await kv.set("a", "1"), await kv.get("a"), await kv.set("a", "2", { ifAbsent: true }),
        await kv.get("a"), await kv.delete("a"), await kv.delete("a"), await kv.set("a", "3", { ifAbsent: true }), await kv.get("a"),
      ]`,
      { grants: GRANTS },
    );
    expect(await use()).toEqual([true, true, "1", false, "1", true, false, true, "3"]);
  });

  it("adds to numbers", async () => {
    await using use = await openFunction(
      'async ({ kv }) => [await kv.incr("n"), await kv.incr("n", 5), await kv.incr("n", -7), await kv.get("n")]',
      { grants: GRANTS },
    );
    expect(await use()).toEqual([1, 6, -1, "-1"]);
  });

  it("lets values go when their time is over", async () => {
    const host = new FakeHost();
    await using use = await openFunction(
      "async ({ kv }, req, verb, ...rest) => (await kv[verb](...rest)) ?? null",
      {
        grants: GRANTS,
        host,
      },
    );
    await use("set", "a", "1", { ttlMs: 100 });
    await use("incr", "n", 1, { ttlMs: 100 });
    await use("incr", "n", 1, { ttlMs: 1000 });
    host.clock.advance(99);
    expect([await use("get", "a"), await use("get", "n")]).toEqual(["1", "2"]);
    host.clock.advance(2);
    expect([await use("get", "a"), await use("get", "n")]).toEqual([null, null]);
  });

  it("keeps keys apart from those of other namespaces", async () => {
    const host = new FakeHost();
    const source = "async ({ kv }, req, value) => { await kv.set('k', value); return kv.get('k'); }";
    await using one = await openFunction(source, { host, grants: GRANTS });
    await using other = await openFunction(source, {
      host,
      grants: { kv: { store: "main", namespace: "b" } },
    });
    await one("1");
    await other("2");
    expect(await host.stores.get("main")!.get("dedup:k")).toBe("1");
    expect(await host.stores.get("main")!.get("b:k")).toBe("2");
  });

  it("says which grant is missing", async () => {
    await using use = await openFunction('({ kv }) => kv.get("a")');
    await expect(use()).rejects.toThrow("kv is not granted: add grants: { kv: true } to the stage");
  });

  it.each([
    ['get("")', "a key is a text, and not empty"],
    ['get("ä".repeat(257))', "a key can have 512 bytes"],
    ['set("a", "ä".repeat(32769))', "a value can have 65536 bytes"],
    ['set("a", "\\0".repeat(500000))', "a value can have 65536 bytes"],
    ['set("a", "1", { ttlMs: 0 })', "ttlMs is a whole number of milliseconds, at least 1"],
    ['set("a", "1", { ttlMs: 1.5 })', "ttlMs is a whole number of milliseconds, at least 1"],
    ['incr("a", 0.5)', "incr adds a whole number"],
    ['incr("a", 2 ** 53)', "incr adds a whole number"],
    ['set("a", "one").then(() => kv.incr("a"))', "the value is not a whole number"],
  ])("refuses %s", async (call, message) => {
    await using refused = await openFunction(`({ kv }) => kv.${call}`, { grants: GRANTS });
    await expect(refused()).rejects.toThrow(`kv failed: ${message}`);
  });

  it("says that the store cannot be reached", async () => {
    const host = new FakeHost();
    host.stores.get("main")!.get = () => Promise.reject(new GatewayError("STORE_UNAVAILABLE"));
    await using use = await openFunction('({ kv }) => kv.get("a")', { host, grants: GRANTS });
    await expect(use()).rejects.toThrow("kv failed: the store cannot be reached");
  });
});
