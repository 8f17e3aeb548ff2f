/**
 * Speaks the part of Consul's HTTP API that tells of healthy instances, blocking queries included. The shape of an
 * answer is one of Consul 1.18.
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { createApiServer, listen, portOf } from "./api-server.ts";
import type { Certificate } from "./certificates.ts";

export interface Instance {
  readonly id: string;
  /** Of the service; that of its node when it is empty. */
  readonly address?: string;
  readonly port?: number;
  readonly nodeAddress?: string;
  readonly tags?: readonly string[];
  readonly weight?: number;
  readonly isPassing?: boolean;
}

export class ConsulServer {
  readonly #server: Server;
  readonly #scheme: string;
  readonly #services = new Map<string, readonly Instance[]>();
  readonly #blocked = new Set<() => void>();
  #waiting: (() => void)[] = [];
  #refusal: { status: number; body: string } | undefined;
  /** Grows with every change, of any service. */
  index = 100;
  /** Token that must be sent, if any. */
  token: string | undefined;
  /** Queries that came. */
  readonly queries: URLSearchParams[] = [];
  /** Paths of the queries that came. */
  readonly paths: string[] = [];
  /** Headers to send instead of the index. */
  headers: Record<string, string> | undefined;

  private constructor(certificate: Certificate | undefined) {
    const handle = (request: IncomingMessage, response: ServerResponse): void =>
      this.#handle(request, response);
    this.#scheme = certificate === undefined ? "http" : "https";
    this.#server = createApiServer(handle, certificate);
  }

  static async start(certificate?: Certificate): Promise<ConsulServer> {
    const consul = new ConsulServer(certificate);
    await listen(consul.#server);
    return consul;
  }

  get url(): string {
    return `${this.#scheme}://127.0.0.1:${portOf(this.#server)}`;
  }

  /** Registers the instances of a service, all of them. */
  set(service: string, instances: readonly Instance[]): void {
    this.#services.set(service, instances);
    this.index++;
    this.wake();
  }

  /** Answers all blocked queries now. */
  wake(): void {
    for (const answer of this.#blocked) answer();
    this.#blocked.clear();
  }

  /** Answers everything with this status; with 200 as usual. */
  refuse(status: number, body = ""): void {
    this.#refusal = status === 200 ? undefined : { status, body };
    this.wake();
  }

  /** How many queries wait for a change. */
  get blocked(): number {
    return this.#blocked.size;
  }

  /** Resolves when a query waits for a change. */
  async isBlocked(): Promise<void> {
    while (this.#blocked.size === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Cuts all connections. */
  cut(): void {
    this.#server.closeAllConnections();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    const { pathname, searchParams } = new URL(request.url!, this.url);
    this.queries.push(searchParams);
    this.paths.push(pathname);
    const [, service] = /\/v1\/health\/service\/([^/]+)$/.exec(pathname) ?? [];
    const answer = (): void => this.#answer(service, searchParams, request, response);
    if (this.#refusal === undefined && Number(searchParams.get("index") ?? 0) >= this.index) {
      this.#blocked.add(answer);
      response.on("close", () => this.#blocked.delete(answer));
      for (const resolve of this.#waiting.splice(0)) resolve();
    } else {
      answer();
    }
  }

  #answer(
    service: string | undefined,
    query: URLSearchParams,
    request: IncomingMessage,
    response: ServerResponse,
  ): void {
    if (this.#refusal !== undefined) {
      response.writeHead(this.#refusal.status, { "content-type": "text/plain" }).end(this.#refusal.body);
      return;
    }
    if (service === undefined) {
      response.writeHead(404).end();
      return;
    }
    if (this.token !== undefined && request.headers["x-consul-token"] !== this.token) {
      response.writeHead(403).end("Permission denied: anonymous token lacks permission 'service:read'");
      return;
    }
    const tag = query.get("tag");
    const instances = (this.#services.get(decodeURIComponent(service)) ?? []).filter(
      ({ tags = [], isPassing = true }) =>
        (isPassing || query.get("passing") !== "true") && (tag === null || tags.includes(tag)),
    );
    const body = instances.map((instance) => this.#entry(decodeURIComponent(service), instance));
    response.writeHead(200, {
      "content-type": "application/json",
      vary: "Accept-Encoding",
      "x-consul-default-acl-policy": "allow",
      "x-consul-effective-consistency": "leader",
      "x-consul-knownleader": "true",
      "x-consul-lastcontact": "0",
      "x-consul-query-backend": "blocking-query",
      ...(this.headers ?? { "x-consul-index": String(this.index) }),
    });
    response.end(JSON.stringify(body));
  }

  #entry(service: string, instance: Instance): object {
    const { id, address = "", port = 0, nodeAddress = "10.1.10.12", tags = [], weight = 1 } = instance;
    return {
      Node: {
        ID: "40e4a748-2192-161a-0510-9bf59fe950b5",
        Node: "agent-one",
        Address: nodeAddress,
        Datacenter: "dc1",
        TaggedAddresses: { lan: nodeAddress, lan_ipv4: nodeAddress, wan: nodeAddress, wan_ipv4: nodeAddress },
        Meta: { "consul-network-segment": "", "consul-version": "1.18.1" },
        CreateIndex: 13,
        ModifyIndex: 14,
      },
      Service: {
        ID: id,
        Service: service,
        Tags: tags,
        Address: address,
        TaggedAddresses: {},
        Meta: { version: "4" },
        Port: port,
        Weights: { Passing: weight, Warning: 1 },
        EnableTagOverride: false,
        Proxy: { Mode: "", MeshGateway: {}, Expose: {} },
        Connect: {},
        PeerName: "",
        CreateIndex: 22,
        ModifyIndex: this.index,
      },
      Checks: [
        {
          Node: "agent-one",
          CheckID: `service:${id}`,
          Name: `Service '${service}' check`,
          Status: "passing",
          Notes: "",
          Output: "HTTP GET http://127.0.0.1/health: 200 OK Output: ok",
          ServiceID: id,
          ServiceName: service,
          ServiceTags: tags,
          Type: "http",
          Interval: "10s",
          Timeout: "1s",
          ExposedPort: 0,
          Definition: {},
          CreateIndex: 22,
          ModifyIndex: this.index,
        },
      ],
    };
  }
}
