/**
 * `import { createTestGateway } from "sluice/test"`: a configuration with its scripts in memory, for their tests. What
 * runs is what `sluice start` runs, but for the sockets on both sides.
 */
import { catalogue } from "../../plugins/index.ts";
import { BytesBody, collect } from "../body.ts";
import type { CheckedConfig } from "../config/checked.ts";
import { type GatewayError, toGatewayError } from "../errors.ts";
import { type Consumer, Exchange } from "../exchange.ts";
import { buildGeneration, type Generation } from "../generation.ts";
import { HeaderList } from "../headers.ts";
import { inspectHead } from "../http-rules.ts";
import { KeepStore } from "../keep.ts";
import { GatewayMetrics } from "../observe/metrics.ts";
import { compileTrust, Peer } from "../peer.ts";
import { problemReply, type Reply } from "../reply.ts";
import { frameOf } from "../script/code-frame.ts";
import { ScriptLoader } from "../script/load.ts";
import type {
  CreateTestGateway,
  TestGateway,
  TestFailure,
  TestLogLine,
  TestReply,
  TestRequestInit,
  TestResponse,
  TestUpstream,
  UpstreamRequest,
} from "../script/test-api.ts";
import { MemoryStore } from "../store/memory.ts";
import { createSharedMemory, SharedMemory } from "../threads/shared-memory.ts";
import { createVitals, Vitals } from "../threads/vitals.ts";
import { parseSize } from "../units.ts";
import type { Feed, Feeds } from "../upstream/feed.ts";
import { createTargetRecord } from "../upstream/target-record.ts";
import { createUpstreamRecord } from "../upstream/upstream-record.ts";
import { FakeServers } from "./fake-servers.ts";
import { FakeUpstream } from "./fake-upstream.ts";
import { loadTestConfig, toReadable, withoutNetwork } from "./test-config.ts";
import { FakeTime, TestLog } from "./test-log.ts";
import { ReceivedReply, toMessage } from "./test-message.ts";

export type * from "../script/test-api.ts";

const START = Date.UTC(2026, 0, 1);
const STORE_BYTES = 64e6;
/** Bodies are in memory anyway. */
const MOST_BYTES = 1e9;

/** The tests of a process mostly have the same plugins, which need not be made for each. */
const scripts = new ScriptLoader();

export const createTestGateway: CreateTestGateway = async (config, { env, now = START } = {}) => {
  const options = { catalogue, scripts, ...(env === undefined ? {} : { env }) };
  const loaded = await loadTestConfig(config, options);
  const gateway = new MemoryGateway(withoutNetwork(loaded.config), new FakeTime(now));
  try {
    await gateway.open();
  } catch (error) {
    throw toReadable(error, loaded);
  }
  return gateway;
};

class MemoryGateway implements TestGateway {
  readonly clock: FakeTime;
  readonly logs: TestLogLine[] = [];
  readonly #config: CheckedConfig;
  readonly #log = new TestLog(this.logs);
  readonly #metrics = new GatewayMetrics();
  readonly #servers: FakeServers;
  readonly #upstreams: ReadonlyMap<string, FakeUpstream>;
  readonly #isTrusted;
  /** What the test's own code has thrown while a request was under way. */
  readonly #bugs: unknown[] = [];
  #generation: Generation | undefined;

  constructor(config: CheckedConfig, clock: FakeTime) {
    this.#config = config;
    this.clock = clock;
    const onBug = (error: unknown): void => void this.#bugs.push(error);
    this.#upstreams = new Map(Object.keys(config.upstreams).map((name) => [name, new FakeUpstream(onBug)]));
    this.#servers = new FakeServers(onBug);
    this.#isTrusted = compileTrust(config.listeners[0]!.trustedProxies);
  }

  async open(): Promise<void> {
    const stores = new Map<string, MemoryStore>();
    const { clock } = this;
    this.#generation = await buildGeneration(
      1,
      this.#config,
      {
        catalogue,
        log: this.#log,
        clock,
        metrics: this.#metrics,
        kept: new KeepStore(),
        shared: new SharedMemory(createSharedMemory(1, clock.monotonic(), clock.now()), 0),
        vitals: new Vitals(createVitals(1), 0),
        openStore: async (name) =>
          stores.getOrInsertComputed(name, () => new MemoryStore(STORE_BYTES, clock)),
        openConnections: (name) => this.#upstreams.get(name)!,
        openFetch: (grant) => this.#servers.open(grant),
        random: Math.random,
      },
      feedsOf(this.#config),
    );
    this.#generation.activate();
  }

