import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { bestRecords, SrvSource } from "../../../../core/upstream/discovery/srv.ts";
import { a, aaaa, DnsServer, srv } from "../../../support/dns-server.ts";
import { FollowedDiscovery, sourceConfig } from "../../../support/discovery.ts";

const NAME = "_http._tcp.users.test";

const follow = (server: DnsServer, options: object = {}, more: object = {}): FollowedDiscovery =>
  new FollowedDiscovery({ srv: { name: NAME, servers: [server.address], ...options }, ...more });

const fakeTimers = (): void => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
afterEach(() => void vi.useRealTimers());

describe("targets by SRV records", () => {
  it("are the addresses of the hosts, with port and weight, scheme and path as configured", async () => {
    await using server = await DnsServer.start();
    server.set("SRV", NAME, [srv("one.test", 8081, 1, 3), srv("two.test", 8082, 1, 5)]);
    server.set("A", "one.test", [a("10.0.0.1")]);
    server.set("A", "two.test", [a("10.0.0.2")]);
    server.set("AAAA", "two.test", [aaaa("2001:db8::2")]);
    await using followed = follow(server, {}, { scheme: "https", path: "/v2" });
    await followed.discovery.ready;
    expect(followed.weights).toEqual({
      "https://10.0.0.1:8081/v2": 3,
      "https://10.0.0.2:8082/v2": 5,
      "https://[2001:db8::2]:8082/v2": 5,
    });
  });

  it("are of one family when told", async () => {
    await using server = await DnsServer.start();
    server.set("SRV", NAME, [srv("two.test", 8082)]);
    server.set("A", "two.test", [a("10.0.0.2")]);
    server.set("AAAA", "two.test", [aaaa("2001:db8::2")]);
    await using followed = follow(server, { family: "ipv6" });
    await followed.found("http://[2001:db8::2]:8082");
  });

  it("are those of the best priority", async () => {
    await using server = await DnsServer.start();
    server.set("SRV", NAME, [srv("spare.test", 1, 20), srv("one.test", 2, 10)]);
    server.set("A", "one.test", [a("10.0.0.1")]);
    await using followed = follow(server);
    await followed.found("http://10.0.0.1:2");
    expect(server.count("A", "spare.test")).toBe(0);
  });

  it("are none when the service says that there is none", async () => {
    await using server = await DnsServer.start();
    server.set("SRV", NAME, [srv(".", 1)]);
    await using followed = follow(server);
    await followed.discovery.ready;
    expect([followed.urls, followed.discovery.failure]).toEqual([[], undefined]);
  });

  it("are looked up again after the TTL of the hosts' addresses, between minTtl and maxTtl", async () => {
    fakeTimers();
    await using server = await DnsServer.start();
    server.set("SRV", NAME, [srv("one.test", 1)]);
    server.set("A", "one.test", [a("10.0.0.1", 8)]);
    await using followed = follow(server, { minTtl: "4s", maxTtl: "6s" });
    await followed.discovery.ready;
    server.set("SRV", NAME, [srv("one.test", 2)]);
    server.set("A", "one.test", [a("10.0.0.1", 1)]);
    await vi.advanceTimersByTimeAsync(5999);
    expect(server.count("SRV", NAME)).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    await followed.found("http://10.0.0.1:2");
    await followed.until(() => vi.getTimerCount() === 1);
    const asked = server.next("SRV", NAME);
    await vi.advanceTimersByTimeAsync(3999);
    expect(server.count("SRV", NAME)).toBe(2);
    await vi.advanceTimersByTimeAsync(1);
    await asked;
  });

  it("stay when the records are gone", async () => {
    fakeTimers();
    await using server = await DnsServer.start();
    server.set("SRV", NAME, [srv("one.test", 1)]);
    server.set("A", "one.test", [a("10.0.0.1", 5)]);
    await using followed = follow(server);
    await followed.discovery.ready;
    server.set("SRV", NAME, "NXDOMAIN");
    await vi.advanceTimersByTimeAsync(5000);
    expect(await followed.failed()).toBe(`${NAME}: the name does not exist (ENOTFOUND)`);
    expect(followed.urls).toEqual(["http://10.0.0.1:1"]);
  });

  it("stay for a host that fails, while the others follow", async () => {
    fakeTimers();
    await using server = await DnsServer.start();
    server.set("SRV", NAME, [srv("one.test", 1), srv("two.test", 2)]);
    server.set("A", "one.test", [a("10.0.0.1", 5)]);
    server.set("A", "two.test", [a("10.0.0.2", 5)]);
    await using followed = follow(server);
    await followed.discovery.ready;
    server.set("A", "one.test", [a("10.0.0.9", 5)]);
    server.set("A", "two.test", "SERVFAIL");
    server.set("AAAA", "two.test", "SERVFAIL");
    await vi.advanceTimersByTimeAsync(5000);
    await followed.found("http://10.0.0.9:1", "http://10.0.0.2:2");
    expect(await followed.failed()).toBe("two.test: the name server failed (ESERVFAIL)");
  });

  it("stay when no host can be looked up, and soon it is tried again", async () => {
    fakeTimers();
    await using server = await DnsServer.start();
    server.set("SRV", NAME, [srv("one.test", 1)]);
    await using followed = follow(server);
    expect(await followed.failed()).toBe("one.test: the name does not exist (ENOTFOUND)");
    server.set("A", "one.test", [a("10.0.0.1")]);
    await followed.until(() => vi.getTimerCount() === 1);
    await vi.advanceTimersByTimeAsync(500);
    await followed.found("http://10.0.0.1:1");
  });

  it("give a small chance to a weight of zero beside others, an equal one among zeros", () => {
    const record = (name: string, weight: number) => ({ name, port: 1, priority: 0, weight });
    const weigh = (...weights: number[]) =>
      bestRecords(weights.map((weight, i) => record(`h${i}`, weight))).map(({ weight }) => weight);
    expect(weigh(0, 0)).toEqual([1, 1]);
    expect(weigh(2, 3)).toEqual([2, 3]);
    expect(weigh(0, 1, 2)).toEqual([1, 10, 20]);
    fc.assert(
      fc.property(fc.array(fc.nat(65535), { minLength: 1 }), (weights) => {
        const used = weigh(...weights);
        expect(Math.min(...used)).toBeGreaterThan(0);
        const more = weights.flatMap((weight, i) => (weight > 0 ? [used[i]! / weight] : []));
        expect(new Set(more).size).toBeLessThan(2);
      }),
    );
  });

  it.each([
    [{ servers: ["ns.example"] }, "/targets/srv/servers/0"],
    [{ minTtl: "31s" }, "/targets/srv/maxTtl"],
  ])("are refused with %j", (options, pointer) => {
    expect(() => new SrvSource(sourceConfig({ srv: { name: NAME, ...options } }))).toThrow(
      expect.objectContaining({ problems: [expect.objectContaining({ pointer })] }),
    );
  });
});
