/** The admin listener: health, metrics and the configuration, over the same server as the gateway's own. */
import { createHash, timingSafeEqual } from "node:crypto";
import type { AdminConfig, ListenerConfig } from "../config/checked.ts";
import { listenerSchema } from "../config/schema.ts";
import { createValidator } from "../config/validate.ts";
import type { Control } from "../control.ts";
import type { Exchange, Log } from "../exchange.ts";
import type { Reply } from "../reply.ts";
import { textReply } from "../reply.ts";
import { hostName } from "../router.ts";
import { Listener, type Service } from "../server.ts";
import { isLoopback } from "../peer.ts";

type Answer = (control: Control) => Reply | Promise<Reply>;

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
};

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
    const route = ROUTES[x.path];
    if (route === undefined) return json(404, { error: "no such page", pages: Object.keys(ROUTES) });
    if (route.guarded && !this.#isAllowed(x)) {
      return json(401, { error: "a valid token is needed" }, ["www-authenticate", "Bearer"]);
    }
    if (route.guarded && this.#isForeign(x)) return json(403, { error: "not from another site" });
    const answer = route.methods[x.method === "HEAD" ? "GET" : x.method];
    if (answer === undefined) {
      return json(405, { error: "method not allowed" }, ["allow", Object.keys(route.methods).join(", ")]);
    }
    return answer(this.#control);
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
