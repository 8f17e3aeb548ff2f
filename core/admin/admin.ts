/** The admin listener: who may ask, over the same server as the gateway's own. What it gives is in pages.ts. */
import { createHash, timingSafeEqual } from "node:crypto";
import type { AdminConfig, ListenerConfig } from "../config/checked.ts";
import { listenerSchema } from "../config/schema.ts";
import { createValidator } from "../config/validate.ts";
import type { Control } from "../control.ts";
import type { Exchange, Log } from "../exchange.ts";
import { isLoopback } from "../peer.ts";
import type { Reply } from "../reply.ts";
import { hostName } from "../router.ts";
import { Listener, type Service } from "../server.ts";
import type { ListeningSocket } from "../threads/sockets.ts";
import { json } from "./json.ts";
import { findPage, PATHS } from "./pages.ts";

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

  /** @param fd a socket that listens there already, if there is one */
  listen(fd?: number): Promise<void> {
    return this.#listener.listen({ fd });
  }

  /** Accepts connections from now on. */
  begin(): void {
    this.#listener.begin();
  }

  get socket(): ListeningSocket {
    return this.#listener.socket;
  }

  async close(): Promise<void> {
    await this.#listener.close(DRAIN_MS);
  }

  handle(x: Exchange): Reply | Promise<Reply> {
    const { page, params } = findPage(x.path);
    if (page === undefined) return json(404, { error: "no such page", pages: PATHS });
    if (page.guarded && !this.#isAllowed(x)) {
      return json(401, { error: "a valid token is needed" }, ["www-authenticate", "Bearer"]);
    }
    if (page.guarded && this.#isForeign(x)) return json(403, { error: "not from another site" });
    const answer = page.methods[x.method === "HEAD" ? "GET" : x.method];
    if (answer === undefined) {
      return json(405, { error: "method not allowed" }, ["allow", Object.keys(page.methods).join(", ")]);
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

  /**
   * Not from this machine after all: a web page that makes a browser here call us, by another origin or by a name that
   * resolves to us; or what a proxy passes on, our own gateway whose discovery was told that we are a target.
   */
  #isForeign(x: Exchange): boolean {
    if (this.#token !== undefined) return false;
    if (x.headers.has("via")) return true;
    const host = hostName(x.authority);
    const isOwnName = host === "localhost" || isLoopback(host.replace(/^\[|\]$/g, ""));
    const origin = x.headers.get("origin");
    // Browsers leave out the origin where a page only embeds something of ours, but say that it is from another site.
    const site = x.headers.get("sec-fetch-site") ?? "none";
    const isOwnSite = site === "none" || site === "same-origin";
    return !isOwnName || !isOwnSite || (origin !== undefined && origin !== `http://${x.authority}`);
  }
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
