/** What becomes of calls when Redis is away, slow, or not ours to use. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { StoreConfig } from "../../../core/config/checked.ts";
import { createStoreScript, type KeyValueStore, within } from "../../../core/store/store.ts";
import { type Authority, createAuthority } from "../../support/certificates.ts";
import { freePort } from "../../support/ports.ts";
import { type RedisServer, startRedis, startRedisCluster } from "../../support/redis.ts";
import { clusterOf, type OpenedStore, openStore, redisAt } from "../../support/stores.ts";

const DOWN = "error: a store cannot be reached: calls fail until it can";
const BACK = "info: a store can be reached again";

/** Of the stores below, where they say nothing else: who waited did so for longer. */
const TIMEOUT_MS = 30_000;

const messages = ({ log }: OpenedStore): string[] =>
  log.lines.map((line) => `${line.level}: ${line.message}`);
const failureOf = (call: Promise<unknown>): Promise<Error> =>
  call.then(
    (value) => Promise.reject(new Error(`not a failure: ${inspect(value)}`)),
    (error: Error) => error,
  );
const isUp = async ({ metrics }: OpenedStore): Promise<string | undefined> =>
  /sluice_store_up\{store="main"\} (\d)/.exec((await metrics.render()).text)?.[1];

/** Asks until there is an answer. */
async function answered(store: KeyValueStore, keys: readonly string[] = ["any"]): Promise<void> {
  await expect
    .poll(() =>
      Promise.all(keys.map((key) => store.get(key))).then(
        () => "answers",
        () => "fails",
      ),
    )
    .toBe("answers");
}

let server: RedisServer;
let using: AsyncDisposableStack;
beforeEach(async () => {
  using = new AsyncDisposableStack();
  server = using.use(await startRedis());
});
afterEach(() => using.disposeAsync());

const open = async (more: object = {}): Promise<OpenedStore> =>
  using.use(await openStore(redisAt(server.url, more)));

