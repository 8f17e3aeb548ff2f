/** Runs one plugin in memory: options through its schema, a fake upstream below it, a fake clock. No sockets. */
import { type Body, BytesBody } from "../../core/body.ts";
import { createValidator } from "../../core/config/validate.ts";
import { Consumers } from "../../core/consumers.ts";
import { GatewayError } from "../../core/errors.ts";
import { createExchange, type Exchange, type ExchangeInit, type Log } from "../../core/exchange.ts";
import { HeaderList } from "../../core/headers.ts";
import type {
  Audit,
  AuditRecorder,
  Clock,
  Exposed,
  Handler,
  Host,
  KeyValueStore,
  Labels,
  Plugin,
  SharedState,
  Target,
  Upstream,
} from "../../core/plugin.ts";
import { Reply, textReply } from "../../core/reply.ts";
import { MemoryStore } from "../../core/store/memory.ts";
import { createSharedMemory, SharedMemory } from "../../core/threads/shared-memory.ts";

/** A log that keeps its lines. */
export class FakeLog implements Log {
  readonly lines: { level: string; fields: object; message: string }[];

  constructor(lines: FakeLog["lines"] = []) {
    this.lines = lines;
  }

  #add(level: string, fields: object, message: string): void {
    this.lines.push({ level, fields, message });
  }

  debug(fields: object, message: string): void {
    this.#add("debug", fields, message);
  }
  info(fields: object, message: string): void {
    this.#add("info", fields, message);
  }
  warn(fields: object, message: string): void {
    this.#add("warn", fields, message);
  }
  error(fields: object, message: string): void {
    this.#add("error", fields, message);
  }
  child(): Log {
    return this;
  }
}

/** A clock that moves only when told. */
export class FakeClock implements Clock {
  time = 1_700_000_000_000;

  now(): number {
    return this.time;
  }
  monotonic(): number {
    return this.time;
  }
  advance(ms: number): void {
    this.time += ms;
  }
}

/** Takes all audit events. */
export class FakeAudit implements Audit {
  readonly events: object[] = [];

  recorder(event: string, outcome: string): AuditRecorder {
    return {
      record: ({ consumer }, facts = {}) => {
        const { consumer: who = consumer, ...others } = facts;
        this.events.push({ event, outcome, ...others, ...(who && { consumer: who.name }) });
      },
    };
  }
}

