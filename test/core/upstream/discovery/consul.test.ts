import { afterEach, describe, expect, it, vi } from "vitest";
import { ConsulSource } from "../../../../core/upstream/discovery/consul.ts";
import { createAuthority } from "../../../support/certificates.ts";
import { ConsulServer } from "../../../support/consul-server.ts";
import { FollowedDiscovery, sourceConfig } from "../../../support/discovery.ts";
import { startRawUpstream } from "../../../support/upstream.ts";

const follow = (url: string, consul: object = {}, more: object = {}): FollowedDiscovery =>
  new FollowedDiscovery({ consul: { url, service: "users", ...consul }, ...more });

const fakeTimers = (): void => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
afterEach(() => void vi.useRealTimers());

const one = { id: "users-1", address: "10.0.0.1", port: 8081 };
const two = { id: "users-2", address: "10.0.0.2", port: 8082 };

describe("targets in Consul", () => {
  it("are instances that pass, with their weights, at their own address or that of their agent", async () => {
    await using consul = await ConsulServer.start();
    consul.set("users", [
      { ...one, weight: 5 },
      { id: "users-2", nodeAddress: "10.9.9.9", port: 8082 },
      { id: "users-3", address: "2001:db8::3", port: 8083 },
      { id: "users-4", address: "10.0.0.4", port: 8084, isPassing: false },
      { id: "users-5", address: "users-5.internal" },
    ]);
    await using followed = follow(consul.url, {}, { scheme: "https", path: "/v1" });
    await followed.discovery.ready;
    expect(followed.weights).toEqual({
      "https://10.0.0.1:8081/v1": 5,
      "https://10.9.9.9:8082/v1": 1,
      "https://[2001:db8::3]:8083/v1": 1,
      "https://users-5.internal/v1": 1,
    });
  });

  it("are asked for with tag, datacenter and token, below the path of the URL", async () => {
    await using consul = await ConsulServer.start();
    consul.token = "secret";
    consul.set("my users", [{ ...one, tags: ["blue"] }, two]);
    const options = { service: "my users", tag: "blue", datacenter: "dc2", token: "secret" };
    await using followed = follow(`${consul.url}/proxy/`, options);
    await followed.found("http://10.0.0.1:8081");
    expect(consul.paths[0]).toBe("/proxy/v1/health/service/my%20users");
    expect(Object.fromEntries(consul.queries[0]!)).toEqual({ passing: "true", tag: "blue", dc: "dc2" });
  });

  it("follow changes as they happen, by one query that waits as long as told", async () => {
    await using consul = await ConsulServer.start();
    consul.set("users", [one]);
    await using followed = follow(consul.url, { wait: "90s" });
    followed.host.randoms.push(0);
    await consul.isBlocked();
    expect(Object.fromEntries(consul.queries[1]!)).toEqual({
      passing: "true",
      index: "101",
      wait: "81000ms",
    });
    consul.set("users", [one, two]);
    await followed.found("http://10.0.0.1:8081", "http://10.0.0.2:8082");
    await consul.isBlocked();
    consul.set("users", []);
    await followed.found();
    expect(followed.discovery.failure).toBeUndefined();
    await consul.isBlocked();
    consul.wake(); // its time is over, nothing has changed
    await followed.until(() => followed.count("consul", "unchanged") === 1);
    expect(followed.changes).toBe(3);
  });

  it("are asked for anew when the index goes back", async () => {
    await using consul = await ConsulServer.start();
    consul.set("users", [one]);
    await using followed = follow(consul.url);
    await consul.isBlocked();
    consul.index = 5; // the servers were restored from a snapshot
    consul.wake();
    await followed.until(() => consul.queries.length === 4);
    expect(consul.queries.map((query) => query.get("index"))).toEqual([null, "101", null, "5"]);
  });

  it.each([[{}], [{ "x-consul-index": "0" }], [{ "x-consul-index": "many" }]])(
    "are asked for once a second when Consul's index is %j",
    async (headers) => {
      fakeTimers();
      await using consul = await ConsulServer.start();
      consul.headers = headers;
      consul.set("users", [one]);
      await using followed = follow(consul.url);
      await followed.discovery.ready;
      await vi.advanceTimersByTimeAsync(900);
      expect(consul.queries).toHaveLength(1);
      await vi.advanceTimersByTimeAsync(100);
      await followed.until(() => consul.queries.length === 2);
      expect(consul.queries[1]!.get("index")).toBeNull();
    },
  );

  it("are asked for five times a second at most, however fast Consul changes", async () => {
    fakeTimers();
    await using consul = await ConsulServer.start();
    consul.set("users", [one]);
    await using followed = follow(consul.url);
    await followed.discovery.ready;
    consul.set("users", [two]);
    await vi.advanceTimersByTimeAsync(100);
    await fetch(`${consul.url}/`); // a query that was sent would have come by now
    expect(consul.queries).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(100);
    await followed.found("http://10.0.0.2:8082");
  });

  it("stay when Consul is gone, and are asked for at once when it is back", async () => {
    await using consul = await ConsulServer.start();
    consul.set("users", [one]);
    await using followed = follow(consul.url);
    await consul.isBlocked();
    consul.cut();
    expect(await followed.failed()).toBe(`Consul at ${consul.url}: socket hang up`);
    expect(followed.urls).toEqual(["http://10.0.0.1:8081"]);
    await followed.recovered();
    expect(consul.queries.at(2)!.get("index")).toBeNull();
    expect(followed.changes).toBe(1);
  });

  it.each([
    [500, "No cluster leader\n", "it answered 500: No cluster leader"],
    [403, "Permission denied: token lacks 'service:read'", "it answered 403: Permission denied"],
    [404, "", "it answered 404"],
  ])("stay when Consul answers %d", async (status, body, reason) => {
    await using consul = await ConsulServer.start();
    consul.set("users", [one]);
    await using followed = follow(consul.url);
    await consul.isBlocked();
    consul.refuse(status, body);
    expect(await followed.failed()).toContain(reason);
    expect(followed.urls).toEqual(["http://10.0.0.1:8081"]);
    consul.refuse(200);
    await followed.recovered();
  });

  it("never tell the token", async () => {
    await using consul = await ConsulServer.start();
    consul.token = "other";
    await using followed = follow(consul.url, { token: "hunter2" });
    expect(await followed.failed()).toContain("it answered 403");
    expect(JSON.stringify(followed.log.lines)).not.toContain("hunter2");
  });

  it.each([
    ["<html>", "the answer is not valid JSON"],
    ['{"Node": 1}', "the answer is not a list of instances"],
  ])("stay when the answer is %s", async (body, reason) => {
    await using server = await startRawUpstream((socket) => {
      socket.once("data", () =>
        socket.end(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\nx-consul-index: 7\r\n\r\n${body}`),
      );
    });
    await using followed = follow(server.url);
    expect(await followed.failed()).toBe(`Consul at ${server.url}: ${reason}`);
  });

  it("are the instances with a usable address, and the failure names one that has none", async () => {
    await using consul = await ConsulServer.start();
    consul.set("users", [one, { id: "bad", address: "10.0.0.1/24", port: 80 }]);
    await using followed = follow(consul.url);
    expect(await followed.failed()).toBe('The instance "bad" in Consul has no usable address and port');
    expect(followed.urls).toEqual(["http://10.0.0.1:8081"]);
  });

  it("have the weight of one where Consul tells none that can be, and never more than Consul allows", async () => {
    await using consul = await ConsulServer.start();
    const weights = [-3, 0.5, "7" as unknown as number, 1e300, 0];
    consul.set(
      "users",
      weights.map((weight, i) => ({ id: `users-${i}`, address: `10.0.0.${i}`, weight })),
    );
    await using followed = follow(consul.url);
    await followed.discovery.ready;
    expect(Object.values(followed.weights)).toEqual([1, 1, 1, 65_535, 0]);
  });

  it("stay usable when an instance's address is not even a text", async () => {
    await using consul = await ConsulServer.start();
    consul.set("users", [one, { id: "bad", address: 7 as unknown as string, port: 80 }]);
    await using followed = follow(consul.url);
    expect(await followed.failed()).toBe('The instance "bad" in Consul has no usable address and port');
    expect(Object.keys(followed.weights)).toEqual(["http://10.0.0.1:8081"]);
  });

  it("can be asked for over TLS, with a CA of one's own", async () => {
    const authority = await createAuthority();
    await using consul = await ConsulServer.start(await authority.issue(["127.0.0.1"]));
    consul.set("users", [one]);
    await using trusting = follow(consul.url, { ca: authority.cert });
    await trusting.found("http://10.0.0.1:8081");
    await using wary = follow(consul.url);
    expect(await wary.failed()).toMatch(/certificate/);
  });

  it("end with their discovery, also while a query waits", async () => {
    await using consul = await ConsulServer.start();
    consul.set("users", [one]);
    const followed = follow(consul.url);
    await consul.isBlocked();
    await followed.discovery.close();
    await followed.until(() => consul.blocked === 0);
    expect(followed.warnings).toEqual([]);
  });

  it.each([
    [{ url: "http://[" }, "/targets/consul/url", "not a valid URL"],
    [{ url: "http://user:password@consul" }, "/targets/consul/url", "cannot have a user name or password"],
    [{ url: "http://consul?dc=1" }, "/targets/consul/url", "cannot have a query"],
    [{ wait: "999ms" }, "/targets/consul/wait", "from 1s to 10m"],
    [{ wait: "11m" }, "/targets/consul/wait", "from 1s to 10m"],
    [{ ca: "not a certificate" }, "/targets/consul/ca", "not a PEM certificate"],
  ])("are refused with %j", (consul, pointer, message) => {
    const make = () =>
      new ConsulSource(sourceConfig({ consul: { service: "users", ...consul } }), {} as never);
    expect(make).toThrow(message);
    expect(make).toThrow(expect.objectContaining({ problems: [expect.objectContaining({ pointer })] }));
  });
});
