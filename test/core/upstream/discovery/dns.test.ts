import { afterEach, describe, expect, it, vi } from "vitest";
import { a, aaaa, DnsServer } from "../../../support/dns-server.ts";
import { FollowedDiscovery, sourceConfig } from "../../../support/discovery.ts";
import { DnsSource } from "../../../../core/upstream/discovery/dns.ts";

const follow = (server: DnsServer, dns: object = {}, more: object = {}): FollowedDiscovery =>
  new FollowedDiscovery({ dns: { host: "users.test", servers: [server.address], ...dns }, ...more });

const fakeTimers = (): void => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
afterEach(() => void vi.useRealTimers());

describe("targets by DNS", () => {
  it("are all addresses of the name, IPv6 in brackets, with scheme, port and path as configured", async () => {
    await using server = await DnsServer.start();
    server.set("A", "users.test", [a("10.0.0.2"), a("10.0.0.1")]);
    server.set("AAAA", "users.test", [aaaa("2001:db8::1")]);
    await using followed = follow(server, { port: 8443 }, { scheme: "https", path: "/base" });
    await followed.discovery.ready;
    expect(followed.weights).toEqual({
      "https://10.0.0.1:8443/base": 1,
      "https://10.0.0.2:8443/base": 1,
      "https://[2001:db8::1]:8443/base": 1,
    });
  });

  it("have the scheme's port when none is given", async () => {
    await using server = await DnsServer.start();
    server.set("A", "users.test", [a("10.0.0.1")]);
    await using followed = follow(server);
    await followed.found("http://10.0.0.1");
  });

  it.each([
    ["ipv4", ["http://10.0.0.1"], "AAAA"],
    ["ipv6", ["http://[2001:db8::1]"], "A"],
  ] as const)("are of the family %s alone when told", async (family, urls, other) => {
    await using server = await DnsServer.start();
    server.set("A", "users.test", [a("10.0.0.1")]);
    server.set("AAAA", "users.test", [aaaa("2001:db8::1")]);
    await using followed = follow(server, { family });
    await followed.found(...urls);
    expect(server.count(other, "users.test")).toBe(0);
  });

  it("are looked up again when the first record ends", async () => {
    fakeTimers();
    await using server = await DnsServer.start();
    server.set("A", "users.test", [a("10.0.0.1", 20)]);
    server.set("AAAA", "users.test", [aaaa("2001:db8::1", 7)]);
    await using followed = follow(server);
    await followed.discovery.ready;
    await vi.advanceTimersByTimeAsync(6999);
    expect(server.count("A", "users.test")).toBe(1);
    server.set("A", "users.test", [a("10.0.0.2", 20)]);
    await vi.advanceTimersByTimeAsync(1);
    await followed.found("http://10.0.0.2", "http://[2001:db8::1]");
    expect(followed.changes).toBe(2);
  });

  it("are looked up not sooner than minTtl and not later than maxTtl", async () => {
    fakeTimers();
    await using server = await DnsServer.start();
    server.set("A", "users.test", [a("10.0.0.1", 0)]);
    server.set("AAAA", "users.test", []);
    await using followed = follow(server, { minTtl: "3s", maxTtl: "40s" });
    await followed.discovery.ready;
    await vi.advanceTimersByTimeAsync(2999);
    expect(server.count("A", "users.test")).toBe(1);
    server.set("A", "users.test", [a("10.0.0.1", 3600)]);
    await vi.advanceTimersByTimeAsync(1);
    await followed.until(() => followed.count("dns", "unchanged") === 1);
    await followed.until(() => vi.getTimerCount() === 1);
    await vi.advanceTimersByTimeAsync(39_999);
    expect(server.count("A", "users.test")).toBe(2);
    const asked = server.next("A", "users.test");
    await vi.advanceTimersByTimeAsync(1);
    await asked;
    expect(followed.changes).toBe(1);
  });

  it.each([
    ["NXDOMAIN", "users.test: the name does not exist (ENOTFOUND)"],
    ["SERVFAIL", "users.test: the name server failed (ESERVFAIL)"],
    [[], "users.test: the name has no such records (ENODATA)"],
  ] as const)("stay when the answer is %j", async (answer, reason) => {
    fakeTimers();
    await using server = await DnsServer.start();
    server.set("A", "users.test", [a("10.0.0.1", 5)]);
    await using followed = follow(server, { family: "ipv4" });
    await followed.discovery.ready;
    server.set("A", "users.test", answer);
    await vi.advanceTimersByTimeAsync(5000);
    expect(await followed.failed()).toBe(reason);
    expect(followed.urls).toEqual(["http://10.0.0.1"]);
    server.set("A", "users.test", [a("10.0.0.2", 5)]);
    await vi.advanceTimersByTimeAsync(500);
    await followed.found("http://10.0.0.2");
    expect(followed.discovery.failure).toBeUndefined();
  });

  it("stay in one family when only the other is answered, and the failure is told", async () => {
    fakeTimers();
    await using server = await DnsServer.start();
    server.set("A", "users.test", [a("10.0.0.1", 5)]);
    server.set("AAAA", "users.test", [aaaa("2001:db8::1", 5)]);
    await using followed = follow(server);
    await followed.discovery.ready;
    server.set("A", "users.test", [a("10.0.0.2", 5)]);
    server.set("AAAA", "users.test", "SERVFAIL");
    await vi.advanceTimersByTimeAsync(5000);
    await followed.found("http://10.0.0.2", "http://[2001:db8::1]");
    expect(await followed.failed()).toBe("users.test: the name server failed (ESERVFAIL)");
    server.set("AAAA", "users.test", []);
    await followed.until(() => vi.getTimerCount() === 1);
    await vi.advanceTimersByTimeAsync(5000);
    await followed.found("http://10.0.0.2");
    await followed.recovered();
  });

  it("do not suffer from a name server that never answers for AAAA", async () => {
    await using server = await DnsServer.start();
    server.set("A", "users.test", [a("10.0.0.1")]);
    server.set("AAAA", "users.test", "SERVFAIL");
    await using followed = follow(server);
    await followed.discovery.ready;
    expect([followed.urls, followed.discovery.failure]).toEqual([["http://10.0.0.1"], undefined]);
  });

  it("are the failure of a name server that is silent, before the gateway stops waiting", async () => {
    await using server = await DnsServer.start();
    server.set("A", "users.test", "silence");
    await using followed = follow(server, { family: "ipv4" });
    await followed.discovery.ready;
    expect(followed.discovery.failure?.message).toBe(
      "users.test: the name server does not answer (ETIMEOUT)",
    );
  });

  it("may come from the system, for names that no name server knows", async () => {
    await using followed = new FollowedDiscovery({ dns: { host: "localhost", port: 8081, family: "ipv4" } });
    await followed.discovery.ready;
    expect(followed.urls).toEqual(["http://127.0.0.1:8081"]);
  });

  it("come from the given name servers only", async () => {
    await using server = await DnsServer.start();
    server.set("A", "localhost", "SERVFAIL");
    await using followed = follow(server, { host: "localhost", family: "ipv4" });
    expect(await followed.failed()).toBe("localhost: the name server failed (ESERVFAIL)");
  });

  it("come from the first of several name servers that answers", async () => {
    await using server = await DnsServer.start();
    server.set("A", "users.test", [a("10.0.0.1")]);
    await using followed = follow(server, { servers: [server.address, "127.0.0.1:1"], family: "ipv4" });
    await followed.found("http://10.0.0.1");
  });

  it("can be an address, which needs no name server", async () => {
    await using server = await DnsServer.start();
    await using followed = follow(server, { host: "2001:db8::7", port: 81 });
    await followed.found("http://[2001:db8::7]:81");
    expect(server.asked).toEqual([]);
  });

  it("end with their discovery, also in the middle of a question", async () => {
    await using server = await DnsServer.start();
    server.set("A", "users.test", "silence");
    const asked = server.next("A", "users.test");
    const followed = follow(server);
    await asked;
    const again = server.next("A", "users.test").then(() => "asked again");
    const closed = Promise.resolve(followed.discovery.close()).then(() => "closed");
    expect(await Promise.race([closed, again])).toBe("closed");
    expect([followed.discovery.failure, followed.warnings]).toEqual([undefined, []]);
  });

  it.each([
    [{ servers: ["127.0.0.1", "ns.example"] }, "/targets/dns/servers/1", "A name server is an IP address"],
    [{ minTtl: "31s" }, "/targets/dns/maxTtl", "`maxTtl` cannot be less than `minTtl`"],
    [{ minTtl: "0s" }, "/targets/dns/minTtl", "`minTtl` is at least 10ms"],
  ])("are refused with %j", (dns, pointer, message) => {
    const make = () => new DnsSource(sourceConfig({ dns: { host: "users.test", ...dns } }));
    expect(make).toThrow(message);
    expect(make).toThrow(expect.objectContaining({ problems: [expect.objectContaining({ pointer })] }));
  });

  it("are refused with a path that no target can have", () => {
    expect(() => new FollowedDiscovery({ dns: { host: "users.test" }, path: "/a?b" })).toThrow(
      expect.objectContaining({ problems: [expect.objectContaining({ pointer: "/targets/path" })] }),
    );
  });
});
