/**
 * Types of Sluice plugins: `import { definePlugin } from "sluice/plugin"`, tests of them, and what the sandbox has
 * beside ES2024. Made by Sluice; changes are lost.
 */

declare module "sluice/plugin" {
  /** Anything that JSON can hold. */
  export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

  /** The types that JSON Schema knows. */
  export type JsonType = "string" | "number" | "integer" | "boolean" | "null" | "array" | "object";

  /** A JSON Schema (draft-07) of a value. Unknown keywords are refused when the script is loaded. */
  export interface ValueSchema {
    readonly type?: JsonType | readonly JsonType[];
    /** What it means. */
    readonly description?: string;
    /** Taken when there is no value. */
    readonly default?: unknown;
    readonly const?: unknown;
    readonly enum?: readonly unknown[];
    readonly minimum?: number;
    readonly maximum?: number;
    readonly minLength?: number;
    readonly maxLength?: number;
    /** A regular expression. */
    readonly pattern?: string;
    readonly items?: ValueSchema | boolean;
    readonly minItems?: number;
    readonly maxItems?: number;
    readonly uniqueItems?: boolean;
    readonly properties?: { readonly [name: string]: ValueSchema | boolean };
    readonly required?: readonly string[];
    /** `false` refuses keys that {@link properties} does not name. */
    readonly additionalProperties?: ValueSchema | boolean;
    readonly anyOf?: readonly ValueSchema[];
    readonly oneOf?: readonly ValueSchema[];
    readonly [keyword: string]: unknown;
  }

  /** A JSON Schema (draft-07) of the options: an object whose unknown keys are refused. */
  export interface OptionsSchema extends ValueSchema {
    readonly type: "object";
  }

  /** The type of what a JSON Schema literal describes, defaults filled in. */
  export type FromJsonSchema<S> = S extends { readonly const: infer C }
    ? C
    : S extends { readonly enum: readonly (infer E)[] }
      ? E
      : FromTypes<S> & FromBranches<S>;

  type FromTypes<S> = S extends { readonly type: readonly (infer T)[] }
    ? FromType<T, S>
    : S extends { readonly type: infer T }
      ? FromType<T, S>
      : unknown;

  type FromBranches<S> = S extends { readonly anyOf: readonly (infer B)[] }
    ? FromJsonSchema<B>
    : S extends { readonly oneOf: readonly (infer B)[] }
      ? FromJsonSchema<B>
      : unknown;

  type FromType<T, S> = T extends "string"
    ? string
    : T extends "number" | "integer"
      ? number
      : T extends "boolean"
        ? boolean
        : T extends "null"
          ? null
          : T extends "array"
            ? readonly (S extends { readonly items: infer I } ? FromJsonSchema<I> : unknown)[]
            : T extends "object"
              ? // As one object, for editors show it.
                FromProperties<S> & FromRest<S> extends infer O
                ? { [K in keyof O]: O[K] }
                : never
              : never;

  type FromProperties<S> = S extends { readonly properties: infer P }
    ? {
        readonly [K in keyof P as IsPresent<S, P, K> extends true ? K : never]: FromJsonSchema<P[K]>;
      } & {
        readonly [K in keyof P as IsPresent<S, P, K> extends true ? never : K]?: FromJsonSchema<P[K]>;
      }
    : unknown;

  /** Keys that the schema does not name. */
  type FromRest<S> = S extends { readonly additionalProperties: false }
    ? unknown
    : S extends { readonly additionalProperties: infer R extends object }
      ? { readonly [key: string]: FromJsonSchema<R> }
      : S extends { readonly properties: object }
        ? unknown
        : { readonly [key: string]: unknown };

  /** True for a property that is always there: it is required or has a default. */
  type IsPresent<S, P, K extends keyof P> = P[K] extends { readonly default: unknown }
    ? true
    : S extends { readonly required: readonly (infer R)[] }
      ? K extends R
        ? true
        : false
      : false;

  /** How a hook gets a body: parsed, as text, or as bytes. */
  export type BodyKind = "json" | "text" | "bytes";

  /** Which bodies the hooks read. Compressed ones are unpacked first; others stream past the script. */
  export interface BodyDeclaration {
    /** Gives `req.body`. */
    readonly request?: BodyKind;
    /** Gives `res.body`. */
    readonly response?: BodyKind;
    /** Largest body, unpacked, such as `"64KB"`, the default; at most `"16MB"`. A larger one is a 413, or a 502. */
    readonly max?: string;
  }

