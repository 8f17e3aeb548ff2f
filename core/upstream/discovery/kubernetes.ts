/**
 * Targets are the pods of a Kubernetes service that are ready: its EndpointSlices are listed once and then watched
 * (https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes). An empty list is
 * an answer: no pod is ready.
 */
import type { IncomingMessage } from "node:http";
import { ConfigError } from "../../errors.ts";
import { ClusterAccess, type Pod, THIS_POD } from "./cluster-access.ts";
import type { DiscoveryContext, SourceConfig } from "./discovery.ts";
import { type EndpointSlice, targetsOf } from "./endpoint-slices.ts";
import { AnswerError, ApiClient, excerpt, parseJson, readLines, readText } from "./http.ts";
import { pause } from "../../pause.ts";
import { type Follower, reasonOf, type Source } from "./source.ts";

type KubernetesConfig = Extract<SourceConfig, { kubernetes: unknown }>;

/** Least time between two lists, and between two watches. */
const BUSY_MS = 1000;
/** How long an answer may take that waits for nothing. */
const ANSWER_MS = 6000;
/** How long a watch lasts, about; then it is begun again where it ended. */
const WATCH_MS = 300_000;
/** After this time beyond a watch's end nothing will come any more. */
const GRACE_MS = 30_000;

/** What the API server sends while it is watched. */
interface WatchEvent {
  readonly type?: string;
  readonly object?: EndpointSlice & { readonly code?: number; readonly message?: string };
}

/** The version to go on from is too old: everything must be listed again. */
const GONE = 410;

export class KubernetesSource implements Source {
  readonly kind = "kubernetes";
  readonly #client = new ApiClient();
  readonly #config: KubernetesConfig;
  readonly #context: Pick<DiscoveryContext, "clock" | "random">;
  readonly #access: ClusterAccess;
  /** True while watches are refused, although lists are not: then a list alone is no recovery. */
  #cannotWatch = false;

