/** The context of a hook: what it is given beside the message. */
import type { Guest, GuestStage } from "./shape.ts";

export function guestContext(g: Guest): void {
  const { parse, stringify } = JSON;
  const { freeze } = Object;

  /** What a request hook answers at once. */
  class ScriptReply {
    readonly #lines: string;
    constructor(lines: string) {
      this.#lines = lines;
    }
    static linesOf(value: unknown): string | undefined {
      return typeof value === "object" && value !== null && #lines in value ? value.#lines : undefined;
    }
  }
  const { linesOf } = ScriptReply;
  delete (ScriptReply as Partial<typeof ScriptReply>).linesOf;
  g.replyLines = linesOf;

  /** By name, or as pairs, such as other headers. */
  type HeadersInit = Readonly<Record<string, unknown>> | Iterable<readonly [string, unknown]>;
  const entriesOf = (headers: HeadersInit = {}): (readonly [string, unknown])[] =>
    Symbol.iterator in headers
      ? [...(headers as Iterable<readonly [string, unknown]>)]
      : Object.entries(headers);

  interface ReplyInit {
    readonly status?: unknown;
    readonly headers?: HeadersInit;
    readonly body?: unknown;
  }

  const createReply = ({ status = 200, headers, body }: ReplyInit = {}): ScriptReply => {
    const list = g.createHeaders("", false) as { append(name: string, value: unknown): void };
    for (const [name, values] of entriesOf(headers)) {
      for (const value of Array.isArray(values) ? (values as unknown[]) : [values]) list.append(name, value);
    }
    return new ScriptReply(`R${g.statusOf(status)}\n${g.headerEdits(list)}${g.bodyLine(body)}`);
  };

  const log = (run: number, level: string) => (message: unknown, fields?: unknown) =>
    g.log(run, level, message, fields);
  const createLog = (run: number) =>
    freeze({
      debug: log(run, "debug"),
      info: log(run, "info"),
      warn: log(run, "warn"),
      error: log(run, "error"),
    });

  const createMetrics = (run: number) => {
    const tell = (kind: string, name: unknown, value: unknown, labels: unknown): void =>
      void g.demand("metric", run, stringify([kind, String(name), Number(value), labels ?? {}]));
    return freeze({
      counter: (name: unknown) => ({
        inc: (labels?: unknown, by: unknown = 1) => tell("counter", name, by, labels),
      }),
      gauge: (name: unknown) => ({
        set: (value: unknown, labels?: unknown) => tell("gauge", name, value, labels),
      }),
      histogram: (name: unknown) => ({
        observe: (value: unknown, labels?: unknown) => tell("histogram", name, value, labels),
      }),
    });
  };

  /** A value of a granted secret: only its name is known in here. */
  class Secret {
    readonly #name: string;
    readonly #prefix: string;
    constructor(name: string, prefix = "") {
      this.#name = name;
      this.#prefix = prefix;
    }
    static partsOf(value: unknown): [name: string, prefix: string] | undefined {
      return typeof value === "object" && value !== null && #name in value
        ? [value.#name, value.#prefix]
        : undefined;
    }
    withPrefix(prefix: unknown): Secret {
      return new Secret(this.#name, String(prefix) + this.#prefix);
    }
    toString(): string {
      return `[secret ${this.#name}]`;
    }
    toJSON(): string {
      return this.toString();
    }
  }
  const { partsOf } = Secret;
  delete (Secret as Partial<typeof Secret>).partsOf;

  const keyOf = (key: unknown, what: string): unknown => partsOf(key) ?? g.dataOf(key, what);

  const createCrypto = (run: number) =>
    freeze({
      hash: (algorithm: unknown, data: unknown, encoding: unknown = "hex") =>
        g.demand(
          "hash",
          run,
          `${stringify([String(algorithm), String(encoding)])}\n${g.dataOf(data, "data")}`,
        ),
      hmac: (algorithm: unknown, key: unknown, data: unknown, encoding: unknown = "hex") => {
        const how = stringify([String(algorithm), String(encoding), keyOf(key, "key")]);
        return g.demand("hmac", run, `${how}\n${g.dataOf(data, "data")}`);
      },
      timingSafeEqual: (a: unknown, b: unknown) =>
        g.demand("equal", run, stringify([keyOf(a, "a"), keyOf(b, "b")])) === "1",
      randomUUID: () => g.demand("uuid", run, ""),
      randomBytes: (length: unknown) => g.fromLatin1(g.demand("random", run, String(length))),
      base64: freeze({
        encode: (data: unknown, variant: unknown = "base64") => {
          if (variant !== "base64" && variant !== "base64url")
            throw new TypeError(
              `There is no variant ${stringify(String(variant))}; there are base64, base64url`,
            );
          return g.toBase64(g.bytesOf(data, "data"), variant);
        },
        decode: (text: unknown) => g.fromBase64(String(text).replaceAll("-", "+").replaceAll("_", "/")),
      }),
    });

  interface FetchInit {
    readonly method?: unknown;
    readonly headers?: HeadersInit;
    readonly body?: unknown;
    readonly timeoutMs?: unknown;
  }

  const fetchFor = async (run: number, url: unknown, init: FetchInit = {}): Promise<object> => {
    const headers = entriesOf(init.headers).map(([name, value]) => [name, partsOf(value) ?? String(value)]);
    const body = init.body === undefined ? undefined : g.dataOf(init.body, "body");
    const { method = "GET", timeoutMs } = init;
    const request = { url: String(url), method: String(method), headers, body, timeoutMs };
    const reply = await g.start("fetch", run, stringify(request));
    const space = reply.indexOf(" ");
    const from = reply.indexOf(" ", space + 1) + 1;
    const to = from + Number(reply.slice(space + 1, from));
    const [status, block, latin1] = [Number(reply.slice(0, space)), reply.slice(from, to), reply.slice(to)];
    const bytes = (): Uint8Array => g.fromLatin1(latin1);
    const text = (): string => {
      const decoded = /[^\0-\x7f]/.test(latin1) ? g.demand("utf8", 0, latin1) : latin1;
      return decoded.startsWith("\ufeff") ? decoded.slice(1) : decoded;
    };
    return freeze({
      status,
      ok: status >= 200 && status < 300,
      headers: g.createHeaders(block, true),
      bytes,
      text,
      json: () => parse(text()) as unknown,
    });
  };

  const createKv = (run: number) => {
    const ask = async (...request: unknown[]): Promise<unknown> =>
      (parse(await g.start("kv", run, stringify(request))) as unknown[])[0];
    return freeze({
      get: async (key: unknown) => (await ask("get", String(key))) ?? undefined,
      set: (key: unknown, value: unknown, options: unknown = {}) =>
        ask("set", String(key), String(value), options),
      incr: (key: unknown, by: unknown = 1, options: unknown = {}) =>
        ask("incr", String(key), Number(by), options),
      delete: (key: unknown) => ask("delete", String(key)),
    });
  };

  /** What JavaScript itself asks objects for. */
  const ASKED_FOR = ["then", "toJSON"];
  const secretsOf = (stage: GuestStage): object =>
    new Proxy(freeze(Object.fromEntries(stage.secrets.map((name) => [name, new Secret(name)]))), {
      get(all: Record<string, unknown>, name) {
        if (typeof name === "symbol" || name in all || ASKED_FOR.includes(name))
          return Reflect.get(all, name);
        throw new Error(
          `The secret "${name}" is not granted: add grants: { secrets: { ${name}: … } } to the stage`,
        );
      },
    });

  class Context {
    readonly #run: number;
    readonly #stage: GuestStage;
    readonly #states: string | undefined;
    #all: Record<string, object> | undefined;
    #state: object | undefined;

    constructor(run: number, stage: GuestStage, states: string | undefined) {
      this.#run = run;
      this.#stage = stage;
      this.#states = states;
    }

    static stateOf(context: Context): string {
      if (context.#state === undefined) return "";
      const json = stringify(context.#state);
      if (json === "{}" && !Object.hasOwn(context.#before, context.#stage.script)) return "";
      return `S${json}\n`;
    }

    get #before(): Record<string, object> {
      this.#all ??= this.#states === undefined ? {} : (parse(this.#states) as Record<string, object>);
      return this.#all;
    }
    get options(): unknown {
      return this.#stage.options;
    }
    get log(): object {
      return createLog(this.#run);
    }
    get metrics(): object {
      return createMetrics(this.#run);
    }
    get crypto(): object {
      return createCrypto(this.#run);
    }
    get state(): object {
      const { script } = this.#stage;
      this.#state ??= Object.hasOwn(this.#before, script) ? this.#before[script]! : {};
      return this.#state;
    }
    stateOf(script: unknown): unknown {
      const name = String(script);
      if (name === this.#stage.script) return this.state;
      return Object.hasOwn(this.#before, name) ? freeze(this.#before[name]) : undefined;
    }
    now(): number {
      return Number(g.demand("now", this.#run, ""));
    }
    reply(init?: ReplyInit): ScriptReply {
      return createReply(init);
    }
    fetch(url: unknown, init?: FetchInit): Promise<object> {
      return fetchFor(this.#run, url, init);
    }
    get kv(): object {
      return createKv(this.#run);
    }
    get secrets(): object {
      return secretsOf(this.#stage);
    }
  }

  const { stateOf } = Context;
  delete (Context as Partial<typeof Context>).stateOf;
  g.stateLine = (context) => stateOf(context as Context);
  g.createContext = (run, stage, states) => new Context(run, stage, states);
}
