/**
 * The only door to ioredis: a store in Redis or a Redis cluster. It keeps one connection (to each node) and fails fast
 * without it: nothing is queued, nothing is sent twice.
 */
import { Cluster, Redis } from "ioredis";
import type { RedisClusterStoreConfig, RedisStoreConfig } from "../config/checked.ts";
import type { Log } from "../exchange.ts";
import type { Clock, Metrics } from "../plugin.ts";
import { parseDuration } from "../units.ts";
import { Reachability } from "./reachability.ts";
import { parseNode, parseRedisUrl } from "./redis-url.ts";
import {
  createStoreScript,
  type IncrOptions,
  invalid,
  type KeyValueStore,
  parseNumber,
  type ScriptArgument,
  type SetOptions,
  type StoreScript,
  type Subscriber,
  unavailable,
  within,
} from "./store.ts";
import { type SubscribingConnection, Subscriptions } from "./subscriptions.ts";

/** Adds to a number; a sum that JavaScript has no exact number for is taken back. As text: ioredis rounds large numbers. */
const INCR = createStoreScript(`
local isNew = redis.call('EXISTS', KEYS[1]) == 0
local sum = redis.call('INCRBY', KEYS[1], ARGV[1])
if sum > 9007199254740991 or sum < -9007199254740991 then
  redis.call('DECRBY', KEYS[1], ARGV[1])
  return redis.error_reply('ERR value is not an integer or out of range')
end
if isNew and ARGV[2] ~= '' then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return string.format('%.0f', sum)`);