  /** The type of a body. An empty one is `undefined` as JSON, and empty as text or bytes. */
  export type BodyOf<K> = K extends "json"
    ? any
    : K extends "text"
      ? string
      : K extends "bytes"
        ? Uint8Array
        : never;

  /** Headers by name, whatever its case, to read. */
  export interface ReadonlyHeaders extends Iterable<[name: string, value: string]> {
    /** The value, several lines joined by `, `, those of Cookie by `; `; null when there is none. */
    get(name: string): string | null;
    has(name: string): boolean;
    /** The `Set-Cookie` lines. */
    getSetCookie(): string[];
    entries(): IterableIterator<[name: string, value: string]>;
    keys(): IterableIterator<string>;
    values(): IterableIterator<string>;
    forEach(callback: (value: string, name: string) => void): void;
  }

  /** Headers that can be changed, but for those that frame the message, and Host. */
  export interface Headers extends ReadonlyHeaders {
    /** Replaces all lines of that name by one. */
    set(name: string, value: string): void;
    /** Adds a line. */
    append(name: string, value: string): void;
    delete(name: string): void;
  }

  /** Who makes the request, as a stage above has found out. */
  export interface Consumer {
    readonly name: string;
    readonly roles: readonly string[];
    readonly tier?: string;
    readonly claims?: { readonly [name: string]: Json };
  }

  /** The request, on its way to the upstream. */
  export interface Request<B = never> {
    readonly method: string;
    /** Path and query that are sent upstream, such as `/users/7?full=1`; assign it to change them. */
    url: string;
    /** The part of {@link url} before `?`; assign it to change it. */
    path: string;
    /** The query, decoded. What is changed here is sent upstream. */
    readonly query: URLSearchParams;
    readonly headers: Headers;
    /** Values of the route's path parameters, decoded. */
    readonly params: { readonly [name: string]: string };
    readonly consumer: Consumer | undefined;
    /** Address of the client. */
    readonly ip: string;
    /** Name of the route. */
    readonly route: string;
    /** Identifies the request in logs. */
    readonly id: string;
    /** There when `body.request` is declared. Assign it, or change the JSON in it, to send another one upstream. */
    body: B;
  }

  /** The reply, on its way to the client. */
  export interface Response<B = never> {
    /** From 200 to 599; assign it to change it. */
    status: number;
    readonly headers: Headers;
    /** There when `body.response` is declared. Assign it, or change the JSON in it, to send another one. */
    body: B;
  }

  /** A reply that a request hook gives at once. */
  export interface ReplyInit {
    /** From 200 to 599; 200 by default. */
    readonly status?: number;
    /** By name, or other headers. */
    readonly headers?:
      | { readonly [name: string]: string | readonly string[] }
      | Iterable<readonly [string, string]>;
    /** Text or bytes are sent as they are, anything else as JSON. */
    readonly body?: unknown;
  }

  /** What {@link Context.reply} makes: return it from a request hook. */
  export interface ScriptReply {
    readonly __reply: true;
  }

  /** Writes lines into the gateway's log, with the script's name and the request's id. */
  export interface ScriptLog {
    debug(message: string, fields?: { readonly [name: string]: unknown }): void;
    info(message: string, fields?: { readonly [name: string]: unknown }): void;
    warn(message: string, fields?: { readonly [name: string]: unknown }): void;
    error(message: string, fields?: { readonly [name: string]: unknown }): void;
  }

  /** Values of labels: few different ones, never a path or an id. */
  export type Labels = { readonly [name: string]: string };

  /**
   * Metrics of the script, named `sluice_script_<script>_<name>`. A script has at most 20, each with at most 100 sets of
   * labels; what is beyond is counted under `other`. A name keeps the kind and the label names of its first use.
   */
  export interface ScriptMetrics {
    counter(name: string): { inc(labels?: Labels, by?: number): void };
    gauge(name: string): { set(value: number, labels?: Labels): void };
    /** Buckets from 5 ms to 10 s, in seconds. */
    histogram(name: string): { observe(value: number, labels?: Labels): void };
  }

  /** A value of a granted secret. Its text cannot be read: it is for {@link ScriptCrypto} and headers of fetch. */
  export interface Secret {
    readonly __secret: string;
    /** The secret behind a prefix, such as `Bearer ` in a header. */
    withPrefix(prefix: string): Secret;
  }

  export type HashName = "sha1" | "sha256" | "sha384" | "sha512";
  export type Encoding = "hex" | "base64" | "base64url";