  async fetch(url: string, init: TestRequestInit = {}): Promise<TestResponse> {
    const serving = this.#serving;
    const address = readUrl(url);
    let reply: Reply;
    let x: Exchange | undefined;
    try {
      try {
        x = this.#openExchange(address, init);
        reply = await serving.handle(x);
      } catch (thrown) {
        const error = toGatewayError(thrown, "STAGE_FAILED");
        this.#tell(error);
        reply = problemReply(error, x?.id, x?.failureHeaders);
      }
      const { status, headers, body } = reply;
      const hasBody = body !== null && init.method !== "HEAD" && status !== 204 && status !== 304;
      if (!hasBody) body?.cancel();
      const bytes = hasBody ? await collect(body, MOST_BYTES) : Buffer.alloc(0);
      if (this.#bugs.length > 0) throw this.#bugs.shift();
      return new ReceivedReply(status, headers.raw, bytes);
    } finally {
      x?.end();
    }
  }

  upstream(name: string): TestUpstream {
    const found = this.#upstreams.get(name);
    if (found !== undefined) return found;
    const known = [...this.#upstreams.keys()].join(", ");
    throw new Error(
      `There is no upstream ${JSON.stringify(name)}; there ${known === "" ? "are none" : `is ${known}`}`,
    );
  }

  onFetch(place: string, reply: TestReply | TestFailure): void {
    this.#servers.on(place, reply);
  }

  get fetched(): readonly UpstreamRequest[] {
    return this.#servers.requests;
  }

  async metrics(): Promise<Record<string, number>> {
    const { text } = await this.#metrics.render();
    const lines = [...text.matchAll(/^(sluice_script_[^#\s{]+(?:\{.*\})?) (\S+)$/gm)];
    const own = lines.filter(([, series]) => !OF_THE_GATEWAY.test(series!));
    return Object.fromEntries(own.map(([, series, value]) => [series!, Number(value)]));
  }

  async close(): Promise<void> {
    const generation = this.#generation;
    this.#generation = undefined;
    await generation?.retire(0);
  }

  get #serving(): Generation {
    if (this.#generation === undefined) throw new Error("The gateway is closed");
    return this.#generation;
  }

  /** @throws GatewayError for what the real one would not let in */
  #openExchange({ authority, target }: Address, init: TestRequestInit): Exchange {
    const { method = "GET", ip = "127.0.0.1", consumer } = init;
    const { headers: raw, bytes } = toMessage(init);
    if (!Object.keys(init.headers ?? {}).some((name) => name.toLowerCase() === "host"))
      raw.unshift("host", authority);
    const { limits } = this.#config.listeners[0]!;
    const head = { method, target, version: "1.1", scheme: "http" as const, raw };
    const most = { maxHeaderBytes: parseSize(limits.headerSize), maxHeaders: limits.headerCount };
    const peer = new Peer(ip, 80, "http", this.#isTrusted);
    const facts = inspectHead(head, most, peer.trusted);
    const headers = new HeaderList(raw);
    const x = new Exchange({
      method,
      target: facts.target,
      headers,
      body: bytes.length === 0 ? null : new BytesBody(bytes),
      authority: facts.authority,
      scheme: peer.trusted ? peer.clientScheme(headers) : peer.scheme,
      httpVersion: "1.1",
      peer,
      clientAddress: peer.trusted ? peer.clientAddress(headers) : peer.address,
      maxBodyBytes: parseSize(limits.bodySize),
      log: this.#log,
    });
    if (consumer !== undefined) x.consumer = { roles: [], ...consumer } satisfies Consumer;
    return x;
  }

  /** Says why a script failed: the reply must not. */
  #tell({ code, cause }: GatewayError): void {
    if (!code.startsWith("SCRIPT_") || !(cause instanceof Error)) return;
    const stack = cause.stack ?? "";
    const frame = frameOf(stack, this.#config.baseDir, false);
    process.stderr.write(`${code}  ${cause.message}\n${frame === undefined ? "" : `${frame}\n`}${stack}\n`);
  }
}

/** What is counted of every script, and changes with the machine. */
const OF_THE_GATEWAY =
  /^sluice_script_(?:calls_total|cpu_seconds_total|errors_total|demotions_total|heap_bytes|state)\{/;

interface Address {
  readonly authority: string;
  readonly target: string;
}

/** @throws TypeError for what is neither a path nor a URL */
function readUrl(url: string): Address {
  if (/^\/[\x21-\x7e]*$/.test(url)) return { authority: "localhost", target: url };
  const base = url.startsWith("/") ? "http://localhost" : undefined;
  if (!URL.canParse(url, base)) {
    throw new TypeError(`${JSON.stringify(url)} is neither a path, such as "/users/7", nor a URL`);
  }
  const { host, pathname, search } = new URL(url, base);
  return { authority: host, target: pathname + search };
}

function feedsOf({ upstreams }: CheckedConfig): Feeds {
  const feeds = Object.entries(upstreams).map(([name, { targets }]): [string, Feed] => {
    const list = (targets as readonly (string | { url: string; weight: number })[]).map((target, i) => {
      const { url, weight } = typeof target === "string" ? { url: target, weight: 1 } : target;
      return { url, weight, record: createTargetRecord(i, 1), outlier: undefined };
    });
    return [name, { shared: createUpstreamRecord(0, 1), targets: list, subscribe: () => () => {} }];
  });
  return new Map(feeds);
}
