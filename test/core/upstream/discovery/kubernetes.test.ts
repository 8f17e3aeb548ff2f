import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { KubernetesSource } from "../../../../core/upstream/discovery/kubernetes.ts";
import { createAuthority } from "../../../support/certificates.ts";
import { FollowedDiscovery, sourceConfig } from "../../../support/discovery.ts";
import { KubernetesServer } from "../../../support/kubernetes-server.ts";
import { TempFolder } from "../../config/temp-folder.ts";

let folder: TempFolder;
beforeEach(() => {
  folder = new TempFolder();
});
afterEach(() => {
  vi.useRealTimers();
  folder.remove();
});

const fakeTimers = (): void => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });

const follow = (server: KubernetesServer, kubernetes: object = {}): FollowedDiscovery =>
  new FollowedDiscovery({
    kubernetes: { service: "users", namespace: "shop", url: server.url, ...kubernetes },
  });

/** As in a pod whose cluster has this address. */
const followInPod = (env: Record<string, string>, kubernetes: object = {}): FollowedDiscovery =>
  new FollowedDiscovery((context) => {
    const config = sourceConfig({ kubernetes: { service: "users", ...kubernetes } });
    return new KubernetesSource(config as never, context, { env, folder: folder.path });
  });

const inPod = (server: KubernetesServer) => ({
  KUBERNETES_SERVICE_HOST: "127.0.0.1",
  KUBERNETES_SERVICE_PORT: String(server.port),
});

