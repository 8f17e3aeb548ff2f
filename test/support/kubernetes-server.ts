/**
 * Speaks the part of the Kubernetes API that lists and watches EndpointSlices. The shapes are those of an API server
 * of version 1.30.
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { createApiServer, listen, portOf } from "./api-server.ts";
import type { Certificate } from "./certificates.ts";

/** Conditions of an address; ready by default. */
export interface Conditions {
  readonly ready?: boolean;
  readonly serving?: boolean;
  readonly terminating?: boolean;
}

/** What a test says of an EndpointSlice. */
export interface SliceParts {
  readonly name?: string;
  readonly service?: string;
  readonly type?: "IPv4" | "IPv6";
  /** Address, or address and conditions. */
  readonly addresses?: readonly (string | [string, Conditions])[] | null;
  readonly ports?: readonly { name?: string; port?: number | null; protocol?: string }[] | null;
}

type Slice = ReturnType<typeof slice>;

/** An EndpointSlice as the controller writes it. */
export function slice(parts: SliceParts, version = 1) {
  const { service = "users", name = `${service}-x7k2p`, type = "IPv4" } = parts;
  const { addresses = [], ports = [{ name: "http", port: 8080 }] } = parts;
  return {
    kind: "EndpointSlice",
    apiVersion: "discovery.k8s.io/v1",
    metadata: {
      name,
      generateName: `${service}-`,
      namespace: "shop",
      uid: "0c0c4f3e-7f2f-4a53-9d0a-5f8e0a6c1b77",
      resourceVersion: String(version),
      generation: 3,
      creationTimestamp: "2024-05-06T07:08:09Z",
      labels: {
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        "kubernetes.io/service-name": service,
      },
      annotations: { "endpoints.kubernetes.io/last-change-trigger-time": "2024-05-06T07:08:09Z" },
      ownerReferences: [
        {
          apiVersion: "v1",
          kind: "Service",
          name: service,
          uid: "5a",
          controller: true,
          blockOwnerDeletion: true,
        },
      ],
      managedFields: [],
    },
    addressType: type,
    endpoints:
      addresses?.map((each, i) => {
        const [address, conditions] = typeof each === "string" ? [each, {}] : each;
        return {
          addresses: [address],
          conditions: { ready: true, serving: true, terminating: false, ...conditions },
          targetRef: { kind: "Pod", namespace: "shop", name: `${service}-${i}`, uid: `u${i}` },
          nodeName: "worker-1",
          zone: "eu-central-1a",
        };
      }) ?? null,
    ports: ports?.map(({ name: port, ...rest }) => ({ name: port ?? "", protocol: "TCP", ...rest })) ?? null,
  };
}

export class KubernetesServer {
  readonly #server: Server;
  readonly #scheme: string;
  readonly #slices = new Map<string, Slice>();
  readonly #watches = new Set<{ service: string; response: ServerResponse }>();
  readonly #history: { version: number; type: string; slice: Slice }[] = [];
  #waiting: (() => void)[] = [];
  #version = 1000;
  /** Versions before this are forgotten. */
  #oldest = 0;
  /** Status to answer lists and watches with, when it is not 200. */
  refuse: { list?: number; watch?: number } = {};
  /** Token that must be sent, if any. */
  token: string | undefined;
  /** Requests that came: `list`, or `watch` and the version. */
  readonly seen: string[] = [];
  readonly urls: URL[] = [];

  private constructor(certificate: Certificate | undefined) {
    const handle = (request: IncomingMessage, response: ServerResponse): void =>
      this.#handle(request, response);
    this.#scheme = certificate === undefined ? "http" : "https";
    this.#server = createApiServer(handle, certificate);
  }