  constructor(
    config: KubernetesConfig,
    context: Pick<DiscoveryContext, "clock" | "random">,
    pod: Pod = THIS_POD,
  ) {
    this.#config = config;
    this.#context = context;
    this.#access = new ClusterAccess(config.kubernetes, pod);
    for (const key of ["service", "namespace"] as const) {
      const name = config.kubernetes[key];
      if (name !== undefined && !/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name)) {
        const message = "Names in Kubernetes have small letters, digits and dashes, at most 63";
        throw new ConfigError(message, `/targets/kubernetes/${key}`);
      }
    }
  }

  async follow(follower: Follower): Promise<void> {
    const { signal } = follower;
    while (!signal.aborted) {
      const startedAt = this.#context.clock.monotonic();
      const goOn = await this.#listAndWatch(follower);
      if (!goOn) return;
      await this.#rest(startedAt, signal);
    }
  }

  /** @returns false when it failed, and said so */
  async #listAndWatch(follower: Follower): Promise<boolean> {
    const { signal } = follower;
    const { version: listed, slices } = await this.#list(signal);
    let version: string | undefined = listed;
    if (!this.#cannotWatch) this.#tell(slices, follower);
    while (version !== undefined && !signal.aborted) {
      const startedAt = this.#context.clock.monotonic();
      let reply: IncomingMessage;
      try {
        reply = await this.#watch(version, signal);
      } catch (error) {
        if (error instanceof StatusError && error.status === GONE) return true;
        this.#cannotWatch = true;
        this.#tell(slices, follower, error as Error);
        return false;
      }
      if (this.#cannotWatch) this.#tell(slices, follower);
      this.#cannotWatch = false;
      version = await this.#read(reply, version, slices, follower);
      if (version !== undefined) await this.#rest(startedAt, signal);
    }
    return true;
  }

  /** Waits until enough time has passed since `startedAt`. */
  async #rest(startedAt: number, signal: AbortSignal): Promise<void> {
    await pause(Math.max(0, BUSY_MS - (this.#context.clock.monotonic() - startedAt)), signal);
  }

  async #list(signal: AbortSignal): Promise<{ version: string; slices: Map<string, EndpointSlice> }> {
    const reply = await this.#request({}, ANSWER_MS, signal);
    const list = parseJson(await readText(reply)) as {
      metadata?: { resourceVersion?: string };
      items?: EndpointSlice[];
    } | null;
    const version = list?.metadata?.resourceVersion;
    if (version === undefined || !Array.isArray(list?.items)) {
      throw new AnswerError("the API server's answer is not a list of EndpointSlices");
    }
    return { version, slices: new Map(list.items.map((slice) => [slice.metadata?.name ?? "", slice])) };
  }

  #watch(version: string, signal: AbortSignal): Promise<IncomingMessage> {
    const seconds = Math.round((WATCH_MS / 1000) * (0.9 + 0.2 * this.#context.random()));
    const query = {
      watch: "true",
      allowWatchBookmarks: "true",
      resourceVersion: version,
      timeoutSeconds: String(seconds),
    };
    return this.#request(query, seconds * 1000 + GRACE_MS, signal);
  }

  /**
   * Reads changes until the watch ends, whyever: the connection may break at any time.
   * @returns the version to go on from; undefined when everything must be listed again
   */
  async #read(
    reply: IncomingMessage,
    from: string,
    slices: Map<string, EndpointSlice>,
    follower: Follower,
  ): Promise<string | undefined> {
    let version = from;
    try {
      for await (const lines of readLines(reply)) {
        let isChanged = false;
        for (const line of lines) {
          const { type, object } = (parseJson(line) ?? {}) as WatchEvent;
          if (type === "ERROR") {
            if (object?.code === GONE) return undefined;
            throw new AnswerError(`the API server ended the watch: ${object?.message ?? "no reason given"}`);
          }
          const name = object?.metadata?.name ?? "";
          if (type === "DELETED") slices.delete(name);
          else if (type === "ADDED" || type === "MODIFIED") slices.set(name, object!);
          isChanged ||= type !== "BOOKMARK";
          version = object?.metadata?.resourceVersion ?? version;
        }
        if (isChanged) this.#tell(slices, follower);
      }
    } catch (error) {
      if (error instanceof AnswerError) throw error;
    }
    return version;
  }

  /** @throws StatusError when the answer is not 200 */
  async #request(
    query: Record<string, string>,
    idleMs: number,
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const url = this.#access.url();
    const namespace = await this.#access.namespace();
    const [token, ca] = [await this.#access.token(), await this.#access.ca()];
    url.pathname = `${url.pathname.replace(/\/$/, "")}/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`;
    url.searchParams.set("labelSelector", `kubernetes.io/service-name=${this.#config.kubernetes.service}`);
    for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
    const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
    let reply: IncomingMessage;
    try {
      reply = await this.#client.get(url, { headers, ca, idleMs, signal });
    } catch (error) {
      throw new Error(`Kubernetes at ${url.origin}: ${reasonOf(error)}`, { cause: error });
    }
    if (reply.statusCode === 200) return reply;
    throw new StatusError(reply.statusCode ?? 0, messageOf(await readText(reply)));
  }

  #tell(slices: ReadonlyMap<string, EndpointSlice>, follower: Follower, failure?: Error): void {
    try {
      const targets = targetsOf(slices.values(), this.#config);
      if (failure === undefined) follower.tell(targets);
      else follower.failed(failure, targets);
    } catch (error) {
      follower.failed(failure ?? (error as Error));
    }
  }
}

/** The API server refused. */
class StatusError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(`Kubernetes answered ${status}: ${message}`);
    this.status = status;
  }
}

/** The message of a Status, or the start of whatever came instead. */
function messageOf(text: string): string {
  try {
    const { message } = parseJson(text) as { message?: unknown };
    if (typeof message === "string") return excerpt(message);
  } catch {
    // A proxy in between answers in its own way.
  }
  return excerpt(text);
}