describe("a store in Redis", () => {
  it("fails at once without Redis, says so once, and is back without being told", async () => {
    await server.kill();
    const opened = await open();
    const began = performance.now();
    for (let i = 0; i < 20; i++) {
      const failure = await failureOf(opened.store.set("lost", "1"));
      expect(failure).toMatchObject({ code: "STORE_UNAVAILABLE", headers: ["retry-after", "1"] });
    }
    expect(performance.now() - began).toBeLessThan(TIMEOUT_MS);
    expect(messages(opened)).toEqual([DOWN]);
    expect(opened.log.lines[0]!.fields).toMatchObject({ store: "main", reason: /ECONNREFUSED/ });
    expect(await isUp(opened)).toBe("0");
    await server.start();
    await answered(opened.store);
    expect(messages(opened)).toEqual([DOWN, BACK]);
    expect(await isUp(opened)).toBe("1");
    expect(await opened.store.get("lost")).toBeUndefined();
  });

  it("outlives a Redis that is killed under calls and started again, scripts forgotten", async () => {
    const opened = await open();
    expect(await opened.store.incr("n", 1)).toBe(1);
    server.freeze();
    const began = performance.now();
    const underWay = Array.from({ length: 100 }, () => failureOf(opened.store.incr("n", 1)));
    await server.kill();
    for (const failure of await Promise.all(underWay))
      expect(failure).toMatchObject({ code: "STORE_UNAVAILABLE" });
    expect(performance.now() - began).toBeLessThan(TIMEOUT_MS);
    expect(await failureOf(opened.store.get("n"))).toMatchObject({ cause: { message: "not connected" } });
    await server.start();
    await answered(opened.store);
    // Nothing is sent again.
    expect(await opened.store.incr("n", 5, { ttlMs: 60_000 })).toBe(5);
    expect(messages(opened)).toEqual([DOWN, BACK]);
  });

  it("counts on when Redis forgets the script", async () => {
    const { store } = await open();
    await store.incr("n", 1);
    await server.ask("script", "flush");
    expect(await store.incr("n", 1)).toBe(2);
  });

  it("gives up a call whose time is over, and is well once Redis answers again", async () => {
    const opened = await open({ timeout: "30ms" });
    await answered(opened.store);
    server.freeze();
    const failure = await failureOf(opened.store.get("a"));
    expect(failure).toMatchObject({ code: "STORE_UNAVAILABLE", cause: { message: "no answer in 30 ms" } });
    server.thaw();
    await answered(opened.store);
  });

  it("takes an answer that came in time, though nobody had the time to read it", async () => {
    const { store } = await open({ timeout: "30ms" });
    await answered(store);
    const answer = store.get("a");
    await setImmediate();
    const busyUntil = performance.now() + 100;
    while (performance.now() < busyUntil);
    server.waitUntilAnswered();
    expect(await answer).toBeUndefined();
  });

  it("gives half of its time to a call that left late, because the thread was busy", async () => {
    const left = setImmediate().then(() => setImmediate());
    const answer = within(
      300,
      left.then(() => setImmediate("came")),
    );
    const busyUntil = performance.now() + 320;
    while (performance.now() < busyUntil);
    expect(await answer).toBe("came");
  });

  it("gives up a script whose time is over before that of the store", async () => {
    const { store } = await open();
    await answered(store);
    server.freeze();
    const failure = await failureOf(store.run(createStoreScript("return 1"), ["a"], [], 30));
    expect(failure).toMatchObject({ code: "STORE_UNAVAILABLE", cause: { message: "no answer in 30 ms" } });
  });

  it("sends what is asked in one turn at once", async () => {
    const { store } = await open();
    const reads = async () =>
      Number(/total_reads_processed:(\d+)/.exec(await server.ask("info", "stats"))![1]);
    await store.incr("n", 1);
    const before = await reads();
    await Promise.all(Array.from({ length: 200 }, () => store.incr("n", 1)));
    expect((await reads()) - before).toBeLessThan(20);
  });

  it("tells nobody the keys and the values of a script that fails", async () => {
    const script = createStoreScript("return redis.call('INCR', KEYS[1])");
    const without = using.use(await startRedis("--rename-command", "EVALSHA", ""));
    const [{ store }, other] = [await open(), using.use(await openStore(redisAt(without.url)))];
    await store.set("hunter2", "hunter3");
    const failures = [
      await failureOf(store.run(script, ["hunter2"], ["hunter3"])),
      await failureOf(other.store.run(script, ["hunter2"], ["hunter3"])),
    ];
    expect(failures).toMatchObject([
      { code: "STORE_VALUE_INVALID" },
      { code: "STORE_UNAVAILABLE", cause: { message: /unknown command/ } },
    ]);
    expect(inspect(failures, { depth: 10, showHidden: true })).not.toMatch(/hunter/);
  });

  it("gives up a connection that is silent, and takes another when Redis goes on", async () => {
    const opened = await open({ timeout: "30ms" });
    await answered(opened.store);
    server.freeze();
    await expect
      .poll(async () => ((await failureOf(opened.store.get("a"))).cause as Error).message)
      .not.toBe("no answer in 30 ms");
    expect(messages(opened)).toEqual([DOWN]);
    server.thaw();
    await answered(opened.store);
    expect(messages(opened)).toEqual([DOWN, BACK]);
  });

  it("tells nobody its password, whatever Redis says of it", async () => {
    await server.ask("config", "set", "requirepass", "right");
    const url = server.url.replace("redis://", "redis://:hunter2@");
    const opened = await open({ url });
    const failure = await failureOf(opened.store.set("a", "1"));
    expect(failure).toMatchObject({ code: "STORE_UNAVAILABLE" });
    expect(opened.log.lines[0]!.fields).toMatchObject({ reason: /WRONGPASS/ });
    const all = { hidden: inspect({ failure, lines: opened.log.lines }, { depth: 10, showHidden: true }) };
    expect(all.hidden).not.toContain("hunter2");
  });

  it("uses the password, the database and the prefix that it is given", async () => {
    await server.ask("config", "set", "requirepass", "p@ss:w");
    const url = `${server.url.replace("redis://", "redis://:p%40ss%3Aw@")}/3`;
    const { store } = await open({ url, keyPrefix: "mine:" });
    await store.set("a", "1", { ttlMs: 60_000 });
    expect(await server.ask("-a", "p@ss:w", "-n", "3", "keys", "*")).toBe("mine:a");
  });

  it("tells of what is published after Redis came back, and that something may have been missed", async () => {
    const { store } = await open();
    const heard: string[] = [];
    const subscriber = {
      told: (message: string) => void heard.push(message),
      connected: () => void heard.push("connected"),
    };
    await store.subscribe("channel", subscriber);
    await expect.poll(() => heard).toEqual(["connected"]);
    await server.ask("publish", "sluice:channel", "one");
    await expect.poll(() => heard).toEqual(["connected", "one"]);
    await server.kill();
    await server.start();
    await expect.poll(() => heard.length).toBe(3);
    await server.ask("publish", "sluice:channel", "two");
    await expect.poll(() => heard).toEqual(["connected", "one", "connected", "two"]);
  });

  it("says of a key that holds something else that it cannot be used", async () => {
    const opened = await open();
    await server.ask("lpush", "sluice:list", "1");
    expect(await failureOf(opened.store.get("list"))).toMatchObject({ code: "STORE_VALUE_INVALID" });
    expect(await failureOf(opened.store.incr("list", 1))).toMatchObject({ code: "STORE_VALUE_INVALID" });
    expect(messages(opened)).toEqual([]);
  });

  it("closes its connection, and says nothing of that", async () => {
    const opened = await openStore(redisAt(server.url));
    await opened.store.get("a");
    await opened[Symbol.asyncDispose]();
    await expect.poll(() => server.ask("client", "list")).not.toContain("name=sluice");
    expect(messages(opened)).toEqual([]);
    expect(await isUp(opened)).toBeUndefined();
  });
});

