/**
 * What the author of a script's test sees: the types behind `import { createTestGateway } from "sluice/test"`. Only
 * types, and nothing imported, so that this file is also the declaration that editors are given.
 */

/** Headers to send: a name has one value, or several lines. */
export type TestHeaders = { readonly [name: string]: string | readonly string[] };

/** A reply of a fake upstream, or of a server that a script asks. */
export interface TestReplyInit {
  /** 200 by default. */
  readonly status?: number;
  readonly headers?: TestHeaders;
  /** Text or bytes are sent as they are, anything else as JSON. */
  readonly body?: unknown;
}

/** A message with its body at hand. */
interface TestMessage {
  text(): string;
  // biome-ignore lint/suspicious/noExplicitAny: whoever reads a JSON body knows its shape, and the compiler cannot
  json(): any;
  bytes(): Uint8Array;
}

/** A request as a fake upstream, or another server, got it. */
export interface UpstreamRequest extends TestMessage {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  /** Names in lower case; several lines joined by `, `. */
  readonly headers: { readonly [name: string]: string };
}

/** A reply, or what makes it of the request. */
export type TestReply =
  | TestReplyInit
  | ((request: UpstreamRequest) => TestReplyInit | Promise<TestReplyInit>);

/** How an upstream fails: nothing listens, the connection breaks before the reply, or no reply comes in time. */
export type TestFailure = "connect" | "reset" | "timeout";

/** The upstream of that name, in memory. All of its targets give the same replies. */
export interface TestUpstream {
  /** What it replies from now on; a bare 200 by default. */
  reply(reply: TestReply): void;
  /** What it replies to the next request that has no such reply yet, before what {@link reply} says. */
  replyOnce(reply: TestReply): void;
  /** It fails from now on. */
  fail(failure: TestFailure): void;
  /** It fails the next request that has no such reply yet. */
  failOnce(failure: TestFailure): void;
  /** Requests that came to it so far. */
  readonly requests: readonly UpstreamRequest[];
  /** The last of them. */
  readonly last: UpstreamRequest | undefined;
}

export interface TestRequestInit {
  /** `GET` by default. */
  readonly method?: string;
  readonly headers?: TestHeaders;
  /** Text or bytes are sent as they are, anything else as JSON. */
  readonly body?: unknown;
  /** Address of the client; `127.0.0.1` by default. */
  readonly ip?: string;
  /** Who asks, as a stage before the script would have found out. */
  readonly consumer?: {
    readonly name: string;
    readonly roles?: readonly string[];
    readonly tier?: string;
    readonly claims?: { readonly [name: string]: unknown };
  };
}

/** What the client got. Its body can be read as often as you like. */
export interface TestResponse {
  readonly status: number;
  readonly headers: {
    get(name: string): string | null;
    has(name: string): boolean;
    getSetCookie(): string[];
    entries(): IterableIterator<[name: string, value: string]>;
  };
  text(): Promise<string>;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  json(): Promise<any>;
  bytes(): Promise<Uint8Array>;
}

/** A line that a script wrote with `ctx.log` or `console`. */
export interface TestLogLine {
  readonly level: "debug" | "info" | "warn" | "error";
  /** Name of the script. */
  readonly script: string;
  readonly message: string;
  readonly fields: { readonly [name: string]: unknown };
}

/** Time as scripts and stores know it. It stands still unless it is moved; limits and timeouts go by the real one. */
export interface TestClock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  advance(ms: number): void;
}

/** A gateway in memory with the real sandbox and pipeline: nothing listens, and nothing is asked on the network. */
export interface TestGateway {
  /**
   * Sends a request.
   * @param url path and query, such as `/users/7?full=1`, or all of a URL
   */
  fetch(url: string, init?: TestRequestInit): Promise<TestResponse>;
  /** @throws Error for a name that the configuration does not have */
  upstream(name: string): TestUpstream;
  /**
   * What a server replies that scripts ask with `ctx.fetch`, as far as their grants let them. Asking another one makes
   * {@link fetch} throw.
   * @param place a host, such as `flags.example.com`, or a URL; a URL without a query stands for any query
   */
  onFetch(place: string, reply: TestReply | TestFailure): void;
  /** What scripts have asked other servers so far; `url` is the whole URL. */
  readonly fetched: readonly UpstreamRequest[];
  /** What scripts have logged so far. */
  readonly logs: readonly TestLogLine[];
  readonly clock: TestClock;
  /** What scripts have counted so far, such as `{ 'sluice_script_greet_hits{kind="a"}': 1 }`. */
  metrics(): Promise<{ [series: string]: number }>;
  close(): Promise<void>;
}

export interface TestGatewayOptions {
  /** Where `${env:NAME}` of the configuration looks; the environment of the process by default. */
  readonly env?: { readonly [name: string]: string | undefined };
  /** What the clock shows at first, in milliseconds since the Unix epoch; the first moment of 2026 by default. */
  readonly now?: number;
}

/**
 * Makes one.
 * @param config path of a configuration, or the configuration as an object, of which only `routes` are needed: without
 * `upstreams` there are those that the routes name. Paths in an object start from the current folder, where plugins are
 * in the folder `plugins`
 * @throws Error listing every problem of the configuration, as `sluice check` does
 */
export type CreateTestGateway = (
  config: string | object,
  options?: TestGatewayOptions,
) => Promise<TestGateway>;
