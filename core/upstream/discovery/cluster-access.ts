/** How to reach the API server of a Kubernetes cluster: as configured, otherwise as every pod is told. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { SourceConfig } from "./discovery.ts";
import { checkCa } from "./http.ts";
import { parseApiUrl, reasonOf } from "./source.ts";

type KubernetesOptions = Extract<SourceConfig, { kubernetes: unknown }>["kubernetes"];

/** What a pod is told of its cluster. */
export interface Pod {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Folder with the token, CA certificate and namespace of its service account. */
  readonly folder: string;
}

export const THIS_POD: Pod = {
  env: process.env,
  folder: "/var/run/secrets/kubernetes.io/serviceaccount",
};

export class ClusterAccess {
  readonly #options: KubernetesOptions;
  readonly #pod: Pod;
  readonly #url: URL | undefined;

  /** @throws ConfigError with pointers relative to the upstream */
  constructor(options: KubernetesOptions, pod: Pod) {
    this.#options = options;
    this.#pod = pod;
    this.#url = options.url === undefined ? undefined : parseApiUrl(options.url, "/targets/kubernetes/url");
    checkCa(options.ca, "/targets/kubernetes/ca");
  }

  /** @throws Error when nothing tells where the API server is */
  url(): URL {
    if (this.#url !== undefined) return new URL(this.#url);
    const host = this.#pod.env["KUBERNETES_SERVICE_HOST"];
    const port = this.#pod.env["KUBERNETES_SERVICE_PORT"] ?? "443";
    if (host === undefined || host === "") {
      throw new Error("KUBERNETES_SERVICE_HOST is not set: outside of a cluster `url` must say where it is");
    }
    return new URL(`https://${host.includes(":") ? `[${host}]` : host}:${port}`);
  }

  /** Read for each request: tokens are replaced while they are valid. The pod's is never sent in the clear. */
  async token(): Promise<string | undefined> {
    const { token } = this.#options;
    if (token !== undefined) return token.trim();
    if (this.url().protocol !== "https:") return undefined;
    return this.#read("token", this.#url === undefined);
  }

  async ca(): Promise<string | undefined> {
    return this.#options.ca ?? this.#read("ca.crt", this.#url === undefined);
  }

  async namespace(): Promise<string> {
    const namespace = this.#options.namespace ?? (await this.#read("namespace", false));
    if (namespace === undefined) throw new Error("outside of a cluster `namespace` must be set");
    return namespace;
  }

  /** @throws Error when it cannot be read, unless it may be missing */
  async #read(name: string, isNeeded: boolean): Promise<string | undefined> {
    const path = join(this.#pod.folder, name);
    try {
      return (await readFile(path, "utf8")).trim();
    } catch (error) {
      const isMissing = ["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "");
      if (isMissing && !isNeeded) return undefined;
      throw new Error(`the service account's ${name} cannot be read: ${reasonOf(error)}`, { cause: error });
    }
  }
}
