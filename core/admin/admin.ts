/** The admin listener: health, metrics and the configuration, over the same server as the gateway's own. */
import { createHash, timingSafeEqual } from "node:crypto";
import type { AdminConfig, ListenerConfig } from "../config/checked.ts";
import { listenerSchema } from "../config/schema.ts";
import { createValidator } from "../config/validate.ts";
import type { Control } from "../control.ts";
import { ConfigError, GatewayError } from "../errors.ts";
import type { Exchange, Log } from "../exchange.ts";
import type { Reply } from "../reply.ts";
import { textReply } from "../reply.ts";
import { hostName } from "../router.ts";
import { Listener, type Service } from "../server.ts";
import { isLoopback } from "../peer.ts";

/** @param params what stands in the place of `:name` in the path, decoded */
type Answer = (control: Control, x: Exchange, params: readonly string[]) => Reply | Promise<Reply>;

interface AdminRoute {
  /** Needs the token, when one is set. */
  guarded: boolean;
  methods: Readonly<Record<string, Answer>>;
}

const ROUTES: Readonly<Record<string, AdminRoute>> = {
  "/health/live": { guarded: false, methods: { GET: () => json(200, { status: "live" }) } },
  "/health/ready": { guarded: false, methods: { GET: ready } },
  "/metrics": { guarded: true, methods: { GET: metrics } },
  "/admin/config": { guarded: true, methods: { GET: showConfig } },
  "/admin/config/reload": { guarded: true, methods: { POST: reload } },
  "/admin/stats": { guarded: true, methods: { GET: stats } },
  "/admin/upstreams": { guarded: true, methods: { GET: listOf("upstreams") } },
  "/admin/upstreams/:name": { guarded: true, methods: { GET: oneOf("upstreams") } },
  "/admin/upstreams/:name/targets/:id": { guarded: true, methods: { PATCH: setTarget } },
  "/admin/circuit-breakers": { guarded: true, methods: { GET: listOf("circuit-breakers") } },
  "/admin/circuit-breakers/:id": {
    guarded: true,
    methods: { GET: oneOf("circuit-breakers"), PATCH: changeOf("circuit-breakers") },
  },
};

/** Bytes of a request body. */
const MAX_BODY_BYTES = 64 * 1024;

function findRoute(path: string): { route: AdminRoute | undefined; params: string[] } {
  const exact = Object.hasOwn(ROUTES, path) ? ROUTES[path] : undefined;
  if (exact !== undefined) return { route: exact, params: [] };
  const steps = path.split("/");
  for (const [pattern, route] of Object.entries(ROUTES)) {
    const wanted = pattern.split("/");
    if (wanted.length !== steps.length) continue;
    if (!wanted.every((step, i) => step.startsWith(":") || step === steps[i])) continue;
    try {
      const params = steps.filter((_, i) => wanted[i]!.startsWith(":")).map(decodeURIComponent);
      return { route, params };
    } catch {
      break; // a percent sign that encodes nothing: no such page
    }
  }
  return { route: undefined, params: [] };
}

/** How long requests to the admin listener may go on when it closes. */
const DRAIN_MS = 1000;

export class Admin implements Service {
  readonly log: Log;
  readonly address: string;
  readonly #control: Control;
  readonly #listener: Listener;
  #token: Buffer | undefined;

  constructor(config: AdminConfig, control: Control) {
    this.log = control.log;
    this.address = config.address;
    this.#control = control;
    const listener = { address: config.address, limits: { bodySize: "64KB" } };
    createValidator(listenerSchema)(listener);
    this.#listener = new Listener(listener as unknown as ListenerConfig, this);
    this.update(config);
  }

  get url(): string {
    return this.#listener.url;
  }

  /** Takes over a changed token. */
  update(config: AdminConfig): void {
    this.#token = config.token === "" ? undefined : digest(config.token);
  }

  listen(): Promise<void> {
    return this.#listener.listen();
  }

  async close(): Promise<void> {
    await this.#listener.close(DRAIN_MS);
  }

