/** Starts a gateway in this process on random ports, with its log kept. */
import { createGateway, type Gateway, type GatewayOptions } from "../../core/embed.ts";

export interface TestGateway extends Gateway {
  /** URL of the first listener. */
  readonly url: string;
  /** Host and port of the first listener. */
  readonly port: number;
  /** Log lines so far, parsed. */
  readonly lines: Record<string, unknown>[];
  /** Lines of the access log so far. */
  readonly access: Record<string, unknown>[];
  /** Resolves with the first log line, past or to come, that meets `test`. */
  logged(test: (line: Record<string, unknown>) => boolean): Promise<Record<string, unknown>>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** The least of a configuration around `routes`; the rest can be replaced. */
export function config(parts: { routes: object[]; [key: string]: unknown }): object {
  return { apiVersion: "sluice/v1", listeners: [{ address: "127.0.0.1:0" }], drainTimeout: "5s", ...parts };
}

/** A configuration with one route for everything, to one upstream. */
export function proxyTo(
  url: string,
  route: object = {},
  parts: Record<string, unknown> = {},
  upstream: object = {},
): object {
  return config({
    upstreams: { main: { targets: [url], ...upstream } },
    routes: [{ name: "all", match: { path: "/*" }, upstream: "main", ...route }],
    ...parts,
  });
}

export async function startGateway(
  source: string | object,
  options: GatewayOptions = {},
): Promise<TestGateway> {
  const lines: Record<string, unknown>[] = [];
  const waiting: {
    test: (line: Record<string, unknown>) => boolean;
    resolve: (line: Record<string, unknown>) => void;
  }[] = [];
  const logTo = {
    write(text: string): void {
      const line = JSON.parse(text) as Record<string, unknown>;
      lines.push(line);
      for (const waiter of waiting.slice()) {
        if (!waiter.test(line)) continue;
        waiting.splice(waiting.indexOf(waiter), 1);
        waiter.resolve(line);
      }
    },
  };
  const gateway = await createGateway(source, { logTo, ...options });
  return {
    lines,
    get access() {
      return lines.filter((line) => line["msg"] === "request");
    },
    get url() {
      return gateway.urls[0]!;
    },
    get port() {
      return Number(new URL(gateway.urls[0]!).port);
    },
    get urls() {
      return gateway.urls;
    },
    get adminUrl() {
      return gateway.adminUrl;
    },
    get generation() {
      return gateway.generation;
    },
    reload: gateway.reload,
    stop: gateway.stop,
    logged: (test: (line: Record<string, unknown>) => boolean) =>
      new Promise<Record<string, unknown>>((resolve) => {
        const found = lines.find(test);
        if (found !== undefined) resolve(found);
        else waiting.push({ test, resolve });
      }),
    [Symbol.asyncDispose]: gateway.stop,
  };
}