describe("targets in Kubernetes", () => {
  it("are listed, and then watched from there", async () => {
    await using server = await KubernetesServer.start();
    server.apply({ addresses: ["10.0.0.1"] });
    server.apply({ service: "orders", addresses: ["10.0.9.9"] });
    await using followed = follow(server);
    followed.host.randoms.push(0.5);
    await server.isWatched();
    expect(followed.urls).toEqual(["http://10.0.0.1:8080"]);
    const [list, watch] = server.urls;
    expect(list!.pathname).toBe("/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices");
    expect(Object.fromEntries(list!.searchParams)).toEqual({
      labelSelector: "kubernetes.io/service-name=users",
    });
    expect(Object.fromEntries(watch!.searchParams)).toEqual({
      labelSelector: "kubernetes.io/service-name=users",
      watch: "true",
      allowWatchBookmarks: "true",
      resourceVersion: "1002",
      timeoutSeconds: "300",
    });

    server.apply({ addresses: ["10.0.0.1", "10.0.0.2"] });
    await followed.found("http://10.0.0.1:8080", "http://10.0.0.2:8080");
    server.apply({ name: "users-more", addresses: ["10.0.0.3"] });
    await followed.until(() => followed.urls.length === 3);
    server.remove("users-x7k2p");
    await followed.found("http://10.0.0.3:8080");
    server.remove("users-more");
    await followed.found();
    expect(followed.discovery.failure).toBeUndefined();
    expect(server.seen).toEqual(["list", "watch 1002"]);
  });

  it("have the port that is asked for, and the family", async () => {
    await using server = await KubernetesServer.start();
    const ports = [
      { name: "http", port: 8080 },
      { name: "admin", port: 9090 },
    ];
    server.apply({ name: "v4", addresses: ["10.0.0.1"], ports });
    server.apply({ name: "v6", type: "IPv6", addresses: ["2001:db8::1"], ports });
    await using followed = follow(server, { port: "admin", family: "ipv6" });
    await followed.found("http://[2001:db8::1]:9090");
  });

  it("stay while it is not clear which port is meant, and the watch goes on", async () => {
    await using server = await KubernetesServer.start();
    server.apply({ addresses: ["10.0.0.1"], ports: [{ name: "http", port: 80 }] });
    await using followed = follow(server);
    await server.isWatched();
    const ports = [
      { name: "a", port: 1 },
      { name: "b", port: 2 },
    ];
    server.apply({ addresses: ["10.0.0.2"], ports });
    expect(await followed.failed()).toContain("the pods have a (1), b (2)");
    expect(followed.urls).toEqual(["http://10.0.0.1"]);
    server.apply({ addresses: ["10.0.0.2"] });
    await followed.recovered();
    expect(server.seen).toHaveLength(2);
  });

  it("are watched on where a watch ended, bookmarks included, without a list", async () => {
    fakeTimers();
    await using server = await KubernetesServer.start();
    server.apply({ addresses: ["10.0.0.1"] });
    await using followed = follow(server);
    await server.isWatched();
    server.apply({ addresses: ["10.0.0.2"] });
    server.bookmark();
    const at = server.version;
    server.endWatches();
    server.apply({ addresses: ["10.0.0.3"] }); // while nobody watches
    await followed.until(() => vi.getTimerCount() === 1);
    expect(followed.urls).toEqual(["http://10.0.0.2:8080"]);
    await vi.advanceTimersByTimeAsync(1000);
    await followed.found("http://10.0.0.3:8080");
    expect(server.seen).toEqual(["list", "watch 1001", `watch ${at}`]);
    expect(followed.discovery.failure).toBeUndefined();
  });

  it("are watched on when the connection breaks in the middle of an event", async () => {
    fakeTimers();
    await using server = await KubernetesServer.start();
    server.apply({ addresses: ["10.0.0.1"] });
    await using followed = follow(server);
    await server.isWatched();
    server.cut();
    await followed.until(() => vi.getTimerCount() === 1);
    await vi.advanceTimersByTimeAsync(1000);
    await server.isWatched();
    expect(server.seen).toEqual(["list", "watch 1001", "watch 1001"]);
    expect(followed.warnings).toEqual([]);
  });

  it.each(["in the stream", "as a status"])(
    "are listed again when the version is too old, told %s",
    async (how) => {
      fakeTimers();
      await using server = await KubernetesServer.start();
      server.apply({ name: "one", addresses: ["10.0.0.1"] });
      server.apply({ name: "two", addresses: ["10.0.0.2"] });
      await using followed = follow(server);
      await server.isWatched();
      if (how === "in the stream") server.fail(410, "Expired", "too old resource version: 1 (2)");
      else server.endWatches();
      server.remove("one");
      server.compact();
      await followed.until(() => vi.getTimerCount() === 1);
      await vi.advanceTimersByTimeAsync(1000);
      if (how !== "in the stream") {
        await followed.until(() => server.seen.length === 3);
        await vi.advanceTimersByTimeAsync(1000);
      }
      await followed.found("http://10.0.0.2:8080");
      await server.isWatched();
      expect(server.seen.filter((each) => each === "list")).toHaveLength(2);
      expect(followed.warnings).toEqual([]);
    },
  );

  it("stay when the server ends the watch with an error", async () => {
    await using server = await KubernetesServer.start();
    server.apply({ addresses: ["10.0.0.1"] });
    await using followed = follow(server);
    await server.isWatched();
    server.fail(500, "InternalError", "etcd event received with PrevKv=nil");
    expect(await followed.failed()).toBe(
      "the API server ended the watch: etcd event received with PrevKv=nil",
    );
    expect(followed.urls).toEqual(["http://10.0.0.1:8080"]);
    await followed.recovered();
  });

  it("stay when the server is gone, and are listed again when it is back", async () => {
    const server = await KubernetesServer.start();
    server.apply({ addresses: ["10.0.0.1"] });
    await using followed = follow(server);
    await server.isWatched();
    await server[Symbol.asyncDispose]();
    expect(await followed.failed()).toMatch(/^Kubernetes at http:\/\/127\.0\.0\.1:\d+: connect ECONNREFUSED/);
    expect(followed.urls).toEqual(["http://10.0.0.1:8080"]);
  });

  it("fail when they may not be listed, with what the server says", async () => {
    await using server = await KubernetesServer.start();
    server.refuse = { list: 403 };
    await using followed = follow(server);
    expect(await followed.failed()).toContain(
      'Kubernetes answered 403: endpointslices.discovery.k8s.io is forbidden: User "system:serviceaccount:shop:sluice" cannot list resource "endpointslices"',
    );
  });

  it("are used when they may be listed but not watched, and the failure is told once", async () => {
    fakeTimers();
    await using server = await KubernetesServer.start();
    server.refuse = { watch: 403 };
    server.apply({ addresses: ["10.0.0.1"] });
    await using followed = follow(server);
    expect(await followed.failed()).toContain("cannot watch resource");
    expect(followed.urls).toEqual(["http://10.0.0.1:8080"]);
    server.apply({ addresses: ["10.0.0.2"] });
    await followed.until(() => vi.getTimerCount() === 1);
    await vi.advanceTimersByTimeAsync(500);
    await followed.found("http://10.0.0.2:8080");
    await followed.until(() => followed.count("kubernetes", "failed") === 2 && vi.getTimerCount() === 1);
    expect(followed.warnings).toHaveLength(1);
    server.refuse = {};
    await vi.advanceTimersByTimeAsync(1000);
    await followed.recovered();
  });

  it("fail when what answers is not an API server", async () => {
    await using server = await KubernetesServer.start();
    await using followed = follow(server, { namespace: "other" });
    expect(await followed.failed()).toBe("Kubernetes answered 404: not found");
  });

  it("end with their discovery: the watch is closed", async () => {
    await using server = await KubernetesServer.start();
    const followed = follow(server);
    await server.isWatched();
    await followed.discovery.close();
    await followed.until(() => server.watches === 0);
    expect(followed.discovery.failure).toBeUndefined();
  });

  it.each([
    [{ service: "a,b" }, "/targets/kubernetes/service"],
    [{ namespace: "../x" }, "/targets/kubernetes/namespace"],
    [{ url: "https://[" }, "/targets/kubernetes/url"],
    [{ ca: "-----BEGIN CERTIFICATE-----\nx" }, "/targets/kubernetes/ca"],
  ])("are refused with %j", (kubernetes, pointer) => {
    const config = sourceConfig({ kubernetes: { service: "users", ...kubernetes } });
    expect(() => new KubernetesSource(config as never, {} as never)).toThrow(
      expect.objectContaining({ problems: [expect.objectContaining({ pointer })] }),
    );
  });
});