  export interface ScriptCrypto {
    /** @param encoding of the result; `hex` by default */
    hash(algorithm: HashName, data: string | Uint8Array, encoding?: Encoding): string;
    /** @param encoding of the result; `hex` by default */
    hmac(
      algorithm: HashName,
      key: string | Uint8Array | Secret,
      data: string | Uint8Array,
      encoding?: Encoding,
    ): string;
    /** Compares in a time that does not depend on where they differ. */
    timingSafeEqual(a: string | Uint8Array | Secret, b: string | Uint8Array | Secret): boolean;
    /** A random UUID (version 4). */
    randomUUID(): string;
    /** @param length from 0 to 65,536 */
    randomBytes(length: number): Uint8Array;
    base64: {
      encode(data: string | Uint8Array, variant?: "base64" | "base64url"): string;
      /** Takes both variants. @throws TypeError for what is neither */
      decode(text: string): Uint8Array;
    };
  }

  export interface FetchInit {
    readonly method?: string;
    /** By name, or other headers. */
    readonly headers?:
      | { readonly [name: string]: string | Secret }
      | Iterable<readonly [string, string | Secret]>;
    readonly body?: string | Uint8Array;
    /** Milliseconds for the whole of it; the grant's at most. */
    readonly timeoutMs?: number;
  }

  export interface FetchResponse {
    readonly status: number;
    /** True for a status from 200 to 299. */
    readonly ok: boolean;
    readonly headers: ReadonlyHeaders;
    text(): string;
    json(): any;
    bytes(): Uint8Array;
  }

  /** Values under keys that outlive requests, in the store that the stage's grant names. All gateways on it see them. */
  export interface KeyValue {
    get(key: string): Promise<string | undefined>;
    /**
     * @param ttlMs milliseconds that it is kept; for ever by default
     * @returns false when `ifAbsent` is set and there was a value
     */
    set(key: string, value: string, options?: { ttlMs?: number; ifAbsent?: boolean }): Promise<boolean>;
    /** Adds to a number, 0 when there is none, in one step. @param options `ttlMs` counts when the number is made */
    incr(key: string, by?: number, options?: { ttlMs?: number }): Promise<number>;
    /** True when there was a value. */
    delete(key: string): Promise<boolean>;
  }

  /** What hooks are given beside the message. */
  export interface Context<O = unknown> {
    /** The stage's options, checked against the schema, defaults filled in. Frozen. */
    readonly options: O;
    readonly log: ScriptLog;
    readonly metrics: ScriptMetrics;
    readonly crypto: ScriptCrypto;
    /**
     * What belongs to this request: the script's hooks share it, and scripts of later stages read it by the script's
     * name with {@link stateOf}. Plain data; at most 64 KB as JSON.
     */
    readonly state: { [key: string]: any };
    /** The state that the script of that name has for this request; undefined when it has none. */
    stateOf(script: string): { readonly [key: string]: Json } | undefined;
    /** Milliseconds since the Unix epoch. */
    now(): number;
    /** Makes a reply for a request hook to return. */
    reply(init?: ReplyInit): ScriptReply;
    /** Asks another server; needs `grants: { fetch: [host] }` on the stage. */
    fetch(url: string, init?: FetchInit): Promise<FetchResponse>;
    /** Needs `grants: { kv: … }` on the stage. */
    readonly kv: KeyValue;
    /** By name; needs `grants: { secrets: { NAME: … } }` on the stage. */
    readonly secrets: { readonly [name: string]: Secret };
  }

  /** What a plugin is made of. At least one hook. */
  export interface PluginDefinition<
    S extends OptionsSchema,
    Q extends BodyKind | undefined,
    R extends BodyKind | undefined,
  > {
    /** What the options of a stage may be; none by default. */
    readonly schema?: S;
    readonly body?: { readonly request?: Q; readonly response?: R; readonly max?: string };
    /** Runs before the stages below. Returning a reply answers at once. */
    request?(
      req: Request<BodyOf<Q>>,
      ctx: Context<FromJsonSchema<S>>,
    ): void | ScriptReply | Promise<void | ScriptReply>;
    /** Runs for the reply of the stages below; not for failures, which are no replies yet. */
    response?(res: Response<BodyOf<R>>, ctx: Context<FromJsonSchema<S>>): void | Promise<void>;
  }