  static async start(certificate?: Certificate): Promise<KubernetesServer> {
    const server = new KubernetesServer(certificate);
    await listen(server.#server);
    return server;
  }

  get port(): number {
    return portOf(this.#server);
  }

  get url(): string {
    return `${this.#scheme}://127.0.0.1:${this.port}`;
  }

  get version(): number {
    return this.#version;
  }

  /** Creates or changes a slice. */
  apply(parts: SliceParts): void {
    const made = slice(parts, ++this.#version);
    const type = this.#slices.has(made.metadata.name) ? "MODIFIED" : "ADDED";
    this.#slices.set(made.metadata.name, made);
    this.#tell(type, made);
  }

  remove(name: string): void {
    const old = this.#slices.get(name)!;
    this.#slices.delete(name);
    this.#tell("DELETED", {
      ...old,
      metadata: { ...old.metadata, resourceVersion: String(++this.#version) },
    });
  }

  /** Tells watches how far they are; time has gone by. */
  bookmark(): void {
    this.#version += 10;
    const metadata = { resourceVersion: String(this.#version), creationTimestamp: null };
    this.#send({
      type: "BOOKMARK",
      object: { kind: "EndpointSlice", apiVersion: "discovery.k8s.io/v1", metadata },
    });
  }

  /** Ends all watches with an error that stands in the stream. */
  fail(code: number, reason: string, message: string): void {
    this.#send({ type: "ERROR", object: status(code, reason, message) });
    this.endWatches();
  }

  /** Ends all watches, as the server does when their time is over. */
  endWatches(): void {
    for (const { response } of this.#watches) response.end();
    this.#watches.clear();
  }

  /** Cuts all connections, in the middle of an event. */
  cut(): void {
    for (const { response } of this.#watches) response.write('{"type":"MODIF');
    this.#watches.clear();
    setImmediate(() => this.#server.closeAllConnections());
  }

  /** Forgets old versions: who asks for them is told 410. */
  compact(): void {
    this.#oldest = ++this.#version;
  }

  /** Resolves when somebody watches. */
  async isWatched(): Promise<void> {
    while (this.#watches.size === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  get watches(): number {
    return this.#watches.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #tell(type: string, made: Slice): void {
    this.#history.push({ version: this.#version, type, slice: made });
    this.#send({ type, object: made }, made.metadata.labels["kubernetes.io/service-name"]);
  }

  #send(event: object, service?: string): void {
    for (const watch of this.#watches) {
      if (service === undefined || watch.service === service)
        watch.response.write(`${JSON.stringify(event)}\n`);
    }
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url!, this.url);
    this.urls.push(url);
    const isWatch = url.searchParams.get("watch") === "true";
    const from = Number(url.searchParams.get("resourceVersion") ?? 0);
    this.seen.push(isWatch ? `watch ${from}` : "list");
    response.setHeader("content-type", "application/json");
    response.setHeader("audit-id", "3b4c1b0e-6c3f-4b55-8f40-0f1c6b0d6a11");
    const refused = isWatch ? this.refuse.watch : this.refuse.list;
    const user = "system:serviceaccount:shop:sluice";
    const verb = isWatch ? "watch" : "list";
    if (this.token !== undefined && request.headers.authorization !== `Bearer ${this.token}`) {
      return end(response, status(401, "Unauthorized", "Unauthorized"));
    }
    if (refused !== undefined) {
      const message = `endpointslices.discovery.k8s.io is forbidden: User "${user}" cannot ${verb} resource "endpointslices" in API group "discovery.k8s.io" in the namespace "shop"`;
      return end(response, status(refused, "Forbidden", message));
    }
    const [, namespace] =
      /^\/apis\/discovery\.k8s\.io\/v1\/namespaces\/([^/]+)\/endpointslices$/.exec(url.pathname) ?? [];
    if (namespace !== "shop") return end(response, status(404, "NotFound", "not found"));
    const [, service = ""] =
      /^kubernetes\.io\/service-name=(.+)$/.exec(url.searchParams.get("labelSelector") ?? "") ?? [];
    const belongs = ({ metadata }: Slice): boolean =>
      metadata.labels["kubernetes.io/service-name"] === service;
    if (!isWatch) {
      const metadata = { resourceVersion: String(this.#version) };
      const items = [...this.#slices.values()].filter(belongs);
      response.end(
        JSON.stringify({ kind: "EndpointSliceList", apiVersion: "discovery.k8s.io/v1", metadata, items }),
      );
      return;
    }
    if (from < this.#oldest) {
      const message = `too old resource version: ${from} (${this.#oldest})`;
      return end(response, status(410, "Expired", message));
    }
    response.writeHead(200).flushHeaders();
    for (const { version, type, slice: made } of this.#history) {
      if (version > from && belongs(made)) response.write(`${JSON.stringify({ type, object: made })}\n`);
    }
    const watch = { service, response };
    this.#watches.add(watch);
    response.on("close", () => this.#watches.delete(watch));
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

const status = (code: number, reason: string, message: string) => ({
  kind: "Status",
  apiVersion: "v1",
  metadata: {},
  status: "Failure",
  message,
  reason,
  code,
});

function end(response: ServerResponse, body: { code: number }): void {
  response.statusCode = body.code;
  response.end(JSON.stringify(body));
}