/** Sets a value where another one is. */
const REPLACE = createStoreScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[3] == '' then redis.call('SET', KEYS[1], ARGV[2]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1`);

/** Replies that are about the value, not about Redis. */
const IS_ABOUT_VALUE = /WRONGTYPE|not an integer or out of range|would overflow/;

const CONNECT_MS = 2000;
/** Without any reply for so long, a connection that is waited for is given up; or some calls' time, if that is longer. */
const SILENCE_MS = 1000;
const SILENT_CALLS = 4;
const LONGEST_PAUSE_MS = 1000;
/** Longest that a new generation waits to know whether the store is there. */
const SETTLE_MS = 1000;

export interface RedisContext {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}

export class RedisStore implements KeyValueStore {
  readonly runsScripts = true;
  readonly #client: Redis | Cluster;
  readonly #reach: Reachability;
  readonly #prefix: string;
  readonly #timeoutMs: number;
  readonly #secret: string | undefined;
  readonly #endMetric: () => void;
  readonly #subscriptions = new Subscriptions(() => this.#openSubscribing(), pauseBefore);
  readonly #gathering: Redis["stream"][] = [];
  readonly #write = (): void => this.#endGathering();
  #isClosed = false;

  /** Connects, and goes on trying for as long as it is open. */
  constructor(
    name: string,
    config: RedisStoreConfig | RedisClusterStoreConfig,
    { clock, log, metrics }: RedisContext,
  ) {
    this.#prefix = config.keyPrefix;
    this.#timeoutMs = parseDuration(config.timeout);
    this.#reach = new Reachability(name, clock, log);
    this.#client = config.type === "redis" ? openRedis(config) : openCluster(config);
    this.#secret = config.type === "redis" ? passwordOf(config) : config.password;
    this.#client.on("ready", () => void this.#connected());
    this.#client.on("error", (error: Error) => this.#lost(this.#reasonOf(error)));
    this.#client.on("close", () => this.#lost("the connection was closed"));
    this.#endMetric = metrics.collect(
      "sluice_store_up",
      "Whether a store on the network can be reached.",
      "gauge",
      () => [[{ store: name }, this.#reach.isUp ? 1 : 0]],
      "min",
    );
  }

  /** Waits until it is known whether it can be reached, though not for long. */
  async settle(): Promise<void> {
    await within(SETTLE_MS, this.#reach.settled).catch(() => {});
  }

  get(key: string): Promise<string | undefined> {
    return this.#ask(this.#gather().get(this.#prefix + key)).then((value) => value ?? undefined);
  }

  async set(key: string, value: string, { ttlMs, ifAbsent, ifValue }: SetOptions = {}): Promise<boolean> {
    if (ifValue !== undefined) return (await this.run(REPLACE, [key], [ifValue, value, ttlMs ?? ""])) === 1;
    const options: (string | number)[] = ttlMs === undefined ? [] : ["PX", ttlMs];
    if (ifAbsent === true) options.push("NX");
    return (await this.#ask(this.#gather().call("set", this.#prefix + key, value, ...options))) !== null;
  }

  async incr(key: string, by: number, { ttlMs }: IncrOptions = {}): Promise<number> {
    return parseNumber(String(await this.run(INCR, [key], [by, ttlMs ?? ""])));
  }

  async delete(key: string): Promise<boolean> {
    return (await this.#ask(this.#gather().del(this.#prefix + key))) === 1;
  }

  run(
    script: StoreScript,
    keys: readonly string[],
    args: readonly ScriptArgument[],
    timeoutMs = this.#timeoutMs,
  ): Promise<unknown> {
    const answer = this.#evaluate("call", script, keys, args);
    return this.#ask(answer, Math.min(timeoutMs, this.#timeoutMs));
  }

  runForBytes(
    script: StoreScript,
    keys: readonly string[],
    args: readonly ScriptArgument[],
  ): Promise<unknown> {
    return this.#ask(this.#evaluate("callBuffer", script, keys, args));
  }

  getBytes(key: string): Promise<Buffer | undefined> {
    return this.#ask(this.#gather().getBuffer(this.#prefix + key)).then((value) => value ?? undefined);
  }

  async subscribe(channel: string, subscriber: Subscriber): Promise<() => void> {
    return this.#subscriptions.add(this.#prefix + channel, subscriber);
  }

  close(): void {
    this.#isClosed = true;
    this.#endMetric();
    this.#subscriptions.close();
    this.#client.disconnect();
  }

  #evaluate(
    kind: "call" | "callBuffer",
    { sha, lua }: StoreScript,
    keys: readonly string[],
    args: readonly ScriptArgument[],
  ): Promise<unknown> {
    const all: ScriptArgument[] = [];
    for (const key of keys) all.push(this.#prefix + key);
    for (const arg of args) all.push(arg);
    return this.#gather()
      [kind]("evalsha", sha, keys.length, ...all)
      .catch((error: Error) => {
        if (!error.message.startsWith("NOSCRIPT")) throw error;
        return this.#gather()[kind]("eval", lua, keys.length, ...all);
      });
  }

  /** In a cluster any node that is there tells what is published. */
  #openSubscribing(): SubscribingConnection | undefined {
    const nodes = this.#client instanceof Cluster ? this.#client.nodes("all") : [this.#client];
    const there = nodes.filter(({ status }) => status === "ready");
    return there[Math.floor(Math.random() * there.length)]?.duplicate({
      lazyConnect: true,
      enableOfflineQueue: false,
      autoResubscribe: false,
      readOnly: false,
      retryStrategy: null,
      connectionName: "sluice-subscriber",
    } as object);
  }

  async #connected(): Promise<void> {
    if (this.#client instanceof Cluster) await connectNodes(this.#client);
    this.#reach.connected();
  }

  #lost(reason: string): void {
    if (!this.#isClosed) this.#reach.lost(reason);
  }

  /** What is asked in one turn of the event loop leaves in one write, which costs twice as much as a call. */
  #gather(): Redis | Cluster {
    const client = this.#client;
    if (this.#gathering.length > 0) return client;
    for (const { stream } of client instanceof Cluster ? client.nodes("master") : [client]) {
      if (stream?.writable !== true) continue;
      stream.cork();
      this.#gathering.push(stream);
    }
    if (this.#gathering.length > 0) setImmediate(this.#write);
    return client;
  }

  #endGathering(): void {
    for (const stream of this.#gathering) stream.uncork();
    this.#gathering.length = 0;
  }

  async #ask<T>(reply: Promise<T>, timeoutMs = this.#timeoutMs): Promise<T> {
    try {
      const value = await within(timeoutMs, reply);
      this.#reach.answered();
      return value;
    } catch (error) {
      const reason = this.#reasonOf(error as Error);
      if (IS_ABOUT_VALUE.test(reason)) {
        this.#reach.answered();
        throw invalid(reason);
      }
      this.#reach.failed(reason);
      throw unavailable(new Error(reason));
    }
  }

  /**
   * What ioredis says. Not the error itself: it has the command with it, and that may be AUTH. A Redis that does not
   * know a command repeats it.
   */
  #reasonOf(error: Error & { lastNodeError?: Error }): string {
    const { message } = error.lastNodeError ?? (error.cause as Error | undefined) ?? error;
    if (message.includes("enableOfflineQueue")) return "not connected";
    const [reason = ""] = message.split(", with args beginning with");
    return this.#secret === undefined ? reason : reason.replaceAll(this.#secret, "***");
  }
}

function openRedis(config: RedisStoreConfig): Redis {
  const address = parseRedisUrl(config.url);
  if (typeof address === "string") throw new TypeError(address);
  const { host, port, username, password, db, tls } = address;
  return new Redis({
    ...connectionOptions(config, username, password, tls),
    host,
    port,
    db,
    enableOfflineQueue: false,
    retryStrategy: pauseBefore,
  });
}

function openCluster(config: RedisClusterStoreConfig): Cluster {
  const { nodes, username, password, tls, timeout } = config;
  const retryMs = parseDuration(timeout) / 4;
  return new Cluster(nodes.map(parseNode), {
    redisOptions: connectionOptions(config, username, password, tls),
    enableOfflineQueue: false,
    clusterRetryStrategy: pauseBefore,
    slotsRefreshTimeout: CONNECT_MS,
    // Within the time of a call: one that has failed is not to have an effect later.
    maxRedirections: 4,
    retryDelayOnFailover: retryMs,
    retryDelayOnClusterDown: retryMs,
    retryDelayOnTryAgain: retryMs,
    // Certificates are for names: the cluster tells of its nodes by name, and they are looked up on connecting.
    ...(tls ? { dnsLookup: (host, callback) => callback(null, host) } : {}),
  });
}

/** A cluster is ready when it knows its nodes, and would connect to each for its first call; the second would fail. */
async function connectNodes(cluster: Cluster): Promise<void> {
  const unused = cluster.nodes("master").filter(({ status }) => status === "wait");
  await Promise.allSettled(unused.map((node) => node.connect()));
}

function connectionOptions(
  { timeout }: { timeout: string },
  username: string | undefined,
  password: string | undefined,
  tls: boolean,
) {
  return {
    protocol: 2 as const,
    connectTimeout: CONNECT_MS,
    socketTimeout: Math.max(SILENCE_MS, SILENT_CALLS * parseDuration(timeout)),
    maxRetriesPerRequest: 0, // what has no answer when the connection goes has failed
    disableClientInfo: true,
    connectionName: "sluice",
    // A primary that has become a replica: its name may lead to another one by now.
    reconnectOnError: (error: Error) => error.message.startsWith("READONLY"),
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls ? { tls: {} } : {}),
  };
}

function passwordOf({ url }: RedisStoreConfig): string | undefined {
  const address = parseRedisUrl(url);
  return typeof address === "string" ? undefined : address.password;
}

/** Milliseconds before the next try to connect. */
function pauseBefore(attempt: number): number {
  return Math.min(25 * 2 ** Math.min(attempt, 10), LONGEST_PAUSE_MS) * (0.75 + Math.random() / 2);
}
