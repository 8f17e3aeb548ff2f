/** An upstream in memory, for measuring what picks and stages cost without a network. */
import { NO_AUDIT } from "../../core/audit.ts";
import { Consumers } from "../../core/consumers.ts";
import type { Exchange } from "../../core/exchange.ts";
import {
  type Clock,
  GatewayError,
  type Handler,
  type Host,
  type Metrics,
  type Plugin,
  type Reply,
  type Target,
  textReply,
  type Upstream,
} from "../../core/plugin.ts";
import { createValidator } from "../../core/config/validate.ts";
import { createSharedMemory, SharedMemory } from "../../core/threads/shared-memory.ts";
import { NO_LOG } from "./no-log.ts";

/** Requests that are under way at any time. */
const IN_FLIGHT = 64;

class MemoryTarget implements Target {
  readonly upstream = "users";
  readonly id: string;
  readonly url: string;
  readonly weight: number;
  readonly latencyMs: number;
  inFlight = 0;
  readonly #owner: MemoryUpstream;

  constructor(i: number, weight: number, owner: MemoryUpstream) {
    this.id = `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}:80`;
    this.url = `http://${this.id}`;
    this.weight = weight;
    this.latencyMs = 1 + ((i * 7919) % 50);
    this.#owner = owner;
  }

  forward(x: Exchange): Promise<Reply> {
    x.upstream = this.upstream;
    x.target = this;
    return this.#owner.take(this);
  }
}

/** Targets of which the last {@link IN_FLIGHT} that were picked are busy. */
export class MemoryUpstream implements Upstream {
  readonly name = "users";
  readonly targets: readonly MemoryTarget[];
  readonly version = 1;
  readonly #busy: (MemoryTarget | undefined)[] = Array(IN_FLIGHT).fill(undefined);
  readonly #reply = Promise.resolve(textReply(200, ""));
  #next = 0;

  constructor(count: number, weights: (i: number) => number) {
    this.targets = Array.from({ length: count }, (_, i) => new MemoryTarget(i, weights(i), this));
  }

  get eligible(): readonly Target[] {
    return this.targets;
  }

  get inFlight(): number {
    return Math.min(this.#next, IN_FLIGHT);
  }

  accepts(): boolean {
    return true;
  }

  unavailable(): GatewayError {
    return new GatewayError("UPSTREAM_UNAVAILABLE");
  }

  take(target: MemoryTarget): Promise<Reply> {
    const at = this.#next++ % IN_FLIGHT;
    const done = this.#busy[at];
    if (done !== undefined) done.inFlight--;
    target.inFlight++;
    this.#busy[at] = target;
    return this.#reply;
  }
}

const clock: Clock = { now: () => Date.now(), monotonic: () => performance.now() };
const metrics: Metrics = {
  counter: () => ({ inc() {} }),
  gauge: () => ({ set() {} }),
  histogram: () => ({ observe() {} }),
  collect: () => () => {},
};

/** Builds a stage as a generation would, above `next`. */
export async function buildStage(
  plugin: Plugin,
  options: object,
  upstream: Upstream,
  next: Handler,
  consumers = new Consumers([]),
): Promise<Handler> {
  const checked = structuredClone(options);
  const errors = createValidator(plugin.schema)(checked);
  if (errors.length > 0) throw new Error(JSON.stringify(errors));
  const kept = new Map<string, object>();
  const host: Host = {
    route: "bench",
    stage: "bench",
    log: NO_LOG,
    clock,
    metrics,
    upstreams: new Map([[upstream.name, upstream]]),
    stores: new Map(),
    consumers,
    audit: NO_AUDIT,
    shared: new SharedMemory(createSharedMemory(1), 0),
    random: Math.random,
    baseDir: process.cwd(),
    onActivate() {},
    adopt: () => false,
    onClose() {},
    keep: (key, create) => {
      if (!kept.has(key)) kept.set(key, create());
      return kept.get(key) as ReturnType<typeof create>;
    },
    expose: () => () => {},
  };
  const stage = await plugin.build(checked as never, host);
  return stage(next);
}
