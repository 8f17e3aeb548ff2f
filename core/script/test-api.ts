/**
 * What the author of a script's test sees: the types behind `import { createTestGateway } from "sluice/test"`. Only
 * types, and nothing imported, so that this file is also the declaration that editors are given.
 */

/** A reply of a fake upstream. */
export interface TestReplyInit {
  /** 200 by default. */
  readonly status?: number;
  readonly headers?: { readonly [name: string]: string | readonly string[] };
  /** Text or bytes are sent as they are, anything else as JSON. */
  readonly body?: unknown;
}

/** A request as the fake upstream got it. */
export interface UpstreamRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  /** Names in lower case; several lines joined by `, `. */
  readonly headers: { readonly [name: string]: string };
  readonly body: string;
}

/** The upstream of that name, in memory. */
export interface TestUpstream {
  /** What it replies from now on; a bare 200 by default. */
  reply(reply: TestReplyInit | ((request: UpstreamRequest) => TestReplyInit)): void;
  /** Requests that came to it so far. */
  readonly requests: readonly UpstreamRequest[];
}

export interface TestRequestInit {
  /** `GET` by default. */
  readonly method?: string;
  readonly headers?: { readonly [name: string]: string };
  readonly body?: string | Uint8Array;
}

/** What the client got. */
export interface TestResponse {
  readonly status: number;
  readonly headers: {
    get(name: string): string | null;
    has(name: string): boolean;
    getSetCookie(): string[];
  };
  text(): Promise<string>;
  // biome-ignore lint/suspicious/noExplicitAny: whoever reads a JSON body knows its shape, and the compiler cannot
  json(): Promise<any>;
  bytes(): Promise<Uint8Array>;
}

/** A gateway in memory with the real sandbox: nothing listens, and the upstreams are fakes. */
export interface TestGateway {
  /** Sends a request. @param url path and query, such as `/users/7?full=1` */
  fetch(url: string, init?: TestRequestInit): Promise<TestResponse>;
  /** @throws Error for a name that the configuration does not have */
  upstream(name: string): TestUpstream;
  close(): Promise<void>;
}

/**
 * Makes one.
 * @param config path of a configuration, or the configuration as an object; `apiVersion` and `listeners` may be left
 * out. Paths in an object start from the current folder, and so does the folder of the plugins
 * @throws Error listing every problem of the configuration
 */
export type CreateTestGateway = (config: string | object) => Promise<TestGateway>;