/** A host that keeps what a stage registered. */
export class FakeHost implements Host {
  route = "test";
  stage = "stage";
  log = new FakeLog();
  clock = new FakeClock();
  upstreams: Map<string, Upstream> = new Map();
  stores: Map<string, KeyValueStore> = new Map([["main", new MemoryStore(64 * 1024 ** 2, this.clock)]]);
  consumers = new Consumers([]);
  audit = new FakeAudit();
  /** Made when it is used: it is large, and few plugins do. */
  #shared: SharedState | undefined;
  baseDir = process.cwd();
  /** Sums of counters, by name and labels. */
  readonly counts = new Map<string, number>();
  readonly closers: (() => void | Promise<void>)[] = [];
  readonly kept = new Map<string, unknown>();
  metrics: Host["metrics"] = {
    counter: (name) => ({ inc: (labels, by = 1) => this.#add(name, labels, by) }),
    gauge: (name) => ({ set: (value, labels) => this.counts.set(key(name, labels), value) }),
    histogram: (name) => ({ observe: (_value, labels) => this.#add(name, labels, 1) }),
    collect: (name, _help, _type, source) => {
      const sources = this.sources.get(name) ?? new Set();
      this.sources.set(name, sources.add(source));
      return () => void sources.delete(source);
    },
  };

  /** What stages show to operators, by collection and id. */
  readonly exposed = new Map<string, Exposed>();
  /** Sources of collected metrics, by name. */
  readonly sources = new Map<string, Set<() => Iterable<readonly [Labels, number]>>>();

  get shared(): SharedState {
    this.#shared ??= new SharedMemory(createSharedMemory(1, this.clock.monotonic(), this.clock.now()), 0);
    return this.#shared;
  }

  set shared(shared: SharedState) {
    this.#shared = shared;
  }

  /** What `random()` gives, in turn; 0.5 when it is used up. */
  readonly randoms: number[] = [];

  random(): number {
    return this.randoms.shift() ?? 0.5;
  }

  expose(collection: string, id: string, thing: Exposed): () => void {
    const path = `${collection}/${id}`;
    this.exposed.set(path, thing);
    return () => void this.exposed.delete(path);
  }

  /** Collected values of a metric now, by labels. */
  collected(name: string): Record<string, number> {
    const values: Record<string, number> = {};
    for (const source of this.sources.get(name) ?? []) {
      for (const [labels, value] of source()) values[key("", labels)] = value;
    }
    return values;
  }

  #add(name: string, labels: Labels | undefined, by: number): void {
    const id = key(name, labels);
    this.counts.set(id, (this.counts.get(id) ?? 0) + by);
  }

  /** What begins when the generation serves. */
  readonly beginners: (() => void)[] = [];
  /** Whether exchanges are for the route. */
  adopts: (x: Exchange) => boolean = () => true;

  onActivate(begin: () => void): void {
    this.beginners.push(begin);
  }

  adopt(x: Exchange): boolean {
    return this.adopts(x);
  }

  onClose(close: () => void | Promise<void>): void {
    this.closers.push(close);
  }

  /** Ends what was opened, and then what outlives reloads. */
  async close(): Promise<void> {
    for (const close of this.closers.splice(0).toReversed()) await close();
    for (const kept of this.kept.values()) await (kept as { close?(): unknown }).close?.();
  }

  keep<T>(key: string, create: () => T): T {
    if (!this.kept.has(key)) this.kept.set(key, create());
    return this.kept.get(key) as T;
  }
}

const key = (name: string, labels: Labels = {}): string => `${name}${JSON.stringify(labels)}`;

/** A target whose replies a test decides on; it counts what is under way. */
export class FakeTarget implements Target {
  readonly upstream: string;
  readonly id: string;
  readonly url: string;
  weight = 1;
  inFlight = 0;
  latencyMs = 0;
  /** Requests that came. */
  readonly seen: Exchange[] = [];
  /** Answers; 200 with the target's id by default. */
  answer: (x: Exchange) => Reply | Promise<Reply> = () => textReply(200, this.id);

  constructor(id: string, upstream = "users") {
    this.id = id;
    this.url = `http://${id}`;
    this.upstream = upstream;
  }

  async forward(x: Exchange): Promise<Reply> {
    x.upstream = this.upstream;
    x.target = this;
    this.seen.push(x);
    this.inFlight++;
    try {
      return await this.answer(x);
    } finally {
      this.inFlight--;
    }
  }
}

/** An upstream whose eligible targets a test decides on. */
export class FakeUpstream implements Upstream {
  readonly name: string;
  targets: readonly FakeTarget[];
  #eligible: readonly FakeTarget[];
  version = 1;

  constructor(name: string, targets: readonly (FakeTarget | string)[]) {
    this.name = name;
    this.targets = targets.map((each) => (typeof each === "string" ? new FakeTarget(each, name) : each));
    this.#eligible = this.targets;
  }

  get eligible(): readonly FakeTarget[] {
    return this.#eligible;
  }

  set eligible(targets: readonly FakeTarget[]) {
    this.#eligible = targets;
    this.version++;
  }

  get inFlight(): number {
    return this.targets.reduce((sum, target) => sum + target.inFlight, 0);
  }

  /** Sets weights, in order. */
  weigh(...weights: number[]): void {
    for (const [i, weight] of weights.entries()) this.targets[i]!.weight = weight;
    this.eligible = this.targets.filter(({ weight }) => weight > 0);
  }

  accepts(target: Target): boolean {
    return this.#eligible.includes(target as FakeTarget);
  }

  unavailable(): GatewayError {
    return new GatewayError("UPSTREAM_UNAVAILABLE", { headers: ["retry-after", "1"] });
  }
}

/** What `exchange()` takes: an exchange's fields, headers as an object, a body as text or bytes. */
export interface RequestInit {
  method?: string;
  target?: string;
  headers?: Record<string, string | string[]> | string[];
  body?: string | Buffer | Body | null;
  params?: Record<string, string>;
  init?: Partial<ExchangeInit>;
}

export function headerList(headers: RequestInit["headers"] = {}): HeaderList {
  if (Array.isArray(headers)) return new HeaderList(headers.slice());
  return new HeaderList(
    Object.entries(headers).flatMap(([name, value]) => [value].flat().flatMap((v) => [name, v])),
  );
}

/** An exchange as a server would open it. */
export function exchange(request: RequestInit = {}): Exchange {
  const { body = null } = request;
  const x = createExchange({
    log: new FakeLog(),
    method: request.method ?? "GET",
    target: request.target ?? "/",
    headers: headerList(request.headers),
    body: typeof body === "string" || Buffer.isBuffer(body) ? new BytesBody(Buffer.from(body)) : body,
    ...request.init,
  });
  if (request.params !== undefined) x.params = request.params;
  return x;
}

/** A reply of the fake upstream. */
export function reply(
  status: number,
  headers: RequestInit["headers"] = {},
  body: string | Buffer = "",
): Reply {
  const bytes = Buffer.from(body);
  const list = headerList(headers);
  if (bytes.length > 0 && !list.has("content-length")) list.append("content-length", String(bytes.length));
  return new Reply(status, list, bytes.length === 0 ? null : new BytesBody(bytes));
}

/** Reads a body to text as the client would see it (codings not undone). */
export async function bodyText(message: { body: Body | null }): Promise<string> {
  const { collect } = await import("../../core/body.ts");
  return message.body === null ? "" : (await collect(message.body, 1e9)).toString();
}

/**
 * Builds a plugin as a generation would.
 * @param options raw options; they are checked and defaults are filled in
 * @param upstream handler below the stage; answers 200 "upstream" by default
 * @throws Error listing schema errors, ConfigError from build
 */
export async function buildStage(
  plugin: Plugin,
  options: Record<string, unknown> = {},
  upstream: Handler = () => textReply(200, "upstream"),
  host: FakeHost = new FakeHost(),
): Promise<Handler> {
  const checked = structuredClone(options);
  const errors = createValidator(plugin.schema)(checked);
  if (errors.length > 0) throw new Error(errors.map((e) => `${e.instancePath} ${e.message}`).join("\n"));
  const stage = await plugin.build(checked as never, host);
  return stage(upstream);
}