  /** Makes a plugin of hooks; what a script exports by default. */
  export type DefinePlugin = <
    const S extends OptionsSchema = { type: "object"; additionalProperties: false },
    const Q extends BodyKind | undefined = undefined,
    const R extends BodyKind | undefined = undefined,
  >(
    definition: PluginDefinition<S, Q, R>,
  ) => PluginDefinition<S, Q, R>;

  export const definePlugin: DefinePlugin;
  export {};
}

declare module "sluice/test" {
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

  export const createTestGateway: CreateTestGateway;
  export {};
}

interface URLSearchParams extends Iterable<[name: string, value: string]> {
  readonly size: number;
  append(name: string, value: string): void;
  delete(name: string, value?: string): void;
  get(name: string): string | null;
  getAll(name: string): string[];
  has(name: string, value?: string): boolean;
  set(name: string, value: string): void;
  sort(): void;
  toString(): string;
  forEach(callback: (value: string, name: string, searchParams: URLSearchParams) => void): void;
  entries(): IterableIterator<[name: string, value: string]>;
  keys(): IterableIterator<string>;
  values(): IterableIterator<string>;
}
declare var URLSearchParams: {
  prototype: URLSearchParams;
  new (init?: string | Iterable<readonly [string, string]> | { readonly [name: string]: string }): URLSearchParams;
};

interface URL {
  href: string;
  readonly origin: string;
  protocol: string;
  username: string;
  password: string;
  host: string;
  hostname: string;
  port: string;
  pathname: string;
  search: string;
  hash: string;
  readonly searchParams: URLSearchParams;
  toString(): string;
  toJSON(): string;
}
declare var URL: {
  prototype: URL;
  new (url: string | URL, base?: string | URL): URL;
  canParse(url: string | URL, base?: string | URL): boolean;
  parse(url: string | URL, base?: string | URL): URL | null;
};

interface TextEncoder {
  readonly encoding: string;
  /** The text as UTF-8. */
  encode(text?: string): Uint8Array;
}
declare var TextEncoder: { prototype: TextEncoder; new (): TextEncoder };

interface TextDecoder {
  readonly encoding: string;
  readonly fatal: boolean;
  readonly ignoreBOM: boolean;
  decode(bytes?: ArrayBuffer | ArrayBufferView): string;
}
declare var TextDecoder: {
  prototype: TextDecoder;
  /** @param label only UTF-8 */
  new (label?: string, options?: { readonly fatal?: boolean; readonly ignoreBOM?: boolean }): TextDecoder;
};

/** Bytes, each as a character, from base64. */
declare function atob(data: string): string;
/** Base64 of bytes, each given as a character. */
declare function btoa(data: string): string;

/** Writes lines into the gateway's log; `log` and `info` are the same. */
interface Console {
  log(...values: unknown[]): void;
  info(...values: unknown[]): void;
  warn(...values: unknown[]): void;
  error(...values: unknown[]): void;
  debug(...values: unknown[]): void;
}
declare var console: Console;

declare module "node:test" {
  type Run = () => void | Promise<void>;
  interface Test {
    (name: string, run: Run): Promise<void>;
    (name: string, options: { readonly timeout?: number; readonly skip?: boolean | string; readonly only?: boolean }, run: Run): Promise<void>;
  }
  export const test: Test;
  export const it: Test;
  export const describe: Test;
  export function before(run: Run): void;
  export function after(run: Run): void;
  export function beforeEach(run: Run): void;
  export function afterEach(run: Run): void;
  export default test;
}

declare module "node:assert/strict" {
  interface Assert {
    (value: unknown, message?: string): asserts value;
    ok(value: unknown, message?: string): asserts value;
    equal<T>(actual: unknown, expected: T, message?: string): asserts actual is T;
    notEqual(actual: unknown, expected: unknown, message?: string): void;
    deepEqual<T>(actual: unknown, expected: T, message?: string): asserts actual is T;
    notDeepEqual(actual: unknown, expected: unknown, message?: string): void;
    partialDeepStrictEqual(actual: unknown, expected: unknown, message?: string): void;
    match(text: string, pattern: RegExp, message?: string): void;
    doesNotMatch(text: string, pattern: RegExp, message?: string): void;
    throws(run: () => unknown, expected?: RegExp | object, message?: string): void;
    rejects(run: Promise<unknown> | (() => Promise<unknown>), expected?: RegExp | object, message?: string): Promise<void>;
    fail(message?: string): never;
  }
  const assert: Assert;
  export default assert;
}

declare module "node:assert" {
  export { default, default as strict } from "node:assert/strict";
}
