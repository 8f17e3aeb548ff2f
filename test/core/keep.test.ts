import { describe, expect, it } from "vitest";
import { KeepStore, keyOf } from "../../core/keep.ts";

/** A value that says when it is closed. */
function closable() {
  const value = { closed: 0, close: () => void value.closed++ };
  return value;
}

describe("what is kept", () => {
  it("is made once, and shared by generations that use it", () => {
    const store = new KeepStore();
    const [a, b] = [store.lease(), store.lease()];
    const value = a.keep("k", () => ({ n: 1 }));
    expect(a.keep("k", () => ({ n: 2 }))).toBe(value);
    expect(b.keep("k", () => ({ n: 3 }))).toBe(value);
    expect(b.keep("other", () => ({ n: 4 }))).toEqual({ n: 4 });
    expect(store.keys()).toEqual(["k", "other"]);
  });

  it("is closed when the last generation that used it ends", async () => {
    const store = new KeepStore();
    const [a, b] = [store.lease(), store.lease()];
    const value = closable();
    for (const lease of [a, a, b]) lease.keep("k", () => value);
    await a.release();
    expect([value.closed, store.keys()]).toEqual([0, ["k"]]);
    await b.release();
    expect([value.closed, store.keys()]).toEqual([1, []]);
  });

  it("is let go of once by each generation", async () => {
    const store = new KeepStore();
    const [a, b] = [store.lease(), store.lease()];
    const value = closable();
    a.keep("k", () => value);
    b.keep("k", () => value);
    await a.release();
    await a.release();
    expect(value.closed).toBe(0);
  });

  it("is made anew after it was closed", async () => {
    const store = new KeepStore();
    const [first, second] = [closable(), closable()];
    const a = store.lease();
    a.keep("k", () => first);
    await a.release();
    expect(store.lease().keep("k", () => second)).toBe(second);
  });

  it("waits for what takes time to close, and needs nothing to close", async () => {
    const store = new KeepStore();
    const lease = store.lease();
    const gate = Promise.withResolvers<void>();
    lease.keep("slow", () => ({ close: () => gate.promise }));
    lease.keep("plain", () => ({}));
    let released = false;
    const releasing = lease.release().then(() => (released = true));
    await Promise.resolve();
    expect(released).toBe(false);
    gate.resolve();
    await releasing;
  });

  it("is not kept when making it fails", () => {
    const store = new KeepStore();
    const lease = store.lease();
    const fail = (): object => {
      throw new Error("no");
    };
    expect(() => lease.keep("k", fail)).toThrow("no");
    expect(store.keys()).toEqual([]);
    expect(lease.keep("k", () => ({ n: 1 }))).toEqual({ n: 1 });
  });
});

describe("a key made of options", () => {
  it("is the same for the same options only, and does not hold them", () => {
    const key = keyOf("tls", { key: "secret" });
    expect(keyOf("tls", { key: "secret" })).toBe(key);
    expect(keyOf("tls", { key: "other" })).not.toBe(key);
    expect(keyOf("pool", { key: "secret" })).not.toBe(key);
    expect(key).toMatch(/^tls [\w-]{43}$/);
  });
});
