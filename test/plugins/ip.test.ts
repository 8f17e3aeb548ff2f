import { describe, expect, it } from "vitest";
import { loadConfigObject } from "../../core/config/load.ts";
import { catalogue } from "../../plugins/index.ts";
import { ip } from "../../plugins/ip.ts";
import { config } from "../support/gateway.ts";
import { bodyText, buildStage, exchange } from "../support/harness.ts";

const from = (clientAddress: string) => exchange({ init: { clientAddress } });

async function passes(options: Record<string, unknown>, address: string): Promise<boolean> {
  const handler = await buildStage(ip, options);
  try {
    return (await bodyText(await handler(from(address)))) === "upstream";
  } catch (error) {
    expect(error).toMatchObject({ code: "IP_DENIED", status: 403 });
    return false;
  }
}

describe("the allow list", () => {
  it.each([
    ["192.0.2.1", "192.0.2.1", true],
    ["192.0.2.1", "192.0.2.2", false],
    ["10.0.0.0/8", "10.255.0.1", true],
    ["10.0.0.0/8", "11.0.0.1", false],
    ["10.1.2.3/8", "10.9.9.9", true],
    ["192.0.2.128/25", "192.0.2.127", false],
    ["0.0.0.0/0", "203.0.113.9", true],
    ["0.0.0.0/0", "2001:db8::1", false],
    ["2001:db8::/32", "2001:db8:ffff::1", true],
    ["2001:db8::/32", "2001:db9::1", false],
    ["2001:DB8:0:0:0:0:0:1", "2001:db8::1", true],
    ["::/0", "2001:db8::1", true],
    ["::/0", "192.0.2.1", false],
    ["fe80::1", "fe80::1%eth0", true],
    ["10.0.0.0/8", "::ffff:10.1.2.3", true],
    ["10.0.0.0/8", "::ffff:a01:203", true],
    ["::ffff:10.1.2.3", "10.1.2.3", true],
    ["::ffff:10.0.0.0/104", "10.1.2.3", true],
    ["::ffff:10.0.0.0/104", "11.1.2.3", false],
    ["::ffff:0:0/96", "192.0.2.1", true],
    ["::/0", "::ffff:192.0.2.1", false],
  ])("%s for %s: %s", async (entry, address, expected) => {
    expect(await passes({ allow: [entry] }, address)).toBe(expected);
  });
});

describe("the lists together", () => {
  it("let everybody pass who is not denied, when nobody is listed as allowed", async () => {
    const options = { deny: ["192.0.2.0/24", "2001:db8::1"] };
    expect(await passes(options, "192.0.2.9")).toBe(false);
    expect(await passes(options, "2001:db8::1")).toBe(false);
    expect(await passes(options, "::ffff:192.0.2.9")).toBe(false);
    expect(await passes(options, "198.51.100.1")).toBe(true);
  });

  it("deny what both have", async () => {
    const options = { allow: ["10.0.0.0/8"], deny: ["10.1.0.0/16"] };
    expect(await passes(options, "10.2.0.1")).toBe(true);
    expect(await passes(options, "10.1.0.1")).toBe(false);
    expect(await passes({ allow: ["10.1.0.1"], deny: ["10.0.0.0/8"] }, "10.1.0.1")).toBe(false);
  });

  it.each(["", "unknown", "010.0.0.1", "10.1", "0x0a.0.0.1", "10.0.0.1:80"])(
    "deny the address %j, which is none",
    async (address) => {
      expect(await passes({ allow: ["0.0.0.0/0", "::/0"] }, address)).toBe(false);
      expect(await passes({ deny: ["192.0.2.1"] }, address)).toBe(false);
    },
  );

  it("decide the same when asked again, for more addresses than are remembered", async () => {
    const handler = await buildStage(ip, { deny: ["10.0.0.0/28"] });
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 5000; i++) {
        const x = from(`10.0.${i >> 8}.${i & 255}`);
        if (i < 16) expect(() => handler(x)).toThrow("not allowed");
        else handler(x);
      }
    }
  });

  it("answer 404 as for an unknown route when they shall not be noticed", async () => {
    const handler = await buildStage(ip, { allow: ["10.0.0.1"], status: 404 });
    const error = await Promise.try(handler, from("10.0.0.2")).catch((e) => e);
    expect(error).toMatchObject({ code: "ROUTE_NOT_FOUND", status: 404, cause: { code: "IP_DENIED" } });
    expect(error.detail).toBeUndefined();
  });
});

describe("options that cannot work", () => {
  it.each([
    "",
    "a",
    "10.0.0.0/33",
    "10.0.0.0/-1",
    "10.0.0.0/",
    "10.0.0.0/08",
    "10.0.0.0/8/8",
    "10.1",
    "010.0.0.1",
  ])("refuses %j", async (entry) => {
    await expect(buildStage(ip, { allow: ["10.0.0.1", entry] })).rejects.toThrow();
  });

  it.each(["::/129", "fe80::1%eth0", "::ffff:10.0.0.0/90", "2001:db8::1::", "example.com", " 10.0.0.1"])(
    "refuses %j",
    async (entry) => {
      await expect(buildStage(ip, { deny: [entry] })).rejects.toMatchObject({
        problems: [{ pointer: "/deny/0", code: "CONFIG_CIDR" }],
      });
    },
  );

  it("names every entry that is wrong", async () => {
    await expect(buildStage(ip, { allow: ["10.0.0.1", "x"], deny: ["y"] })).rejects.toMatchObject({
      problems: [{ pointer: "/allow/1" }, { pointer: "/deny/0" }],
    });
  });

  it("refuses a stage that would keep nobody out", async () => {
    await expect(buildStage(ip, {})).rejects.toMatchObject({ name: "ConfigError" });
  });

  it.each([{ allow: "10.0.0.1" }, { deny: ["10.0.0.1"], status: 401 }, { block: [] }])(
    "refuses %j",
    async (options) => {
      await expect(buildStage(ip, options)).rejects.toThrow();
    },
  );
});

describe("ip in a configuration", () => {
  it("cannot be skipped, because that would let everybody in", async () => {
    const stage = { plugin: "ip", allow: ["10.0.0.1"], onError: "skip" };
    const source = config({
      routes: [{ name: "a", match: { path: "/*" }, pipeline: [stage, { plugin: "respond", body: "in" }] }],
    });
    await expect(loadConfigObject(source, { catalogue })).rejects.toMatchObject({
      diagnostics: [{ code: "CONFIG_VALUE", pointer: "/routes/0/pipeline/0/onError" }],
    });
  });
});