  handle(x: Exchange): Reply | Promise<Reply> {
    const { route, params } = findRoute(x.path);
    if (route === undefined) return json(404, { error: "no such page", pages: Object.keys(ROUTES) });
    if (route.guarded && !this.#isAllowed(x)) {
      return json(401, { error: "a valid token is needed" }, ["www-authenticate", "Bearer"]);
    }
    if (route.guarded && this.#isForeign(x)) return json(403, { error: "not from another site" });
    const answer = route.methods[x.method === "HEAD" ? "GET" : x.method];
    if (answer === undefined) {
      return json(405, { error: "method not allowed" }, ["allow", Object.keys(route.methods).join(", ")]);
    }
    return answer(this.#control, x, params);
  }

  onStart(): void {}

  onEnd(): void {}

  onRefused(): void {}

  #isAllowed(x: Exchange): boolean {
    if (this.#token === undefined) return true;
    const given = /^Bearer +(.+)$/i.exec(x.headers.get("authorization") ?? "")?.[1];
    return given !== undefined && timingSafeEqual(digest(given), this.#token);
  }

  /** A web page that makes a browser on this machine call us: by another origin, or by a name that resolves to us. */
  #isForeign(x: Exchange): boolean {
    if (this.#token !== undefined) return false;
    const host = hostName(x.authority);
    const isOwnName = host === "localhost" || isLoopback(host.replace(/^\[|\]$/g, ""));
    const origin = x.headers.get("origin");
    return !isOwnName || (origin !== undefined && origin !== `http://${x.authority}`);
  }
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

function json(status: number, value: unknown, headers: readonly string[] = []): Reply {
  const all = ["cache-control", "no-store", ...headers];
  return textReply(status, `${JSON.stringify(value, null, 2)}\n`, "application/json", all);
}

function ready({ state, generation }: Control): Reply {
  const isReady = state === "ready" && generation > 0;
  return json(isReady ? 200 : 503, { status: state, generation });
}

async function metrics(control: Control): Promise<Reply> {
  const { text, contentType } = await control.metrics.render();
  return textReply(200, text, contentType);
}

function status(control: Control): object {
  const { failure, generation } = control;
  return {
    generation,
    hash: control.loaded?.config.hash,
    error: failure && { at: new Date(failure.at).toISOString(), problems: failure.problems },
  };
}

function showConfig(control: Control): Reply {
  return json(200, { ...status(control), config: control.loaded?.effective() });
}

async function reload(control: Control): Promise<Reply> {
  const result = await control.reload();
  return json(result.result === "refused" ? 422 : 200, result);
}

function stats(control: Control): Reply {
  const { metrics: counted } = control;
  const { rss, heapUsed } = process.memoryUsage();
  return json(200, {
    ...status(control),
    state: control.state,
    uptimeSeconds: Math.round(process.uptime()),
    listeners: control.urls,
    activeRequests: counted.active,
    memory: { rssBytes: rss, heapUsedBytes: heapUsed },
    ...counted.totals(),
  });
}

/** All of a collection, as a list. */
function listOf(collection: string): Answer {
  return async (control) => json(200, Object.values(await control.inspect(collection)));
}

function oneOf(collection: string): Answer {
  return async (control, _x, [id = ""]) => {
    const all = await control.inspect(collection);
    return Object.hasOwn(all, id) ? json(200, all[id]) : unknown(Object.keys(all));
  };
}

function changeOf(collection: string): Answer {
  return (control, x, [id = ""]) => change(control, collection, id, x, (patch) => patch);
}

function setTarget(control: Control, x: Exchange, [name = "", id = ""]: readonly string[]): Promise<Reply> {
  return change(control, "upstreams", name, x, (patch) => ({ targets: { [id]: patch } }));
}

async function change(
  control: Control,
  collection: string,
  id: string,
  x: Exchange,
  wrap: (patch: unknown) => unknown,
): Promise<Reply> {
  let patch: unknown;
  try {
    patch = JSON.parse((await x.readBody(MAX_BODY_BYTES)).toString());
  } catch (error) {
    if (error instanceof GatewayError) throw error;
    return json(400, { error: "the body must be JSON" });
  }
  try {
    const changed = await control.change(collection, id, wrap(patch));
    if (changed !== undefined) return json(200, changed);
    return unknown(Object.keys(await control.inspect(collection)));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return json(422, { problems: error.problems });
  }
}

function unknown(known: readonly string[]): Reply {
  return json(404, { error: "there is none of this name", known });
}
