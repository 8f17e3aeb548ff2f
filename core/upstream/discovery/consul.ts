/**
 * Targets are the instances of a service in Consul whose checks pass. A blocking query tells of each change
 * (https://developer.hashicorp.com/consul/api-docs/features/blocking). An empty list is an answer: all are gone.
 */
import { ConfigError } from "../../errors.ts";
import { parseDuration } from "../../units.ts";
import type { DiscoveryContext, SourceConfig } from "./discovery.ts";
import { ApiClient, checkCa, excerpt, parseJson, readText } from "./http.ts";
import { pause } from "../../pause.ts";
import { type Follower, type Found, parseApiUrl, reasonOf, type Source, targetUrl } from "./source.ts";

type ConsulConfig = Extract<SourceConfig, { consul: unknown }>;

/** Between the starts of two queries, however fast the service changes. */
const BUSY_MS = 200;
/** The same while queries do not block: nothing changed, or Consul gave no index. */
const UNBLOCKED_MS = 1000;
/** How long an answer may take that waits for nothing. */
const ANSWER_MS = 6000;

const MAX_WEIGHT = 65_535;

/** An instance, as far as it matters. What it says is not checked. */
interface Instance {
  readonly Node?: { readonly Node?: string; readonly Address?: string };
  readonly Service?: {
    readonly ID?: string;
    readonly Address?: string;
    readonly Port?: number;
    readonly Weights?: { readonly Passing?: unknown };
  };
}

export class ConsulSource implements Source {
  readonly kind = "consul";
  readonly #client = new ApiClient();
  readonly #config: ConsulConfig;
  readonly #context: Pick<DiscoveryContext, "clock" | "random">;
  readonly #url: URL;
  readonly #waitMs: number;

  constructor(config: ConsulConfig, context: Pick<DiscoveryContext, "clock" | "random">) {
    const { url, service, tag, datacenter, ca, wait } = config.consul;
    this.#config = config;
    this.#context = context;
    this.#url = parseApiUrl(url, "/targets/consul/url");
    this.#url.pathname = `${this.#url.pathname.replace(/\/$/, "")}/v1/health/service/${encodeURIComponent(service)}`;
    this.#url.searchParams.set("passing", "true");
    if (tag !== undefined) this.#url.searchParams.set("tag", tag);
    if (datacenter !== undefined) this.#url.searchParams.set("dc", datacenter);
    checkCa(ca, "/targets/consul/ca");
    this.#waitMs = parseDuration(wait);
    if (this.#waitMs < 1000 || this.#waitMs > 600_000) {
      throw new ConfigError("Consul waits from 1s to 10m", "/targets/consul/wait");
    }
  }

  async follow(follower: Follower): Promise<void> {
    const { clock } = this.#context;
    let index = 0;
    while (!follower.signal.aborted) {
      const startedAt = clock.monotonic();
      const answer = await this.#query(index, follower.signal);
      this.#tell(follower, answer.instances);
      // An index that goes back is begun anew; one of zero would make every query return at once.
      const isBlocked = answer.index > 0 && answer.index !== index;
      index = answer.index < index ? 0 : answer.index;
      const least = isBlocked ? BUSY_MS : UNBLOCKED_MS;
      await pause(Math.max(0, least - (clock.monotonic() - startedAt)), follower.signal);
    }
  }

  async #query(index: number, signal: AbortSignal): Promise<{ index: number; instances: Instance[] }> {
    const { token, ca } = this.#config.consul;
    const url = new URL(this.#url);
    let idleMs = ANSWER_MS;
    if (index > 0) {
      const waitMs = Math.round(this.#waitMs * (0.9 + 0.1 * this.#context.random()));
      url.searchParams.set("index", String(index));
      url.searchParams.set("wait", `${waitMs}ms`);
      idleMs += waitMs * (17 / 16); // Consul itself waits up to a sixteenth longer
    }
    const headers: Record<string, string> = token === undefined ? {} : { "x-consul-token": token };
    try {
      const reply = await this.#client.get(url, { headers, ca, idleMs, signal });
      const text = await readText(reply);
      if (reply.statusCode !== 200) throw new Error(`it answered ${reply.statusCode}: ${excerpt(text)}`);
      const instances = parseJson(text);
      if (!Array.isArray(instances)) throw new Error("the answer is not a list of instances");
      const told = Number(reply.headers["x-consul-index"]);
      return { index: Number.isSafeInteger(told) && told > 0 ? told : 0, instances };
    } catch (error) {
      throw new Error(`Consul at ${url.origin}: ${reasonOf(error)}`, { cause: error });
    }
  }

  #tell(follower: Follower, instances: readonly Instance[]): void {
    const targets: Found[] = [];
    let failure: Error | undefined;
    for (const instance of instances) {
      const { Service: service, Node: node } = instance ?? {};
      const host = service?.Address || node?.Address;
      const url = targetUrl(this.#config, host, service?.Port || undefined);
      if (url === undefined) {
        const id = JSON.stringify(service?.ID ?? "").slice(0, 100);
        failure ??= new Error(`The instance ${id} in Consul has no usable address and port`);
      } else {
        targets.push({ url, weight: weightOf(service?.Weights?.Passing) });
      }
    }
    if (failure === undefined) follower.tell(targets);
    else follower.failed(failure, targets);
  }
}

/** Consul's own weights are whole numbers up to 65535; what else stands there must not upset the shares of others. */
function weightOf(told: unknown): number {
  return Number.isInteger(told) && (told as number) >= 0 ? Math.min(told as number, MAX_WEIGHT) : 1;
}