describe("a store in Redis behind TLS", () => {
  /** Starts a Redis with a certificate for `localhost`. */
  async function startWithTls(authority: Authority): Promise<StoreConfig> {
    const folder = mkdtempSync(join(tmpdir(), "sluice-tls-"));
    using.defer(() => rmSync(folder, { recursive: true }));
    const { cert, key } = await authority.issue(["localhost"]);
    const [certFile, keyFile] = [join(folder, "cert.pem"), join(folder, "key.pem")];
    writeFileSync(certFile, cert);
    writeFileSync(keyFile, key);
    const port = String(await freePort());
    const files = ["--tls-cert-file", certFile, "--tls-key-file", keyFile];
    using.use(await startRedis("--tls-port", port, "--tls-auth-clients", "no", ...files));
    return redisAt(`rediss://localhost:${port}`);
  }

  it("is used when its certificate is trusted, and only then", async () => {
    const authority = await createAuthority();
    const config = await startWithTls(authority);
    const stranger = using.use(await openStore(config));
    expect(await failureOf(stranger.store.get("a"))).toMatchObject({ code: "STORE_UNAVAILABLE" });
    expect(stranger.log.lines[0]!.fields).toMatchObject({ reason: /certificate/ });
    const trusted = getCACertificates("default");
    using.defer(() => setDefaultCACertificates(trusted));
    setDefaultCACertificates([...trusted, authority.cert]);
    const { store } = using.use(await openStore(config));
    expect(await store.incr("a", 1)).toBe(1);
  });
});

describe("a store in a Redis cluster", () => {
  /** Keys of all three nodes. */
  const KEYS = Array.from({ length: 12 }, (_, i) => `key ${i}`);

  it("is connected to all of its nodes before the first call", async () => {
    const cluster = using.use(await startRedisCluster());
    using.use(await openStore(clusterOf(cluster.nodes)));
    for (const each of cluster.servers) expect(await each.ask("client", "list")).toContain("name=sluice ");
  });

  it("fails while a node is away, and is back with it", async () => {
    const cluster = using.use(await startRedisCluster());
    const opened = using.use(await openStore(clusterOf(cluster.nodes, { timeout: "1s" })));
    for (const key of KEYS) await opened.store.set(key, "1");
    await cluster.servers[1]!.kill();
    const ends = await Promise.all(
      KEYS.map((key) =>
        opened.store.get(key).then(
          () => "ok",
          (error: { code: string }) => error.code,
        ),
      ),
    );
    expect(ends).toContain("STORE_UNAVAILABLE");
    await cluster.servers[1]!.start();
    await cluster.well();
    await answered(opened.store, KEYS);
  });

  it("follows a slot that has moved", async () => {
    const cluster = using.use(await startRedisCluster());
    const opened = using.use(await openStore(clusterOf(cluster.nodes)));
    await answered(opened.store, KEYS);
    const [first, ...others] = cluster.servers;
    // Of this slot: redis-cli gives each primary a third of them, in order.
    expect(await first!.ask("cluster", "keyslot", "sluice:{b}")).toBe("3300");
    const target = others[0]!;
    const [from, to] = await Promise.all([first!, target].map((each) => each.ask("cluster", "myid")));
    await target.ask("cluster", "setslot", "3300", "importing", from!);
    await first!.ask("cluster", "setslot", "3300", "migrating", to!);
    for (const each of [target, first!]) await each.ask("cluster", "setslot", "3300", "node", to!);
    await cluster.well();
    await opened.store.set("{b}", "1");
    expect(await opened.store.get("{b}")).toBe("1");
    expect(await target.ask("get", "sluice:{b}")).toBe("1");
    expect(messages(opened)).toEqual([]);
  });

  it("tells of what is published when the node that told it is gone", async () => {
    const cluster = using.use(await startRedisCluster());
    const { store } = using.use(await openStore(clusterOf(cluster.nodes)));
    let connected = 0;
    const heard: string[] = [];
    const subscriber = { told: (message: string) => void heard.push(message), connected: () => connected++ };
    await store.subscribe("channel", subscriber);
    await expect.poll(() => connected).toBe(1);
    const clients = await Promise.all(cluster.servers.map((each) => each.ask("client", "list")));
    const telling = clients.findIndex((list) => list.includes("name=sluice-subscriber"));
    await cluster.servers[telling]!.kill();
    await expect.poll(() => connected).toBe(2);
    await cluster.servers[(telling + 1) % 3]!.ask("publish", "sluice:channel", "on");
    await expect.poll(() => heard).toEqual(["on"]);
  });

  it("fails at once without any node, and finds the cluster when it comes", async () => {
    const cluster = using.use(await startRedisCluster());
    await Promise.all(cluster.servers.map((each) => each.kill()));
    const opened = using.use(await openStore(clusterOf(cluster.nodes)));
    expect(await failureOf(opened.store.get("a"))).toMatchObject({ code: "STORE_UNAVAILABLE" });
    expect(messages(opened)).toEqual([DOWN]);
    await Promise.all(cluster.servers.map((each) => each.start()));
    await cluster.well();
    await answered(opened.store, KEYS);
    expect(messages(opened)).toEqual([DOWN, BACK]);
  });
});