describe("inside a cluster", () => {
  it("server, namespace, token and CA are those of the pod", async () => {
    const authority = await createAuthority();
    await using server = await KubernetesServer.start(await authority.issue(["127.0.0.1"]));
    server.token = "first";
    server.apply({ addresses: ["10.0.0.1"] });
    folder.write("ca.crt", authority.cert);
    folder.write("token", "first\n");
    folder.write("namespace", "shop");
    await using followed = followInPod(inPod(server));
    await followed.found("http://10.0.0.1:8080");
  });

  it("the token is read again, because it is replaced", async () => {
    fakeTimers();
    const authority = await createAuthority();
    await using server = await KubernetesServer.start(await authority.issue(["127.0.0.1"]));
    server.token = "first";
    server.apply({ addresses: ["10.0.0.1"] });
    folder.write("ca.crt", authority.cert);
    folder.write("token", "first");
    await using followed = followInPod(inPod(server), { namespace: "shop" });
    await server.isWatched();
    folder.write("token", "second");
    server.token = "second";
    server.endWatches();
    await followed.until(() => vi.getTimerCount() === 1);
    await vi.advanceTimersByTimeAsync(1000);
    await server.isWatched();
    expect(followed.warnings).toEqual([]);
  });

  it("what is configured goes before what the pod is told", async () => {
    const authority = await createAuthority();
    await using server = await KubernetesServer.start(await authority.issue(["127.0.0.1"]));
    server.token = "mine";
    server.apply({ addresses: ["10.0.0.1"] });
    folder.write("token", "the pod's");
    folder.write("ca.crt", (await createAuthority("Other CA")).cert);
    folder.write("namespace", "elsewhere");
    const options = { namespace: "shop", token: "mine", ca: authority.cert, url: server.url };
    await using followed = followInPod({ KUBERNETES_SERVICE_HOST: "192.0.2.1" }, options);
    await followed.found("http://10.0.0.1:8080");
  });

  it("the pod's token never goes over a connection that is not encrypted", async () => {
    await using server = await KubernetesServer.start();
    server.token = "the pod's";
    folder.write("token", "the pod's");
    await using followed = followInPod({}, { namespace: "shop", url: server.url });
    expect(await followed.failed()).toBe("Kubernetes answered 401: Unauthorized");
  });

  it.each([
    [{}, { namespace: "shop" }, "KUBERNETES_SERVICE_HOST is not set"],
    [{}, { url: "http://127.0.0.1:1" }, "outside of a cluster `namespace` must be set"],
    [
      { KUBERNETES_SERVICE_HOST: "::1" },
      { namespace: "shop" },
      "the service account's token cannot be read: ENOENT",
    ],
  ])("something is missing with %j and %j", async (env, kubernetes, reason) => {
    await using followed = followInPod(env as Record<string, string>, kubernetes);
    expect(await followed.failed()).toContain(reason);
  });
});
